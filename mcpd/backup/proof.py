"""That an archive was proved: when, how large it was then and its SHA-256, in a file beside it.

By that an archive is judged again without unpacking it, and an encrypted one without its key. It is sha256sum(1)'s
format, with a line before.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from mcpd import files
from mcpd.errors import SourceUnusable, denied
from mcpd.times import rfc3339

SUFFIX = ".sha256"
_FORM = re.compile(r"# (\d+) bytes, proved (\S+)\n([0-9a-f]{64})  .+\n")


@dataclass(frozen=True, slots=True)
class Proof:
    """What an archive was when it was proved, *at* that time (RFC 3339)."""

    size_bytes: int
    at: str
    sha256: str


def path_of(archive: Path) -> Path:
    """Return where the proof of *archive* is."""
    return Path(f"{archive}{SUFFIX}")


def write(archive: Path, like: Path) -> None:
    """Write down that *archive* was proved just now, for the owner of *like*; raises ``OSError``."""
    head = f"# {archive.stat().st_size} bytes, proved {rfc3339(time.time_ns() // 1000)}\n"
    files.write(path_of(archive), f"{head}{files.sha256(archive)}  {archive.name}\n".encode(), like)


def of(archive: Path) -> Proof | None:
    """Return what was written down when *archive* was proved; None where nothing was, or it cannot be made out."""
    try:
        found = _FORM.fullmatch(path_of(archive).read_text(encoding="ascii", errors="replace"))
    except FileNotFoundError:
        return None
    except PermissionError as exc:
        raise denied(exc) from exc
    return None if found is None else Proof(int(found[1]), found[2], found[3])


def check_size(archive: Path) -> Proof | None:
    """Return the proof of *archive*, if any; raises ``SourceUnusable`` where its size is another now."""
    found = of(archive)
    if found is not None and archive.stat().st_size != found.size_bytes:
        size_bytes = archive.stat().st_size
        raise SourceUnusable(f"{archive}: is damaged: has {size_bytes} bytes, {found.size_bytes} when it was proved")
    return found


def check(archive: Path) -> Proof | None:
    """Return the proof of *archive*, if any; raises ``SourceUnusable`` where it is not any more what was proved."""
    found = check_size(archive)
    if found is not None and files.sha256(archive) != found.sha256:
        raise SourceUnusable(f"{archive}: is damaged: its SHA-256 is not that of {path_of(archive).name}")
    return found
