"""The backups: whether the newest is as old as one that is made every night may be."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from mcpd.backup import archive, backups, proof
from mcpd.ctl.checks.check import Check, ok, skipped, warning
from mcpd.errors import AccessDenied, SourceUnusable, StoreUnavailable

NOW = "mcpctl backup now; mcpctl logs backup tells of the last night's"
_NAME = "backups"
_HOUR_S = 3600
_DUE_S = 48 * _HOUR_S  # one night missed, by a machine that was off, is made up for when it comes up


@dataclass(frozen=True, slots=True)
class Facts:
    """The *newest* backup in *directory* and its age; neither where there is none, nor where ``denied``."""

    directory: str
    denied: bool = False
    newest: Path | None = None
    age_s: float = 0.0


def gather(directory: str) -> Facts:
    """Look for the newest backup in *directory*; it goes by its name and size, and is not opened."""
    try:
        newest = next(filter(_is_of_size, backups.all_of(Path(directory))), None)
    except AccessDenied:
        return Facts(directory, denied=True)
    except StoreUnavailable:
        return Facts(directory)
    made_at = archive.made_at(newest) if newest else None
    return Facts(directory) if made_at is None else Facts(directory, False, newest, time.time() - made_at.timestamp())


def _is_of_size(path: Path) -> bool:
    """Say whether *path* has the size that it had when it was proved, if it was."""
    try:
        proof.check_size(path)
    except SourceUnusable:
        return False
    return True


def judge(facts: Facts, database_age_s: float) -> Check:
    """Return the check of the backups of a database that is *database_age_s* old."""
    if facts.denied:
        return skipped(_NAME, f"you may not read {facts.directory}", "run as root: sudo mcpctl health")
    if facts.newest is None:
        if database_age_s < _DUE_S:
            return ok(_NAME, "none yet; the first is made at night")
        return warning(_NAME, f"there is none in {facts.directory}", NOW)
    made = f"the newest was made {facts.age_s // _HOUR_S:.0f} hours ago"
    return ok(_NAME, made) if facts.age_s < _DUE_S else warning(_NAME, made, NOW)
