"""The registers that laws ask for: what is done with people's data, who saw what is sensitive, which keys encrypt."""

from __future__ import annotations

from typing import NamedTuple

from mcpd.store.database import Database

_PROCESSING = (
    "id, data_type, classification, purpose, legal_basis, subject, retention_days, encrypted, shared, recorded_by,"
    " metadata, at_us"
)
_ACCESS = (
    "id, caller, subject, resource, action, classification, outcome, reason, emergency, request_id, metadata, at_us"
)
_UNAGREED = (
    "FROM processing_records WHERE legal_basis = 'consent' AND at_us >= ? AND subject IS NOT NULL AND NOT EXISTS ("
    "SELECT 1 FROM subject_consents AS c WHERE c.subject = processing_records.subject"
    " AND c.purpose = processing_records.purpose AND c.granted_us <= processing_records.at_us"
    " AND coalesce(c.withdrawn_us, processing_records.at_us + 1) > processing_records.at_us"
    " AND coalesce(c.expires_us, processing_records.at_us + 1) > processing_records.at_us)"
)


class Processing(NamedTuple):
    """One use of data; what nobody said (``encrypted``, ``shared``, the legal basis) is None. ``metadata`` is JSON."""

    id: str
    data_type: str
    classification: str
    purpose: str
    legal_basis: str | None
    subject: str | None
    retention_days: int | None
    encrypted: bool | None
    shared: bool | None
    recorded_by: str | None
    metadata: str | None
    at_us: int


class Access(NamedTuple):
    """One use of what is declared sensitive, by ``caller``, of data about ``subject`` if that was said."""

    id: str
    caller: str
    subject: str | None
    resource: str
    action: str
    classification: str
    outcome: str | None
    reason: str | None
    emergency: bool
    request_id: str | None
    metadata: str | None
    at_us: int


def add_processing(db: Database, record: Processing) -> None:
    """Add *record*."""
    marks = ", ".join("?" * len(record))
    db.execute(f"INSERT INTO processing_records ({_PROCESSING}) VALUES ({marks})", record)  # noqa: S608


def add_access(db: Database, access: Access) -> None:
    """Add *access*."""
    marks = ", ".join("?" * len(access))
    db.execute(f"INSERT INTO sensitive_accesses ({_ACCESS}) VALUES ({marks})", access)  # noqa: S608


def processing(db: Database, limit: int, offset: int) -> tuple[list[Processing], int]:
    """Return records of processing, newest first, and how many there are."""
    sql = f"SELECT {_PROCESSING} FROM processing_records ORDER BY at_us DESC, id LIMIT ? OFFSET ?"  # noqa: S608
    rows = db.rows(sql, (limit, offset))
    return [Processing(*row) for row in rows], int(db.value("SELECT count(*) FROM processing_records"))


def count_processing(db: Database, since_us: int) -> int:
    """Return how many records of processing there are since *since_us*."""
    return int(db.value("SELECT count(*) FROM processing_records WHERE at_us >= ?", (since_us,)))


def count_unencrypted(db: Database, classifications: tuple[str, ...]) -> int:
    """Return how many records say that data of one of *classifications* was not encrypted."""
    marks = ", ".join("?" * len(classifications))
    sql = f"SELECT count(*) FROM processing_records WHERE encrypted = 0 AND classification IN ({marks})"  # noqa: S608
    return int(db.value(sql, classifications))


def count_shared(db: Database, since_us: int) -> int:
    """Return how many records since *since_us* say that data went to somebody else."""
    return int(db.value("SELECT count(*) FROM processing_records WHERE shared = 1 AND at_us >= ?", (since_us,)))


def count_baseless(db: Database) -> int:
    """Return how many records of personal data name no legal basis."""
    classes = "('pii', 'phi', 'pci')"
    sql = f"SELECT count(*) FROM processing_records WHERE legal_basis IS NULL AND classification IN {classes}"  # noqa: S608
    return int(db.value(sql))


def count_unagreed(db: Database, since_us: int) -> int:
    """Return how many records since *since_us* rest on a consent that did not hold then."""
    return int(db.value(f"SELECT count(*) {_UNAGREED}", (since_us,)))


def count_accesses(db: Database, classification: str, since_us: int, which: str = "all") -> int:
    """Return how many accesses to data of *classification* there were: all, in an emergency or without a reason."""
    condition = {"all": "", "emergency": " AND emergency = 1", "unexplained": " AND reason IS NULL"}[which]
    sql = f"SELECT count(*) FROM sensitive_accesses WHERE at_us >= ? AND classification = ?{condition}"  # noqa: S608
    return int(db.value(sql, (since_us, classification)))


def use_key(db: Database, key_id: str, algorithm: str, bits: int, now_us: int) -> None:
    """Note that a key is in use, if it is not noted yet."""
    db.execute("INSERT OR IGNORE INTO encryption_keys VALUES (?, ?, ?, ?)", (key_id, algorithm, bits, now_us))
