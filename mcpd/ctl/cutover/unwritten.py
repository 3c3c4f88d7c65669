"""Switches that mcpd's database could not take a note of: in a file beside it, until the next switch writes them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from mcpd import files
from mcpd.store.cutovers import Cutover

FILE = "switches.json"


def load(database: Path) -> list[Cutover]:
    """Return the switches that *database* has not taken; ``id`` 0 is of one that it has no number for."""
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(database.with_name(FILE).read_bytes(), type=list[Cutover])
    return []


def keep(database: Path, switch: Cutover) -> None:
    """Note *switch* beside *database*, instead of an earlier state of it; raises ``OSError``."""
    others = [each for each in load(database) if each.started_us != switch.started_us]
    content = json.dumps([dataclasses.asdict(each) for each in (*others, switch)], indent=2)
    files.write(database.with_name(FILE), f"{content}\n".encode(), database.parent)


def forget(database: Path) -> None:
    """Remove the notes, which *database* has now."""
    with suppress(OSError):
        database.with_name(FILE).unlink(missing_ok=True)


def merged(database: Path, found: Sequence[Cutover]) -> list[Cutover]:
    """Return the switches *found* in *database*, and those that it has not taken, newest first."""
    known = {each.started_us: each for each in (*found, *load(database))}
    return sorted(known.values(), key=lambda each: each.started_us, reverse=True)
