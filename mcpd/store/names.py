"""The names of agents and of components, for lists that go on page by page and for completion."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

from mcpd.store.database import Database

Kind = Literal["agents", "components"]


def after(db: Database, kind: Kind, name: str, limit: int, besides: Collection[str] = ()) -> list[str]:
    """Return *limit* names that follow *name*, in order; the names *besides* are some too."""
    rows = db.rows(f"SELECT name FROM {kind} WHERE name > ? ORDER BY name LIMIT ?", (name, limit))  # noqa: S608 - our own table
    return sorted({*(row[0] for row in rows), *(other for other in besides if other > name)})[:limit]


def beginning(
    db: Database, kind: Kind, prefix: str, limit: int, besides: Collection[str] = ()
) -> tuple[list[str], int]:
    """Return the first *limit* names that begin with *prefix*, and how many do; the names *besides* are some too."""
    where = f"FROM {kind} WHERE name >= ?1 AND substr(name, 1, length(?1)) = ?1"
    found = db.rows(f"SELECT name {where} ORDER BY name LIMIT ?2", (prefix, limit))
    more = _unknown(db, kind, (name for name in besides if name.startswith(prefix)))
    total = int(db.value(f"SELECT count(*) {where}", (prefix,))) + len(more)
    return sorted([*(row[0] for row in found), *more])[:limit], total


def count(db: Database, kind: Kind, besides: Collection[str] = ()) -> int:
    """Return how many there are, with the names *besides*."""
    return int(db.value(f"SELECT count(*) FROM {kind}")) + len(_unknown(db, kind, besides))  # noqa: S608


def _unknown(db: Database, kind: Kind, names: Iterable[str]) -> list[str]:
    known = f"SELECT count(*) FROM {kind} WHERE name = ?"  # noqa: S608
    return [name for name in names if not db.value(known, (name,))]
