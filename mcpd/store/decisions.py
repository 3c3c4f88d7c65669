"""Decisions that agents put to the others."""

from __future__ import annotations

from mcpd.store.database import Database


def propose(db: Database, now_us: int, category: str, question: str, proposed_by: str, metadata: str | None) -> int:
    """Add a pending decision (*metadata* as JSON text); return its id."""
    return int(
        db.value(
            "INSERT INTO decisions (category, question, proposed_by, metadata, created_us)"
            " VALUES (?, ?, ?, ?, ?) RETURNING id",
            (category, question, proposed_by, metadata, now_us),
        )
    )


def count_pending(db: Database) -> int:
    """Return how many decisions are open."""
    return int(db.value("SELECT count(*) FROM decisions WHERE status = 'pending'"))
