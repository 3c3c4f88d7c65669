"""The outbox: what changed, written in the transaction that changed it and read by sequence number."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from mcpd.store.database import Database, Row


def add(db: Database, now_us: int, topic: str, agent: str | None, data: Mapping[str, object]) -> None:
    """Append an event of *topic* about *agent*."""
    db.execute(
        "INSERT INTO events (at_us, topic, agent, data) VALUES (?, ?, ?, ?)",
        (now_us, topic, agent, orjson.dumps(data).decode()),
    )


def since(db: Database, seq: int, limit: int) -> list[Row]:
    """Return (seq, at_us, topic, agent, data as JSON text) of the *limit* events after number *seq*, in order."""
    return db.rows("SELECT seq, at_us, topic, agent, data FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit))


def count_of(db: Database, topic: str, since_us: int) -> int:
    """Return how many events of *topic* there were since *since_us*."""
    return int(db.value("SELECT count(*) FROM events WHERE topic = ? AND at_us >= ?", (topic, since_us)))


def newest(db: Database) -> int:
    """Return the number of the newest event that ever was, 0 if there was none."""
    row = db.one("SELECT seq FROM sqlite_sequence WHERE name = 'events'")
    return 0 if row is None else int(row[0])


def oldest(db: Database) -> int:
    """Return the number of the oldest event that is kept, that of the next one if none is."""
    row = db.one("SELECT min(seq) FROM events")
    return newest(db) + 1 if row is None or row[0] is None else int(row[0])
