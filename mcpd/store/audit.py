"""The audit trail: who asked for what, and what came of it, committed together with the change itself.

A record of a tool's call is at the same time the event of it (``store.events``), by its number.
"""

from __future__ import annotations

import hashlib

import msgspec
import orjson

from mcpd.store.database import Database, Row

_MAX_DETAILS_BYTES = 8192
_SEARCHED = 100_000
_MEASURED = 10_000


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One audited request.

    ``arguments`` is what was asked, ``outcome`` ok, dry_run, refused or failed, for a call that takes longer also
    cancelled, input_required or task; ``trace`` is its W3C traceparent.
    """

    at_us: int
    caller: str
    operation: str
    resource: str | None
    outcome: str
    duration_us: int
    request_id: str
    session_id: str | None
    arguments: object
    trace: str | None = None


def add(db: Database, entry: Entry) -> None:
    """Write *entry*. Arguments over 8 KiB are kept as their size and SHA-256, so that a flood cannot fill the disk."""
    details = orjson.dumps(entry.arguments)
    if len(details) > _MAX_DETAILS_BYTES:
        details = orjson.dumps({"size_bytes": len(details), "sha256": hashlib.sha256(details).hexdigest()})
    db.execute(
        "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            db.sequence.next(), entry.at_us, entry.caller, entry.operation, entry.resource, entry.outcome,
            entry.duration_us, entry.request_id, entry.session_id, details.decode(), entry.trace,
        ),
    )  # fmt: skip


def newest(db: Database, session_id: str | None, limit: int, offset: int) -> list[Row]:
    """Return *limit* records from *offset* on, newest first; those of a session among the last hundred thousand.

    Each is (id, at_us, session_id, caller, operation, resource, outcome, request_id, details as JSON text).
    """
    columns = "id, at_us, session_id, caller, operation, resource, outcome, request_id, details"
    if session_id is None:
        return db.rows(f"SELECT {columns} FROM audit ORDER BY id DESC LIMIT ? OFFSET ?", (limit, offset))  # noqa: S608
    return db.rows(
        f"SELECT {columns} FROM (SELECT * FROM audit ORDER BY id DESC LIMIT ?)"  # noqa: S608 - our own column names
        " WHERE session_id = ? ORDER BY id DESC LIMIT ? OFFSET ?",
        (_SEARCHED, session_id, limit, offset),
    )


def since(db: Database, number: int, limit: int) -> list[Row]:
    """Return the *limit* records behind *number*, in order, each as ``newest`` has them."""
    columns = "id, at_us, session_id, caller, operation, resource, outcome, request_id, details"
    return db.rows(f"SELECT {columns} FROM audit WHERE id > ? ORDER BY id LIMIT ?", (number, limit))  # noqa: S608


def newest_id(db: Database) -> int:
    """Return the number of the newest record, 0 if there is none."""
    row = db.one("SELECT max(id) FROM audit")
    return 0 if row is None or row[0] is None else int(row[0])


def durations(db: Database, since_us: int) -> list[tuple[int, str]]:
    """Return (duration in µs, outcome) of the requests since *since_us*, of the last ten thousand."""
    return [
        (int(duration_us), str(outcome))
        for duration_us, outcome in db.rows(
            "SELECT duration_us, outcome FROM (SELECT at_us, duration_us, outcome FROM audit ORDER BY id DESC LIMIT ?)"
            " WHERE at_us >= ?",
            (_MEASURED, since_us),
        )
    ]
