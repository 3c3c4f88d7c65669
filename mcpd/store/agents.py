"""Agents: who is there, what they do, when they were last heard of."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from mcpd.store.database import Database, Row


@dataclass(frozen=True, slots=True)
class Agent:
    """All that is known of an agent; ``capabilities`` and ``metadata`` are JSON text, times µs since the epoch."""

    name: str
    status: str
    current_task: str | None
    capabilities: str | None
    metadata: str | None
    created_us: int
    last_seen_us: int


_COLUMNS = ", ".join(field.name for field in dataclasses.fields(Agent))


def find(db: Database, name: str) -> Agent | None:
    """Return the agent *name*, None if it was never heard of."""
    row = db.one(f"SELECT {_COLUMNS} FROM agents WHERE name = ?", (name,))  # noqa: S608
    return None if row is None else Agent(*row)


def latest(db: Database, limit: int) -> list[Agent]:
    """Return the *limit* agents that were heard of last, by name."""
    sql = f"SELECT {_COLUMNS} FROM agents ORDER BY last_seen_us DESC, name LIMIT ?"  # noqa: S608
    return sorted((Agent(*row) for row in db.rows(sql, (limit,))), key=lambda agent: agent.name)


def touch(db: Database, name: str, now_us: int) -> bool:
    """Note that *name* was heard of at *now_us*; return whether it was unknown until now."""
    db.execute("UPDATE agents SET last_seen_us = ? WHERE name = ?", (now_us, name))
    if db.connection.changes():
        return False
    db.execute("INSERT INTO agents (name, created_us, last_seen_us) VALUES (?, ?, ?)", (name, now_us, now_us))
    return True


def set_status(db: Database, name: str, status: str, current_task: str | None, now_us: int) -> None:
    """Set what *name* does; the rest of what is known of it stays."""
    db.execute(
        "INSERT INTO agents (name, status, current_task, created_us, last_seen_us) VALUES (?1, ?2, ?3, ?4, ?4)"
        " ON CONFLICT (name) DO UPDATE SET status = ?2, current_task = ?3, last_seen_us = ?4",
        (name, status, current_task, now_us),
    )


def status(db: Database, name: str) -> str | None:
    """Return the status of *name*, None if it is unknown."""
    row = db.one("SELECT status FROM agents WHERE name = ?", (name,))
    return None if row is None else str(row[0])


def seen_since(db: Database, since_us: int, limit: int) -> list[Row]:
    """Return (name, status, current_task, last_seen_us) of agents heard of since *since_us*, by name."""
    return db.rows(
        "SELECT name, status, current_task, last_seen_us FROM agents WHERE last_seen_us >= ? ORDER BY name LIMIT ?",
        (since_us, limit),
    )


def names(db: Database, limit: int) -> list[str]:
    """Return the names of all agents, those heard of last first."""
    return [str(row[0]) for row in db.rows("SELECT name FROM agents ORDER BY last_seen_us DESC LIMIT ?", (limit,))]


def count_seen_since(db: Database, since_us: int) -> int:
    """Return how many agents were heard of since *since_us*."""
    return int(db.value("SELECT count(*) FROM agents WHERE last_seen_us >= ?", (since_us,)))
