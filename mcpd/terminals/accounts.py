"""What an agent consumes, from the files of its cgroup (Linux, Documentation/admin-guide/cgroup-v2.rst).

systemd's figures are the same, but asking for them costs PID 1 a property dump each time. A controller that is not
there has no file, and then the figure is not known.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

_ROOTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time, memory, processes and bytes read and written by a cgroup so far; None where nobody counts."""

    cpu_us: int | None = None
    memory_bytes: int | None = None
    tasks: int | None = None
    io_read_bytes: int | None = None
    io_write_bytes: int | None = None


def usage(cgroup: str, roots: tuple[Path, ...] = _ROOTS) -> Usage:
    """Return what *cgroup* (``/mcp.slice/…``, as systemd names it) used; *roots* are where its tree may be mounted."""
    for root in roots:
        folder = root / cgroup.lstrip("/")
        if cgroup and (folder / "cgroup.procs").exists():
            return _read(folder)
    return Usage()


def _read(folder: Path) -> Usage:
    io = [pair for line in _text(folder / "io.stat").splitlines() for pair in line.split()[1:]]
    return Usage(
        cpu_us=_number(_value(_text(folder / "cpu.stat").split("\n"), "usage_usec ")),
        memory_bytes=_number(_text(folder / "memory.current")),
        tasks=_number(_text(folder / "pids.current")),
        io_read_bytes=_sum(io, "rbytes="),
        io_write_bytes=_sum(io, "wbytes="),
    )


def _text(path: Path) -> str:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="ascii")
    return ""


def _value(lines: list[str], prefix: str) -> str:
    return next((line.removeprefix(prefix) for line in lines if line.startswith(prefix)), "")


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdigit() else None


def _sum(pairs: list[str], prefix: str) -> int | None:
    found = [int(pair.removeprefix(prefix)) for pair in pairs if pair.startswith(prefix)]
    return sum(found) if found else None
