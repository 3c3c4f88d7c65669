"""The register of breaches, and who was told of each when."""

from __future__ import annotations

from typing import Literal, NamedTuple

from mcpd.store.database import Database

Told = Literal["gdpr", "hipaa", "subjects"]
_COLUMNS = (
    "id, detected_us, severity, affected_records, data_types, description, containment, gdpr_told_us, hipaa_told_us,"
    " subjects_told_us, closed_us, reminded_us, recorded_by, metadata, changed_us"
)


class Breach(NamedTuple):
    """One breach; ``data_types`` is a JSON array, ``metadata`` JSON text."""

    id: str
    detected_us: int
    severity: str
    affected_records: int
    data_types: str
    description: str | None
    containment: str | None
    gdpr_told_us: int | None
    hipaa_told_us: int | None
    subjects_told_us: int | None
    closed_us: int | None
    reminded_us: int | None
    recorded_by: str | None
    metadata: str | None
    changed_us: int


def add(db: Database, breach: Breach) -> None:
    """Add *breach*."""
    db.execute(f"INSERT INTO breaches ({_COLUMNS}) VALUES ({', '.join('?' * len(breach))})", breach)  # noqa: S608


def find(db: Database, breach_id: str) -> Breach | None:
    """Return the breach of that id."""
    row = db.one(f"SELECT {_COLUMNS} FROM breaches WHERE id = ?", (breach_id,))  # noqa: S608
    return None if row is None else Breach(*row)


def newest(db: Database, limit: int, offset: int = 0) -> tuple[list[Breach], int]:
    """Return breaches, last detected first, and how many there are."""
    sql = f"SELECT {_COLUMNS} FROM breaches ORDER BY detected_us DESC, id LIMIT ? OFFSET ?"  # noqa: S608
    return [Breach(*row) for row in db.rows(sql, (limit, offset))], int(db.value("SELECT count(*) FROM breaches"))


def untold(db: Database) -> list[Breach]:
    """Return the breaches of which an authority was not told yet."""
    sql = f"SELECT {_COLUMNS} FROM breaches WHERE gdpr_told_us IS NULL OR hipaa_told_us IS NULL"  # noqa: S608
    return [Breach(*row) for row in db.rows(f"{sql} ORDER BY detected_us")]


def update(db: Database, breach: Breach) -> None:
    """Write down what *breach*, which is in the register, is now."""
    db.execute(
        "UPDATE breaches SET containment = ?, gdpr_told_us = ?, hipaa_told_us = ?, subjects_told_us = ?, closed_us = ?,"
        " reminded_us = ?, changed_us = ? WHERE id = ?",
        (
            breach.containment, breach.gdpr_told_us, breach.hipaa_told_us, breach.subjects_told_us, breach.closed_us,
            breach.reminded_us,
            breach.changed_us, breach.id,
        ),
    )  # fmt: skip


def count_open(db: Database) -> int:
    """Return how many breaches are not closed."""
    return int(db.value("SELECT count(*) FROM breaches WHERE closed_us IS NULL"))
