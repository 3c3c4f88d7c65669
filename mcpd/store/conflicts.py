"""The old system's list of conflicts; what mcpd itself finds follows from claims and is not written down."""

from __future__ import annotations

from dataclasses import dataclass

from mcpd.store.database import Database


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded conflict; ``agents`` is JSON text, times in µs since the epoch."""

    id: int
    agents: str
    component: str | None
    issue: str
    severity: str
    resolution: str | None
    created_us: int


def unresolved(db: Database, limit: int) -> list[Recorded]:
    """Return the newest *limit* that nobody has resolved."""
    rows = db.rows(
        "SELECT id, agents, component, issue, severity, resolution, created_us FROM conflicts"
        " WHERE resolved = 0 ORDER BY created_us DESC, id DESC LIMIT ?",
        (limit,),
    )
    return [Recorded(*row) for row in rows]


def count_unresolved(db: Database) -> int:
    """Return how many nobody has resolved."""
    return int(db.value("SELECT count(*) FROM conflicts WHERE resolved = 0"))
