"""The names of agents and of components, for lists that go on page by page and for completion."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from mcpd.store.database import Database

Kind = Literal["agents", "components"]


def after(db: Database, kind: Kind, name: str, limit: int) -> list[str]:
    """Return *limit* names that follow *name*, in order."""
    return [row[0] for row in db.rows(f"SELECT name FROM {kind} WHERE name > ? ORDER BY name LIMIT ?", (name, limit))]  # noqa: S608 - our own table


def beginning(
    db: Database, kind: Kind, prefix: str, limit: int, besides: Collection[str] = ()
) -> tuple[list[str], int]:
    """Return the first *limit* names that begin with *prefix*, and how many do; the names *besides* are some too."""
    where = f"FROM {kind} WHERE name >= ?1 AND substr(name, 1, length(?1)) = ?1"
    found = db.rows(f"SELECT name {where} ORDER BY name LIMIT ?2", (prefix, limit))
    known = f"SELECT count(*) FROM {kind} WHERE name = ?"  # noqa: S608
    more = [name for name in besides if name.startswith(prefix) and not db.value(known, (name,))]
    total = int(db.value(f"SELECT count(*) {where}", (prefix,))) + len(more)
    return sorted([*(row[0] for row in found), *more])[:limit], total


def count(db: Database, kind: Kind) -> int:
    """Return how many there are."""
    return int(db.value(f"SELECT count(*) FROM {kind}"))  # noqa: S608
