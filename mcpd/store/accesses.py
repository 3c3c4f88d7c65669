"""The log of reads: who asked for which resource, and whether it was given."""

from __future__ import annotations

from mcpd.store.database import Database

_MAX_URI = 2048


def add(
    db: Database,
    now_us: int,
    uri: str,
    caller: str,
    session_id: str | None,
    request_id: str,
    error: str | None,
) -> None:
    """Note that *caller* asked for *uri*; *error* says why it was refused, None that it was given."""
    db.execute(
        "INSERT INTO resource_access_log (id, at_us, uri, caller, session_id, request_id, success, error)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (db.sequence.next(), now_us, uri[:_MAX_URI], caller, session_id, request_id, error is None, error),
    )
