"""Every text in the database, whatever table it is in: to find what is about a person, and to change or delete it.

Tables are looked up in the schema, so that one that is added later is not forgotten.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson

from mcpd.store.database import Database, Row

_SECURE_DELETE = ("OFF", "ON", "FAST")
_FIXED = frozenset(
    ("schema_migrations", "event_log", "known_lists", "retention_rules", "retention_runs", "encryption_keys")
)
"""What holds nothing but our own words."""

_CHOSEN = re.compile(r"(\w+)\s+TEXT[^,]*?CHECK\s*\(\s*\1\s+IN\b")
"""Columns of which the schema says what words may stand there."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its ``key`` (rowid, or the primary key where there is none), all ``columns``, those with ``texts``."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    texts: tuple[str, ...]

    @property
    def _where(self) -> str:
        return " AND ".join(f'"{name}" = ?' for name in self.key)


def tables(db: Database) -> list[Table]:
    """Return the tables that can hold something about a person, by name."""
    listed = db.rows("SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' ORDER BY name")
    names = [(name, wr) for name, wr in listed if name not in _FIXED and not re.match("sqlite_", name)]
    return [_table(db, str(name), without_rowid=bool(wr)) for name, wr in names]


def _table(db: Database, name: str, *, without_rowid: bool) -> Table:
    found = db.rows("SELECT name, type, pk FROM pragma_table_xinfo(?) WHERE hidden = 0", (name,))
    primary = sorted((place, column) for column, _, place in found if place)
    key = tuple(column for _, column in primary) if without_rowid else ("rowid",)
    chosen = set(_CHOSEN.findall(str(db.value("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)))))
    texts = tuple(column for column, kind, _ in found if kind.upper() in ("TEXT", "ANY", "") and column not in chosen)
    return Table(name, key, tuple(column for column, _, _ in found), texts)


def candidates(
    db: Database, table: Table, needles: Sequence[str], after: Row | None, limit: int
) -> list[tuple[Row, dict[str, Any]]]:
    """Return (key, row) of *limit* rows behind the key *after* in which a text holds one of *needles*, as it stands.

    JSON may spell any character by an escape, so a row with a backslash in it is one, too.
    """
    if not table.texts:
        return []
    marks = [f"?{number}" for number in range(1, len(needles) + 1)]
    holds = " OR ".join(
        f'instr("{text}", {mark})' for text in table.texts for mark in (*marks, "char(92)")
    )  # fmt: skip
    keys = ", ".join(f'"{name}"' for name in table.key)
    columns = ", ".join(f'"{name}"' for name in table.columns)
    first = len(needles) + 1
    behind = ""
    if after is not None:
        behind = f"AND ({keys}) > ({', '.join(f'?{first + place}' for place in range(len(after)))})"
    rows = db.rows(
        f'SELECT {keys}, {columns} FROM "{table.name}" WHERE ({holds}) {behind} ORDER BY {keys} LIMIT {limit}',  # noqa: S608 - names of the schema
        (*needles, *(after or ())),
    )
    width = len(table.key)
    return [(row[:width], dict(zip(table.columns, row[width:], strict=True))) for row in rows]


def row(db: Database, table: Table, key: Row) -> dict[str, Any] | None:
    """Return the row of that *key*, by column."""
    columns = ", ".join(f'"{name}"' for name in table.columns)
    found = db.one(f'SELECT {columns} FROM "{table.name}" WHERE {table._where}', key)  # noqa: S608
    return None if found is None else dict(zip(table.columns, found, strict=True))


def rewrite(db: Database, table: Table, key: Row, texts: Mapping[str, str]) -> None:
    """Give the columns *texts* of the row of that *key* other contents."""
    changes = ", ".join(f'"{name}" = ?' for name in texts)
    db.execute(f'UPDATE "{table.name}" SET {changes} WHERE {table._where}', (*texts.values(), *key))  # noqa: S608


def delete(db: Database, table: Table, key: Row) -> None:
    """Delete the row of that *key*."""
    db.execute(f'DELETE FROM "{table.name}" WHERE {table._where}', key)  # noqa: S608


@contextmanager
def without_traces(db: Database) -> Iterator[None]:
    """Have SQLite overwrite what the block deletes or changes, so that it is not to be read from the file either."""
    before = int(db.value("PRAGMA secure_delete"))
    db.execute("PRAGMA secure_delete = ON").fetchall()
    try:
        yield
    finally:
        db.execute(f"PRAGMA secure_delete = {_SECURE_DELETE[before]}").fetchall()


def unfinished_erasure(db: Database, fingerprint: str) -> str | None:
    """Return the id of the erasure of the subject known by *fingerprint* that was begun and not finished."""
    row = db.one("SELECT id FROM erasures WHERE subject = ? AND finished_us IS NULL", (fingerprint,))
    return None if row is None else str(row[0])


def begin_erasure(
    db: Database, erasure_id: str, fingerprint: str, now_us: int, requested_by: str, reason: str | None
) -> None:
    """Note that an erasure was begun, or is gone on with."""
    db.execute(
        "INSERT INTO erasures VALUES (?, ?, ?, NULL, ?, ?, '{}') ON CONFLICT (id) DO NOTHING",
        (erasure_id, fingerprint, now_us, requested_by, reason),
    )


def finish_erasure(db: Database, erasure_id: str, now_us: int, rows: Mapping[str, Any]) -> None:
    """Note that it is done, and what it came to; whose it was is forgotten."""
    db.execute(
        "UPDATE erasures SET subject = NULL, finished_us = ?, rows = ? WHERE id = ?",
        (now_us, orjson.dumps(rows).decode(), erasure_id),
    )


def count_erasures(db: Database, since_us: int, *, unfinished: bool = False) -> int:
    """Return how many erasures were begun since *since_us*, or of those never finished."""
    condition = " AND finished_us IS NULL" if unfinished else ""
    return int(db.value(f"SELECT count(*) FROM erasures WHERE begun_us >= ?{condition}", (since_us,)))  # noqa: S608
