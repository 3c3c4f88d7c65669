"""Who agreed to which use of his data, from when to when."""

from __future__ import annotations

from typing import NamedTuple

from mcpd.store.database import Database

_COLUMNS = "id, subject, purpose, granted_us, expires_us, withdrawn_us, version, recorded_by, metadata, changed_us"
_ACTIVE = "withdrawn_us IS NULL AND (expires_us IS NULL OR expires_us > ?)"


class Consent(NamedTuple):
    """One consent; without ``expires_us`` it holds until it is withdrawn. ``metadata`` is JSON text."""

    id: str
    subject: str
    purpose: str
    granted_us: int
    expires_us: int | None
    withdrawn_us: int | None
    version: str
    recorded_by: str | None
    metadata: str | None
    changed_us: int

    def is_active(self, now_us: int) -> bool:
        """Say whether it holds."""
        return self.withdrawn_us is None and (self.expires_us is None or self.expires_us > now_us)


def add(db: Database, consent: Consent) -> None:
    """Add *consent*."""
    db.execute(f"INSERT INTO subject_consents ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", consent)  # noqa: S608


def find(db: Database, consent_id: str) -> Consent | None:
    """Return the consent of that id."""
    row = db.one(f"SELECT {_COLUMNS} FROM subject_consents WHERE id = ?", (consent_id,))  # noqa: S608
    return None if row is None else Consent(*row)


def withdraw(db: Database, consent_id: str, now_us: int) -> None:
    """Note that the consent was withdrawn."""
    db.execute("UPDATE subject_consents SET withdrawn_us = ?1, changed_us = ?1 WHERE id = ?2", (now_us, consent_id))


def page(db: Database, subject: str | None, purpose: str | None, limit: int, offset: int) -> tuple[list[Consent], int]:
    """Return consents, newest first, of a *subject* and for a *purpose* where given, and how many there are."""
    where = "FROM subject_consents WHERE (?1 IS NULL OR subject = ?1) AND (?2 IS NULL OR purpose = ?2)"
    rows = db.rows(
        f"SELECT {_COLUMNS} {where} ORDER BY granted_us DESC, id LIMIT ?3 OFFSET ?4",
        (subject, purpose, limit, offset),
    )
    return [Consent(*row) for row in rows], int(db.value(f"SELECT count(*) {where}", (subject, purpose)))


def is_active(db: Database, subject: str, purpose: str, now_us: int) -> bool:
    """Say whether a consent of *subject* for *purpose* holds."""
    sql = f"SELECT 1 FROM subject_consents WHERE {_ACTIVE} AND subject = ? AND purpose = ? LIMIT 1"  # noqa: S608
    return db.one(sql, (now_us, subject, purpose)) is not None


def count_active(db: Database, now_us: int) -> int:
    """Return how many consents hold."""
    return int(db.value(f"SELECT count(*) FROM subject_consents WHERE {_ACTIVE}", (now_us,)))  # noqa: S608
