"""What is not kept any more is removed: old events by policy, and rows whose time was up.

In batches, each a short transaction of its own, so that whoever writes meanwhile never waits long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mcpd.store import calls, claims, events, idempotency, sessions
from mcpd.store.database import Database

BATCH = 500


@dataclass(frozen=True, slots=True)
class Policy:
    """Events from before ``before_us`` are not kept, nor are those besides the newest ``count`` numbers."""

    before_us: int
    count: int


def remove(db: Database, policy: Policy, now_us: int, session_age_us: int, pause: Callable[[], None]) -> dict[str, int]:
    """Remove what *policy* does not keep and what has expired by *now_us*; return how many rows of each table went.

    Sessions expire after *session_age_us*. *pause* is called between two transactions.
    """
    removed = {"events": 0}
    for number in _remove_events(db, policy):
        removed["events"] += number
        pause()
    steps: dict[str, Callable[[], int]] = {
        "claims": lambda: claims.lapse(db, now_us, BATCH),
        "calls": lambda: calls.forget_expired(db, now_us, BATCH),
        "sessions": lambda: sessions.forget_before(db, now_us - session_age_us, BATCH),
        "idempotent_results": lambda: idempotency.forget_expired(db, now_us, BATCH),
    }
    for table, step in steps.items():
        removed[table] = 0
        number = BATCH
        while number >= BATCH:
            with db.transaction():
                number = step()
            removed[table] += number
            pause()
    return removed


def _remove_events(db: Database, policy: Policy) -> Iterator[int]:
    """Remove old events, a batch at a time; yield the number of rows that each batch took."""
    last = _behind_newest(db, policy.count)
    while True:
        floor = events.removed_to(db)
        page = events.since(db, floor, BATCH)
        kept = next((row[0] for row in page if row[0] > last and row[1] >= policy.before_us), None)
        up_to = kept - 1 if kept is not None else page[-1][0] if page else floor
        if up_to <= floor:
            return
        with db.transaction():
            number = events.remove_to(db, up_to)
        yield number


def _behind_newest(db: Database, count: int) -> int:
    """Return the number behind which the newest *count* are; those that were left out for a restored one count not."""
    place = events.newest(db) - count
    for seq, after in events.restorations(db):
        if place >= seq:
            break
        place -= seq - 1 - after
    return max(0, place)


def optimize(db: Database) -> None:
    """Have SQLite look at what its plans are made by, and move the write-ahead log into the database where it can."""
    db.execute("PRAGMA analysis_limit = 400").fetchall()
    db.execute("PRAGMA optimize").fetchall()
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
