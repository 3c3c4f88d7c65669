"""Requests of one agent for the help of another."""

from __future__ import annotations

from mcpd.store.database import Database


def add(db: Database, now_us: int, from_agent: str, to_agent: str, task: str, priority: str) -> int:
    """Add a pending request; return its id."""
    return int(
        db.value(
            "INSERT INTO collaboration_requests (from_agent, to_agent, task, priority, created_us)"
            " VALUES (?, ?, ?, ?, ?) RETURNING id",
            (from_agent, to_agent, task, priority, now_us),
        )
    )


def count_waiting(db: Database, to_agent: str) -> int:
    """Return how many requests wait for *to_agent*."""
    return int(
        db.value(
            "SELECT count(*) FROM collaboration_requests WHERE to_agent = ? AND status = 'pending'",
            (to_agent,),
        )
    )
