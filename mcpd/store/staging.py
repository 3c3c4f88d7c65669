"""Rows on their way into the database: gathered in a scratch file beside it, then taken over in one transaction.

What is slow (reading, mapping) happens while nobody waits; under the database's write lock SQLite only copies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from mcpd.store import legacy
from mcpd.store.database import Database, store_errors

APPENDED: Mapping[str, tuple[str, ...]] = {
    "activities": ("at_us", "agent", "activity", "category", "status", "details"),
    "decisions": ("category", "question", "proposed_by", "status", "metadata", "created_us", "resolved_us"),
    "conflicts": (
        "agents", "component", "issue", "severity", "resolved", "resolution", "created_us", "resolved_us",
    ),
    "collaboration_requests": ("from_agent", "to_agent", "task", "priority", "status", "created_us"),
}  # fmt: skip
"""Tables in which each staged row becomes a row of its own, with a new id."""

IDENTITY: Mapping[str, tuple[str, str]] = {
    "activities": ("at_us", "agent"),
    "decisions": ("created_us", "proposed_by"),
    "conflicts": ("created_us", "agents"),
    "collaboration_requests": ("created_us", "from_agent"),
}
"""When a row of ``APPENDED`` was made, and by whom: what stays the same however often the row is changed."""

NAMED: Mapping[str, tuple[str, ...]] = {
    "agents": ("name", "status", "current_task", "capabilities", "metadata", "created_us", "last_seen_us"),
    "components": ("name", "owner", "status", "version", "metadata", "created_us", "updated_us"),
    "subject_consents": (
        "id", "subject", "purpose", "granted_us", "expires_us", "withdrawn_us", "version", "metadata", "changed_us",
    ),
    "processing_records": (
        "id", "data_type", "classification", "purpose", "legal_basis", "subject", "retention_days", "encrypted",
        "shared", "metadata", "at_us",
    ),
    "sensitive_accesses": (
        "id", "caller", "subject", "resource", "action", "classification", "reason", "emergency", "metadata", "at_us",
    ),
    "breaches": (
        "id", "detected_us", "severity", "affected_records", "data_types", "containment", "gdpr_told_us",
        "hipaa_told_us", "subjects_told_us", "metadata", "changed_us",
    ),
}  # fmt: skip
"""Tables in which rows of one name (the first column) are one thing; the newest by the last column says what it is."""

_LEDGER = ("source", "source_table", "source_key", "row", "digest", "outcome", "reason", "target_table")
_CACHE_KIB = 32_768


class Staged(NamedTuple):
    """A row as the ledger keeps it; ``source`` is the place of its file among those of the run, from 0."""

    source: int
    source_table: str
    source_key: str | None
    row: str
    digest: bytes
    outcome: str
    reason: str | None
    target_table: str | None


@dataclass(frozen=True, slots=True)
class Taken:
    """Where what was taken over begins: the first new id of ``legacy_rows``, and the id before it in each table."""

    first: int
    bases: Mapping[str, int]


class Stage:
    """The scratch file at *path*, which is made; nobody else looks at it, and it need not survive anything."""

    def __init__(self, path: Path) -> None:
        with store_errors():
            self._connection = apsw.Connection(str(path))
            self._connection.execute(
                f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -{_CACHE_KIB};"
                " BEGIN EXCLUSIVE;"
                f"CREATE TABLE ledger (id INTEGER PRIMARY KEY, {', '.join(_LEDGER)}, target_key,"
                " copies INTEGER NOT NULL DEFAULT 1, UNIQUE (digest))"
            ).fetchall()
            for table, columns in {**APPENDED, **NAMED}.items():
                self._connection.execute(f"CREATE TABLE {table} (row INTEGER PRIMARY KEY, {', '.join(columns)})")
            self._execute = self._connection.cursor().execute
        marks = ", ".join("?" * len(_LEDGER))
        self._insert = (
            f"INSERT INTO ledger ({', '.join(_LEDGER)}) VALUES ({marks})"  # noqa: S608 - our own names
            " ON CONFLICT (digest) DO UPDATE SET copies = copies + 1 RETURNING id, copies"
        )
        self._targets = {
            table: f"INSERT INTO {table} VALUES (?{', ?' * len(columns)})"  # noqa: S608
            for table, columns in {**APPENDED, **NAMED}.items()
        }

    def add(self, staged: Staged, values: Sequence[object]) -> bool:
        """Take *staged*, and *values* for its target table; return False if an identical row was taken before."""
        with store_errors():
            found: list[Any] = self._execute(self._insert, staged).fetchall()
            number, copies = found[0]
            if copies > 1:
                return False
            if staged.target_table is not None:
                self._execute(self._targets[staged.target_table], (number, *values))
        return True

    def close(self) -> None:
        """Write out what was added and close the file."""
        with store_errors():
            self._connection.execute("COMMIT")
            self._connection.close()


@contextmanager
def attached(db: Database, path: Path) -> Iterator[None]:
    """Let *db* see the closed stage at *path* for the length of the block."""
    with store_errors():
        db.execute("ATTACH ? AS stage", (str(path),))
    try:
        yield
    finally:
        with suppress(apsw.SQLError):  # after a commit that failed it is still in use, until the connection is closed
            db.execute("DETACH stage")


def is_empty(db: Database) -> bool:
    """Say whether the attached stage holds nothing new."""
    return not db.value("SELECT EXISTS (SELECT 1 FROM stage.ledger)")


def take_over(db: Database, first_source: int) -> Taken:
    """Copy the attached stage into *db*, inside the caller's transaction.

    The run's sources have the ids from *first_source* on.
    """
    for table in NAMED:
        _judge_named(db, table)
    _supersede(db)
    bases = {table: _append(db, table, columns) for table, columns in APPENDED.items()}
    for table, columns in NAMED.items():
        _merge(db, table, columns)
    _claim_components(db)
    first = int(db.value("SELECT coalesce(max(id), 0) + 1 FROM legacy_rows"))
    base = " ".join(f"WHEN '{table}' THEN {number} + id" for table, number in bases.items())
    # By digest, so that the index on it is filled from left to right: in any other order each entry costs a page.
    db.execute(
        "INSERT INTO legacy_rows (source_id, source_table, source_key, row, digest, copies, outcome, reason,"  # noqa: S608
        " target_table, target_key) SELECT ? + source, source_table, source_key, row, digest, copies, outcome, reason,"
        f" target_table, coalesce(target_key, CASE target_table {base} END) FROM stage.ledger ORDER BY digest",
        (first_source,),
    )
    return Taken(first, bases)


def _judge_named(db: Database, table: str) -> None:
    """Mark the rows that give way: to a newer one of the same name in the stage, or to the one that *db* has."""
    key, newest = NAMED[table][0], NAMED[table][-1]
    db.execute(
        "UPDATE stage.ledger SET target_key = staged.name, outcome = CASE WHEN place > 1 OR newer THEN 'merged'"  # noqa: S608
        " ELSE outcome END, reason = CASE WHEN newer THEN 'mcpd knew newer' WHEN place > 1 THEN 'another row of that"
        " name is newer' ELSE reason END FROM"
        f" (SELECT row, s.{key} AS name, row_number() OVER (PARTITION BY s.{key} ORDER BY"
        f" s.{newest} DESC, row DESC) AS place, coalesce(ours.{newest} > s.{newest}, 0) AS newer"
        f" FROM stage.{table} AS s LEFT JOIN main.{table} AS ours ON ours.{key} = s.{key}) AS staged"
        " WHERE staged.row = ledger.id"
    )


def _supersede(db: Database) -> None:
    """Have the ledger say that rows of earlier runs gave way to what the stage says of them (``earlier``) now.

    What is again as it was before (``returned``) stands in the stage and leaves its old place.
    """
    db.execute("DELETE FROM main.legacy_rows WHERE id IN (SELECT id FROM stage.returned)")
    db.execute(
        "UPDATE main.legacy_rows SET outcome = 'merged', reason = ? WHERE id IN (SELECT earlier.id FROM stage.earlier"
        " JOIN stage.ledger ON ledger.id = earlier.row WHERE outcome = 'migrated')",
        (legacy.CHANGED_LATER,),
    )
    db.execute(
        "UPDATE stage.ledger SET target_key = earlier.target_key, reason = 'the row was changed since it was migrated'"
        " FROM stage.earlier WHERE earlier.row = ledger.id AND outcome = 'migrated'"
    )


def _append(db: Database, table: str, columns: Sequence[str]) -> int:
    """Copy the staged rows of *table*, those of ``earlier`` onto the rows that they made before.

    The new ids are those of the ledger, counted from the returned one.
    """
    names = ", ".join(columns)
    base = int(db.value(f"SELECT coalesce(max(id), 0) FROM main.{table}"))  # noqa: S608
    changes = ", ".join(f"{column} = s.{column}" for column in columns)
    db.execute(
        f"UPDATE main.{table} SET {changes} FROM stage.earlier CROSS JOIN stage.{table} AS s ON s.row = earlier.row"  # noqa: S608
        f" WHERE earlier.target_table = '{table}' AND main.{table}.id = earlier.target_key"
    )
    db.execute(
        f"INSERT INTO main.{table} (id, {names}) SELECT ? + row, {names} FROM stage.{table}"  # noqa: S608
        " WHERE row NOT IN (SELECT row FROM stage.earlier) ORDER BY row",
        (base,),
    )
    return base


@dataclass(frozen=True, slots=True)
class _Combined:
    """How a column of the row that gives way (*ours*) stays in that of the newer one (*new*), and what must hold."""

    change: str
    holds: str


_STAYS = _Combined("coalesce({new}, {ours})", "coalesce({new}, {ours}) IS {ours}")
_EARLIEST = _Combined(  # 0 is no time at all
    "CASE WHEN min({ours}, {new}) = 0 THEN max({ours}, {new}) ELSE min({ours}, {new}) END",
    "({new} = 0 OR {ours} BETWEEN 1 AND {new})",
)
_TAKEN = _Combined("{new}", "{ours} IS {new}")
_COMBINED: Mapping[str, Mapping[str, _Combined]] = {
    "agents": {"capabilities": _STAYS, "metadata": _STAYS, "created_us": _EARLIEST},
    "components": {"metadata": _STAYS, "created_us": _EARLIEST},
}
"""Columns in which the newest row of a name does not decide alone."""


def _merge(db: Database, table: str, columns: Sequence[str]) -> None:
    names, key, newest = ", ".join(columns), columns[0], columns[-1]
    combined = _COMBINED.get(table, {})
    changes = ", ".join(
        f"{column} = {combined.get(column, _TAKEN).change.format(new=f'excluded.{column}', ours=column)}"
        for column in columns[1:]
    )
    # Oldest first, so that each newer row writes over the one before.
    db.execute(
        f"INSERT INTO main.{table} ({names}) SELECT {names} FROM {_candidates(table)} ORDER BY {newest}, row"  # noqa: S608
        f" ON CONFLICT ({key}) DO UPDATE SET {changes} WHERE excluded.{newest} >= {newest}"
    )


def _candidates(table: str) -> str:
    """Return the rows of *table* that may say something of what they name.

    Components of one name with another id are others: what they said is not mixed into the newest.
    """
    if table != "components":
        return f"stage.{table} WHERE true"  # what follows would be taken for a join's
    return (
        "(SELECT s.*, source_key, first_value(source_key) OVER (PARTITION BY name ORDER BY updated_us DESC, s.row DESC)"
        " AS newest_key FROM stage.components AS s JOIN stage.ledger ON ledger.id = s.row)"
        " WHERE source_key IS newest_key"
    )


# The names of the components whose owner the stage decided.
_CHANGED = "SELECT target_key FROM stage.ledger WHERE target_table = 'components' AND outcome = 'migrated'"


def _claim_components(db: Database) -> None:
    """Give the owners of the components that were taken over the claims that registering one gives."""
    owner = "(SELECT owner FROM main.components WHERE name = claims.component)"
    db.execute(
        f"UPDATE OR REPLACE main.claims SET agent = {owner} WHERE mode = 'own' AND component IN ({_CHANGED})"  # noqa: S608
    )
    db.execute(
        f"DELETE FROM main.claims WHERE mode = 'own' AND kind = 'component' AND target IN ({_CHANGED})"  # noqa: S608
    )
    db.execute(
        "INSERT INTO main.claims (agent, mode, kind, target, reason, since_us)"  # noqa: S608
        " SELECT owner, 'own', 'component', name, 'owns component ' || name, updated_us FROM main.components"
        f" WHERE status = 'active' AND owner <> 'unknown' AND name IN ({_CHANGED})"
    )


def altered(db: Database, table: str, taken: Taken) -> int:
    """Return how many rows of the attached stage do not stand in *table* of *db* as they were staged."""
    if table in NAMED:
        join, same = f"ours.{NAMED[table][0]} = s.{NAMED[table][0]}", _named_as_staged(table)
    else:
        earlier = "(SELECT target_key FROM stage.earlier WHERE earlier.row = s.row)"
        join = f"ours.id = coalesce({earlier}, {taken.bases[table]} + s.row)"
        same = " AND ".join(f"ours.{column} IS s.{column}" for column in APPENDED[table])
    staged = int(db.value(f"SELECT count(*) FROM stage.{table}"))  # noqa: S608
    standing = (
        f"SELECT count(*) FROM stage.{table} AS s JOIN stage.ledger ON ledger.id = s.row"  # noqa: S608
        f" JOIN main.{table} AS ours ON {join} WHERE {same}"
    )
    return staged - int(db.value(standing))


def _named_as_staged(table: str) -> str:
    """Return the condition that *ours* is what the row *s* says; for one that gave way, that it is no older."""
    newest, combined = NAMED[table][-1], _COMBINED.get(table, {})
    equal = " AND ".join(
        combined.get(column, _TAKEN).holds.format(new=f"s.{column}", ours=f"ours.{column}") for column in NAMED[table]
    )
    return f"CASE ledger.outcome WHEN 'migrated' THEN {equal} ELSE ours.{newest} >= s.{newest} END"
