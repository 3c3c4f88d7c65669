"""What the watch's unit has to watch, in a file beside mcpd's database, which may be damaged when the unit starts."""

from __future__ import annotations

import dataclasses
import json
from contextlib import suppress
from pathlib import Path

import msgspec

from mcpd import files
from mcpd.store.cutovers import Cutover

FILE = "watch.json"


def keep(database: Path, watched: Cutover) -> None:
    """Note beside *database* that *watched* is to be watched; raises ``OSError``."""
    content = json.dumps(dataclasses.asdict(watched), indent=2)
    files.write(database.with_name(FILE), f"{content}\n".encode(), database.parent)


def load(database: Path) -> Cutover | None:
    """Return what is to be watched, None if nothing is."""
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(database.with_name(FILE).read_bytes(), type=Cutover)
    return None


def forget(database: Path) -> None:
    """Remove the note."""
    with suppress(OSError):
        database.with_name(FILE).unlink(missing_ok=True)
