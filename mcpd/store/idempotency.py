"""Results kept under the key that a client gave its request, so that repeating it does nothing twice."""

from __future__ import annotations

from dataclasses import dataclass

from mcpd.store.database import Database

TTL_US = 86_400_000_000
"""How long a result is kept."""

_FORGET_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Kept:
    """A kept result (JSON text), the digest of what was asked, and the id of the request that made it."""

    digest: bytes
    result: str
    request_id: str


def find(db: Database, caller: str, key: str, now_us: int) -> Kept | None:
    """Return what is kept for *caller* under *key*, None if nothing is or its time is up."""
    row = db.one(
        "SELECT digest, result, request_id FROM idempotent_results WHERE caller = ? AND key = ? AND expires_us > ?",
        (caller, key, now_us),
    )
    return None if row is None else Kept(*row)


def put(db: Database, caller: str, key: str, kept: Kept, now_us: int) -> None:
    """Keep *kept* for a day, and forget some of those whose time is up."""
    forget_expired(db, now_us, _FORGET_AT_ONCE)
    db.execute(
        "INSERT OR REPLACE INTO idempotent_results (caller, key, digest, result, request_id, expires_us)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (caller, key, kept.digest, kept.result, kept.request_id, now_us + TTL_US),
    )


def forget_expired(db: Database, now_us: int, limit: int) -> int:
    """Forget *limit* results whose time is up; return how many."""
    db.execute(
        "DELETE FROM idempotent_results WHERE (caller, key) IN"
        " (SELECT caller, key FROM idempotent_results WHERE expires_us <= ? LIMIT ?)",
        (now_us, limit),
    )
    return db.connection.changes()
