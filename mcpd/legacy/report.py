"""What a migration did, table by table, as it is shown, stored and written to a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcpd.errors import Error
from mcpd.legacy.rows import Sum
from mcpd.store.database import Row
from mcpd.times import rfc3339


class VerificationFailed(Error):
    """What was written is not what was read; the transaction is rolled back."""


@dataclass(slots=True)
class TableReport:
    """One table of a source: how many rows it has, and what became of them.

    ``known`` were brought over by an earlier run, ``identical`` are the same as another row in every column.
    """

    table: str
    target: str | None
    rows: int = 0
    known: int = 0
    identical: int = 0
    all: Sum = field(default_factory=Sum)
    new: Sum = field(default_factory=Sum)
    stored: Sum = field(default_factory=Sum)
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def verify(self) -> None:
        """Raise ``VerificationFailed`` unless every row of the source is accounted for, once."""
        accounted = self.known + self.identical + sum(self.outcomes.values())
        if not self.rows == self.all.rows == accounted:
            raise VerificationFailed(f"table {self.table}: {self.rows} rows, {accounted} of them accounted for")
        if self.new != self.stored:
            raise VerificationFailed(
                f"table {self.table}: {self.new.rows} new rows with checksum {self.new.checksum} were read,"
                f" {self.stored.rows} with {self.stored.checksum} written"
            )

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON knows it."""
        return {
            "table": self.table,
            "target": self.target,
            "rows": self.rows,
            "known": self.known,
            "migrated": self.outcomes["migrated"],
            "merged": self.outcomes["merged"] + self.identical,
            "kept": self.outcomes["kept"],
            "set_aside": self.outcomes["set aside"],
            "checksum": self.all.checksum,
            "reasons": dict(sorted(self.reasons.items())),
            "notes": dict(sorted(self.notes.items())),
        }


@dataclass(slots=True)
class SourceReport:
    """One file that was read; ``snapshot`` is the copy of it that was kept, None if there was nothing new in it."""

    path: str
    journal_mode: str
    size_bytes: int
    snapshot: str | None = None
    sha256: str | None = None
    tables: list[TableReport] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON knows it."""
        return {
            "path": self.path,
            "journal_mode": self.journal_mode,
            "size_bytes": self.size_bytes,
            "snapshot": self.snapshot,
            "sha256": self.sha256,
            "tables": [table.as_json() for table in self.tables],
        }


@dataclass(slots=True)
class Report:
    """One run of the migration; without a ``run`` number nothing was new and nothing was changed."""

    target: str
    timezone: str
    started_us: int
    finished_us: int = 0
    run: int | None = None
    file: str | None = None
    sources: list[SourceReport] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON knows it."""
        return {
            "run": self.run,
            "changed": self.run is not None,
            "target": self.target,
            "timezone": self.timezone,
            "started": rfc3339(self.started_us),
            "finished": rfc3339(self.finished_us),
            "sources": [source.as_json() for source in self.sources],
            "report": self.file,
        }


def account(sources: Iterable[SourceReport], first_source: int, outcomes: Iterable[Row]) -> None:
    """Enter what the ledger says became of the rows (``legacy.outcomes``) into the reports."""
    tables = by_table(sources, first_source)
    for source_id, name, outcome, reason, rows in outcomes:
        tables[source_id, name].outcomes[outcome] += rows
        if reason is not None:
            tables[source_id, name].reasons[reason] += rows


def by_table(sources: Iterable[SourceReport], first_source: int) -> Mapping[tuple[int, str], TableReport]:
    """Return the tables' reports by source id, counted from *first_source*, and name."""
    return {
        (first_source + place, table.table): table for place, source in enumerate(sources) for table in source.tables
    }
