"""Components: the parts of the project, each with its owner."""

from __future__ import annotations

import msgspec

from mcpd.store.database import Database

_COLUMNS = "name, owner, status, version, updated_us, created_us, metadata"


class Component(msgspec.Struct, frozen=True, gc=False):
    """One registered component; times in µs since the epoch, ``metadata`` JSON text."""

    name: str
    owner: str
    status: str
    version: int
    updated_us: int
    created_us: int
    metadata: str | None


def find(db: Database, name: str) -> Component | None:
    """Return the component *name*, None if it is not registered."""
    row = db.one(f"SELECT {_COLUMNS} FROM components WHERE name = ?", (name,))  # noqa: S608 - our own names
    return None if row is None else Component(*row)


def find_of_type(db: Database, name: str, kind: str) -> Component | None:
    """Return the component *name* of the type *kind*, None if none is registered; one without a type is of any.

    Where several of the old system had that name, all but one are called ``name (type)``.
    """
    row = db.one(
        f"SELECT {_COLUMNS} FROM components WHERE name IN (?1, ?1 || ' (' || ?2 || ')')"  # noqa: S608 - our own names
        " AND coalesce(type, ?2) = ?2 ORDER BY name = ?1 LIMIT 1",
        (name, kind),
    )
    return None if row is None else Component(*row)


def listing(db: Database, limit: int) -> list[Component]:
    """Return *limit* components, by name."""
    rows = db.rows(f"SELECT {_COLUMNS} FROM components ORDER BY name LIMIT ?", (limit,))  # noqa: S608
    return [Component(*row) for row in rows]


def register(db: Database, now_us: int, name: str, owner: str, status: str, metadata: str | None) -> None:
    """Register *name*, or hand it to *owner* as its next version; *metadata* (JSON text) stays when None."""
    db.execute(
        "INSERT INTO components (name, owner, status, metadata, created_us, updated_us) VALUES (?1, ?2, ?3, ?4, ?5, ?5)"
        " ON CONFLICT (name) DO UPDATE SET owner = ?2, status = ?3, metadata = coalesce(?4, metadata),"
        " version = version + 1, updated_us = ?5",
        (name, owner, status, metadata, now_us),
    )


def remove(db: Database, name: str) -> None:
    """Forget the component *name*; what is claimed of it is another matter (``claims``)."""
    db.execute("DELETE FROM components WHERE name = ?", (name,))


def count(db: Database) -> int:
    """Return how many components are registered."""
    return int(db.value("SELECT count(*) FROM components"))
