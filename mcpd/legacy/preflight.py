"""What a migration would meet and do, found out without changing anything."""

from __future__ import annotations

import os
import platform
import shutil
import stat
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from mcpd.errors import SourceUnusable, StoreUnavailable, UsageError, denied
from mcpd.legacy import mapping, migration
from mcpd.legacy.migration import Job
from mcpd.store import foreign
from mcpd.store.foreign import Table

MINIMUM: Mapping[str, tuple[int, ...]] = {
    "python": (3, 11),
    "sqlite": (3, 46),
    "systemd": (257,),
    "tmux": (3, 3),
    "ttyd": (1, 7),
}
"""The oldest versions that mcpd works with; without tmux and ttyd it has no terminals."""

_PROGRAMS = {"systemd": ["systemctl", "--version"], "tmux": ["tmux", "-V"], "ttyd": ["ttyd", "--version"]}
_ROOM_FACTOR = 6  # the stage, the write-ahead log and the database each hold every row, the database with its indexes
_ROOM_LEAST_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Writer:
    """A process that has a source open."""

    pid: int
    program: str


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """A source as it is now: its tables, and where each of them would go (None: it is only kept)."""

    path: Path
    size_bytes: int
    journal_mode: str
    writers: tuple[Writer, ...]
    tables: tuple[tuple[Table, str | None], ...]
    is_rollback_pending: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """All that would be moved, and whether there is what it takes; ``versions`` are None for what is not installed."""

    job: Job
    sources: tuple[SourcePlan, ...]
    versions: Mapping[str, str | None]
    needed_bytes: int
    free_bytes: int

    def described(self) -> Iterator[str]:
        """Yield a line for all that one should know before anything changes."""
        for source in self.sources:
            rows = sum(table.rows for table, _ in source.tables)
            who = ", ".join(f"{writer.program} (pid {writer.pid})" for writer in source.writers)
            yield f"{source.path}: {rows} rows in {len(source.tables)} tables{f', open in {who}' if who else ''}"
        for name, version in self.versions.items():
            if version is None or is_old(name, version):
                needed = ".".join(map(str, MINIMUM[name]))
                yield f"{name}: {version or 'not installed'}; {needed} or newer is needed"
        yield f"disk: {self.free_bytes >> 20} MiB free, {self.needed_bytes >> 20} MiB may be needed"

    def check_room(self) -> None:
        """Raise ``StoreUnavailable`` when the disk has no room for the migration."""
        if self.free_bytes < self.needed_bytes:
            raise StoreUnavailable(
                f"the disk of {self.job.target.parent} has {self.free_bytes >> 20} MiB free,"
                f" the migration may need {self.needed_bytes >> 20} MiB; nothing was changed"
            )


def plan(job: Job) -> Plan:
    """Look at everything that *job* is about; raises as ``migration.run`` would, as far as that can be foreseen."""
    for path in job.sources:
        check_file(path)
    migration.open_target(job.target).close()
    found = writers(job.sources)
    sources = tuple(_look(path, found[path]) for path in job.sources)
    size_bytes = sum(source.size_bytes for source in sources)
    free = [shutil.disk_usage(_existing(path)).free for path in (job.target.parent, job.snapshots)]
    return Plan(job, sources, versions(), needed_bytes(size_bytes), min(free))


def needed_bytes(size_bytes: int) -> int:
    """Return how much room a migration of *size_bytes* of sources may take."""
    return _ROOM_LEAST_BYTES + _ROOM_FACTOR * size_bytes


def is_old(name: str, version: str) -> bool:
    """Say whether *version* of the program *name* is older than mcpd works with."""
    digits = "".join(c if c.isdigit() else "." for c in version).split(".")
    return tuple(int(part) for part in digits if part)[: len(MINIMUM[name])] < MINIMUM[name]


def versions() -> dict[str, str | None]:
    """Return the version of each program of ``MINIMUM``, None if it is not installed."""
    found = {"python": platform.python_version(), "sqlite": foreign.sqlite_version()}
    return found | {name: _program_version(command) for name, command in _PROGRAMS.items()}


def _program_version(command: list[str]) -> str | None:
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)  # noqa: S603 - fixed
    except (OSError, subprocess.SubprocessError):
        return None
    return next((word for word in said.stdout.split() if word[0].isdigit()), None)


def check_file(path: Path) -> None:
    """Raise unless *path* is a regular file we may read: ``UsageError``, ``AccessDenied`` or ``SourceUnusable``."""
    if path.is_dir():
        raise UsageError(f"{path}: is a directory; expected the database file in it, such as {path / 'mcp_state.db'}")
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{path}: is not a regular file; expected a database file")
        path.open("rb").close()
    except FileNotFoundError as exc:
        raise UsageError(f"{path}: there is no such file") from exc
    except PermissionError as exc:
        raise denied(exc) from exc
    except OSError as exc:
        raise SourceUnusable(f"{path}: {exc.strerror}") from exc


def _look(path: Path, writers: tuple[Writer, ...]) -> SourcePlan:
    size_bytes = sum(_size(Path(f"{path}{suffix}")) for suffix in ("", "-wal", "-journal"))
    if foreign.is_rollback_pending(path):  # it can be read only after that; the migration does so in a copy
        return SourcePlan(path, size_bytes, "delete", writers, (), is_rollback_pending=True)
    source = migration.open_source(path)
    try:
        tables = source.tables()
    finally:
        source.close()
    if not tables:
        raise SourceUnusable(f"{path}: is empty: it holds no tables")
    targets = tuple((table, mapping.target(table.name.lower(), table.columns)) for table in tables)
    return SourcePlan(path, size_bytes, source.journal_mode, writers, targets)


def writers(paths: tuple[Path, ...]) -> dict[Path, tuple[Writer, ...]]:
    """Return who has each of *paths*, or its write-ahead log, open, as far as we may see that."""
    wanted = {f"{path.resolve()}{suffix}": path for path in paths for suffix in ("", "-wal", "-shm", "-journal")}
    found: dict[Path, dict[int, Writer]] = {path: {} for path in paths}
    for process in psutil.process_iter(["pid", "name", "open_files"]):
        for file in process.info["open_files"] or ():
            path = wanted.get(file.path)
            if path is not None and process.pid != os.getpid():
                found[path][process.pid] = Writer(process.pid, process.info["name"])
    return {path: tuple(writers.values()) for path, writers in found.items()}


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _existing(path: Path) -> Path:
    return path if path.exists() else path.parent
