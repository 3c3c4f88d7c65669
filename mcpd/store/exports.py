"""Whole tables, read in pages, for people who take their data elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from mcpd.store.database import Database
from mcpd.times import NEVER_US, STATED

Table = Literal[
    "agents", "activities", "components", "claims", "collaboration_requests", "decisions", "prompts", "events", "audit",
    "resource_access_log",
]  # fmt: skip
_PAGE = 1000
_TIMES: dict[str, str] = {
    "agents": "last_seen_us",
    "activities": "at_us",
    "components": "updated_us",
    "claims": "since_us",
    "collaboration_requests": "created_us",
    "decisions": "created_us",
    "prompts": "updated_us",
    "events": "at_us",
    "audit": "at_us",
    "resource_access_log": "at_us",
}


def count(db: Database, table: Table, since_us: int) -> int:
    """Return how many rows *table* has that were changed from *since_us* on."""
    return int(db.value(f"SELECT count(*) FROM {table} WHERE {_TIMES[table]} >= ?", (since_us,)))  # noqa: S608


def pages(db: Database, table: Table, since_us: int) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows of *table* that were changed from *since_us* on, by column, a page at a time."""
    columns = [str(row[0]) for row in db.rows("SELECT name FROM pragma_table_info(?)", (table,))]
    sql = (
        f"SELECT rowid, {', '.join(map(_stated, columns))} FROM {table}"  # noqa: S608 - names of ours
        f" WHERE rowid > ? AND {_TIMES[table]} >= ? ORDER BY rowid LIMIT {_PAGE}"
    )
    last = -(2**63)
    while rows := db.rows(sql, (last, since_us)):
        last = rows[-1][0]
        yield [dict(zip(columns, row[1:], strict=True)) for row in rows]


def _stated(column: str) -> str:
    return f"nullif({column}, {NEVER_US})" if column in STATED else column
