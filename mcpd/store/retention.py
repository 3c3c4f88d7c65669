"""Rules for how long data is kept, and the rows whose time is over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import orjson

from mcpd.store.database import Database

DAY_US = 86_400_000_000
OWN = "processing_records"
"""The rule that stands in the records themselves: those that say how long they are kept."""

_NEVER = "9223372036854775807"
_ENDED = f"min(coalesce(withdrawn_us, {_NEVER}), coalesce(expires_us, {_NEVER})) < ?"
_BY_CLASS = "classification = '{}' AND retention_days IS NULL AND at_us < ?"

_TARGETS: Mapping[str, tuple[str, str]] = {
    **{
        name: ("processing_records", _BY_CLASS.format(name))
        for name in ("public", "internal", "confidential", "restricted", "pii", "phi", "pci")
    },
    OWN: ("processing_records", f"retention_days > 0 AND at_us < ? - retention_days * {DAY_US}"),
    "consents": ("subject_consents", _ENDED),
    "sensitive_accesses": ("sensitive_accesses", "at_us < ?"),
    "breaches": ("breaches", "closed_us < ?"),
    "audit": ("audit", "at_us < ?"),
    "resource_access_log": ("resource_access_log", "at_us < ?"),
    "activities": ("activities", "at_us < ?"),
}
"""By type of data: its table, and the condition on a row whose time is over at the moment that stands for ``?``."""


class Rule(NamedTuple):
    """How many *days* data of a type is kept; 0 is for ever."""

    data_type: str
    classification: str
    days: int
    reason: str | None
    updated_us: int


def rules(db: Database) -> list[Rule]:
    """Return the rules."""
    rows = db.rows("SELECT data_type, classification, days, reason, updated_us FROM retention_rules ORDER BY rowid")
    return [Rule(*row) for row in rows]


def set_days(db: Database, data_type: str, days: int, now_us: int) -> bool:
    """Set how many days data of *data_type* is kept; return False if there is no such rule."""
    db.execute("UPDATE retention_rules SET days = ?, updated_us = ? WHERE data_type = ?", (days, now_us, data_type))
    return db.connection.changes() > 0


def count_due(db: Database, data_type: str, before_us: int) -> int:
    """Return how many rows of *data_type* are older than *before_us*."""
    table, condition = _TARGETS[data_type]
    return int(db.value(f"SELECT count(*) FROM {table} WHERE {condition}", (before_us,)))  # noqa: S608 - our own names


def due(db: Database, data_type: str, before_us: int, limit: int) -> list[int]:
    """Return the row numbers of *limit* rows of *data_type* that are older than *before_us*."""
    table, condition = _TARGETS[data_type]
    rows = db.rows(f"SELECT rowid FROM {table} WHERE {condition} LIMIT ?", (before_us, limit))  # noqa: S608
    return [int(row[0]) for row in rows]


def delete(db: Database, data_type: str, before_us: int, numbers: Sequence[int]) -> int:
    """Delete those of the rows *numbers* that are still due; return how many those were."""
    table, condition = _TARGETS[data_type]
    marks = ", ".join(map(str, numbers))
    db.execute(f"DELETE FROM {table} WHERE rowid IN ({marks}) AND {condition}", (before_us,))  # noqa: S608
    return int(db.connection.changes())


def add_run(db: Database, now_us: int, rows: Mapping[str, int]) -> None:
    """Note that the rules were enforced, and how many *rows* of each type that deleted."""
    db.execute("INSERT INTO retention_runs (at_us, rows) VALUES (?, ?)", (now_us, orjson.dumps(rows).decode()))


def last_run_us(db: Database) -> int | None:
    """Return when the rules were last enforced, None if never."""
    found: int | None = db.value("SELECT max(at_us) FROM retention_runs")
    return found
