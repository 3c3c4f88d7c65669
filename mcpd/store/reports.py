"""What happened in a span of time, counted."""

from __future__ import annotations

from typing import Any

from mcpd.store.database import Database

_MOST = 50


def work(db: Database, since_us: int) -> dict[str, Any]:
    """Return what agents did from *since_us* on: activities by agent, status and category, components, decisions."""
    return {
        "activities": _pairs(db, "SELECT status, count(*) FROM activities WHERE at_us >= ? GROUP BY 1", since_us),
        "categories": _pairs(db, "SELECT category, count(*) FROM activities WHERE at_us >= ? GROUP BY 1", since_us),
        "agents": _pairs(db, "SELECT agent, count(*) FROM activities WHERE at_us >= ? GROUP BY 1", since_us),
        "components": _pairs(db, "SELECT owner, count(*) FROM components WHERE updated_us >= ? GROUP BY 1", since_us),
        "decisions": _pairs(db, "SELECT status, count(*) FROM decisions WHERE created_us >= ? GROUP BY 1", since_us),
        "collaborations": _pairs(
            db, "SELECT status, count(*) FROM collaboration_requests WHERE created_us >= ? GROUP BY 1", since_us
        ),
    }


def calls(db: Database, since_us: int) -> dict[str, Any]:
    """Return how tools were used from *since_us* on: calls by tool, by outcome and by caller."""
    return {
        "tools": _pairs(
            db, "SELECT resource, count(*) FROM audit WHERE at_us >= ? AND resource IS NOT NULL GROUP BY 1", since_us
        ),
        "outcomes": _pairs(db, "SELECT outcome, count(*) FROM audit WHERE at_us >= ? GROUP BY 1", since_us),
        "callers": _pairs(db, "SELECT caller, count(*) FROM audit WHERE at_us >= ? GROUP BY 1", since_us),
    }


def _pairs(db: Database, sql: str, since_us: int) -> dict[str, int]:
    """Return the counts, most first; there may be as many agents as people think of names."""
    rows = db.rows(f"{sql} ORDER BY 2 DESC, 1 LIMIT {_MOST}", (since_us,))
    return {str(name): int(number) for name, number in rows}
