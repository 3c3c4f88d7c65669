"""What was migrated from the old system: the runs, their sources, and the ledger of every row (``legacy_rows``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mcpd.store.database import Database, Row


@dataclass(frozen=True, slots=True)
class Run:
    """One migration that changed something; times in µs since the epoch, ``report`` JSON text."""

    id: int
    started_us: int
    finished_us: int
    timezone: str
    mcpd_version: str
    report: str


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was migrated, its snapshot, and that one's SHA-256 in hexadecimal."""

    path: str
    snapshot: str
    sha256: str


CHANGED_LATER = "the row was changed later"
"""Why a row that was migrated is merged now."""


def is_known(db: Database, digest: bytes, path: str) -> bool:
    """Say whether the row of that digest was brought over before, and the file at *path* has not said otherwise since.

    A row that is again what it was before it was changed is to be changed back.
    """
    row = db.one(
        "SELECT outcome = 'merged' AND reason = ? AND path = ? FROM legacy_rows"
        " JOIN migration_sources ON migration_sources.id = source_id WHERE digest = ?",
        (CHANGED_LATER, path, digest),
    )
    return row is not None and not row[0]


def is_empty(db: Database) -> bool:
    """Say whether nothing was ever brought over."""
    return not db.value("SELECT EXISTS (SELECT 1 FROM legacy_rows)")


def begin(db: Database, run: Run, sources: Sequence[Source]) -> tuple[int, int]:
    """Add *run* (its id is not looked at) and its sources; return the run's id and the first source's."""
    run_id = int(
        db.value(
            "INSERT INTO migration_runs (started_us, finished_us, timezone, mcpd_version, report)"
            " VALUES (?, ?, ?, ?, ?) RETURNING id",
            (run.started_us, run.finished_us, run.timezone, run.mcpd_version, run.report),
        )
    )
    first = int(db.value("SELECT coalesce(max(id), 0) + 1 FROM migration_sources"))
    for place, source in enumerate(sources):
        db.execute(
            "INSERT INTO migration_sources VALUES (?, ?, ?, ?, ?)",
            (first + place, run_id, source.path, source.snapshot, source.sha256),
        )
    return run_id, first


def finish(db: Database, run_id: int, finished_us: int, report: str) -> None:
    """Note when the run *run_id* was done and its *report* (JSON text)."""
    db.execute("UPDATE migration_runs SET finished_us = ?, report = ? WHERE id = ?", (finished_us, report, run_id))


def timezone(db: Database, path: str) -> str | None:
    """Return the time zone in which the last run read the file at *path*, None if none has."""
    row = db.one(
        "SELECT timezone FROM migration_runs JOIN migration_sources ON run_id = migration_runs.id WHERE path = ?"
        " ORDER BY run_id DESC LIMIT 1",
        (path,),
    )
    return None if row is None else str(row[0])


def stored(db: Database, first: int) -> Iterator[Row]:
    """Yield (source_id, source_table, row, copies) of the ledger's rows from id *first* on, one by one."""
    yield from db.connection.cursor().execute(
        "SELECT source_id, source_table, row, copies FROM legacy_rows WHERE id >= ? ORDER BY id", (first,)
    )


def outcomes(db: Database, first: int) -> list[Row]:
    """Return (source_id, source_table, outcome, reason, rows) of the ledger's rows from id *first* on, summed up."""
    return db.rows(
        "SELECT source_id, source_table, outcome, reason, count(*) FROM legacy_rows WHERE id >= ?"
        " GROUP BY source_id, source_table, outcome, reason ORDER BY source_id, source_table, outcome, reason",
        (first,),
    )


def runs(db: Database, limit: int) -> list[Run]:
    """Return the newest *limit* runs, newest first."""
    query = "SELECT id, started_us, finished_us, timezone, mcpd_version, report FROM migration_runs"
    return [Run(*row) for row in db.rows(f"{query} ORDER BY id DESC LIMIT ?", (limit,))]


def totals(db: Database) -> dict[str, int]:
    """Return how many rows the ledger holds, copies counted, by outcome."""
    return dict(db.rows("SELECT outcome, sum(copies) FROM legacy_rows GROUP BY outcome ORDER BY outcome"))


def rejects(db: Database, limit: int) -> list[Row]:
    """Return (source_table, reason, rows, an example's key) of the rows that were set aside, by table and reason."""
    return db.rows(
        "SELECT source_table, reason, sum(copies), min(source_key) FROM migration_rejects"
        " GROUP BY source_table, reason ORDER BY source_table, reason LIMIT ?",
        (limit,),
    )
