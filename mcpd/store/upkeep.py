"""One run of the database's upkeep, for ``mcpd-maintenance`` and ``mcpctl maintenance now``, and what there is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mcpd.errors import ConfigError
from mcpd.store import events, retention
from mcpd.store.database import Database, store_errors
from mcpd.store.retention import Policy

FINISHED = "maintenance.finished"
SESSION_AGE_US = 30 * 86_400_000_000
"""Age at which a session's id has expired."""

_DAY_US = 86_400_000_000
_BUSY_TIMEOUT_S = 30.0
_PAUSE_S = 0.01


@dataclass(frozen=True, slots=True)
class Done:
    """How many rows of each table went, the number up to which events are gone, and how long it took."""

    removed: Mapping[str, int]
    removed_to: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class Kept:
    """What there is: ``events`` with rows of their own, the numbers of the ``oldest`` and ``newest``, times in µs."""

    events: int
    oldest: int
    newest: int
    oldest_us: int | None
    last_removal_us: int | None


def run(path: str, keep_days: int, keep_count: int) -> Done:
    """Remove from the database at *path* what is older than *keep_days* or more than *keep_count*, and what expired.

    Raises ``ConfigError`` if there is none, ``StoreUnavailable``; what was removed before stays removed.
    """
    if not Path(path).exists():  # to open it would make it
        raise ConfigError(f"{path}: there is no database; mcpd-migrate makes it")
    started_s, now_us = time.monotonic(), time.time_ns() // 1000
    with store_errors():
        db = Database(path, busy_timeout_s=_BUSY_TIMEOUT_S)
        try:
            policy = Policy(now_us - keep_days * _DAY_US, keep_count)
            removed = retention.remove(db, policy, now_us, SESSION_AGE_US, lambda: time.sleep(_PAUSE_S))
            retention.optimize(db)
            done = Done(removed, events.removed_to(db), round(time.monotonic() - started_s, 3))
            if any(removed.values()):
                _tell(db, done)
        finally:
            db.close()
    return done


def alert(path: str, source: str, message: str) -> None:
    """Tell in the database at *path* that *source* is amiss; raises ``StoreUnavailable``."""
    with store_errors():
        db = Database(path, busy_timeout_s=_BUSY_TIMEOUT_S)
        try:
            with db.transaction():
                data = {"source": source, "message": message}
                events.add(db, time.time_ns() // 1000, "alert.raised", None, data)
        finally:
            db.close()


def summary(done: Done) -> str:
    """Return *done* in words."""
    gone = ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in done.removed.items() if number)
    return f"removed {gone or 'nothing'} in {done.duration_s:.1f} s"


def kept(db: Database) -> Kept:
    """Return what there is."""
    first = events.since(db, events.removed_to(db), 1)
    last = db.one("SELECT at_us FROM events WHERE topic = ? ORDER BY seq DESC LIMIT 1", (FINISHED,))
    return Kept(
        events=int(db.value("SELECT count(*) FROM events")),
        oldest=events.oldest(db),
        newest=events.newest(db),
        oldest_us=first[0][1] if first else None,
        last_removal_us=None if last is None else int(last[0]),
    )


def _tell(db: Database, done: Done) -> None:
    data = {"removed": done.removed, "removed_to": done.removed_to, "duration_s": done.duration_s}
    with db.transaction():
        events.add(db, time.time_ns() // 1000, FINISHED, None, data)
