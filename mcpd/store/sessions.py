"""What is kept of sessions: those that were ended, subscriptions, log levels. All else lives in the signed id."""

from __future__ import annotations

from mcpd.store.database import Database

_SINCE = {"ended_sessions": "ended_us", "session_subscriptions": "since_us", "session_log_levels": "since_us"}


def end(db: Database, nonce: str, now_us: int) -> None:
    """Remember that the session *nonce* was ended."""
    db.execute("INSERT OR IGNORE INTO ended_sessions VALUES (?, ?)", (nonce, now_us))
    forget(db, nonce)


def forget(db: Database, nonce: str) -> None:
    """Forget what was kept of the session *nonce*."""
    db.execute("DELETE FROM session_subscriptions WHERE nonce = ?", (nonce,))
    db.execute("DELETE FROM session_log_levels WHERE nonce = ?", (nonce,))


def ended(db: Database) -> set[str]:
    """Return the nonces of all ended sessions."""
    return {str(row[0]) for row in db.rows("SELECT nonce FROM ended_sessions")}


def forget_before(db: Database, before_us: int, limit: int = -1) -> int:
    """Forget what was kept of sessions before *before_us*, whose ids have expired by now; return how many rows.

    With *limit*, of that many rows of each table at most.
    """
    removed = 0
    for table, since in _SINCE.items():
        old = f"SELECT nonce FROM {table} WHERE {since} < ? LIMIT ?"  # noqa: S608 - names of ours
        db.execute(f"DELETE FROM {table} WHERE nonce IN ({old})", (before_us, limit))  # noqa: S608
        removed += db.connection.changes()
    return removed


def subscribe(db: Database, nonce: str, uri: str, now_us: int) -> None:
    """Tell the session *nonce* of updates of the resource *uri* from now on."""
    db.execute("INSERT OR IGNORE INTO session_subscriptions VALUES (?, ?, ?)", (nonce, uri, now_us))


def unsubscribe(db: Database, nonce: str, uri: str) -> None:
    """Tell the session *nonce* no more of *uri*."""
    db.execute("DELETE FROM session_subscriptions WHERE nonce = ? AND uri = ?", (nonce, uri))


def subscriptions(db: Database, nonce: str) -> set[str]:
    """Return the resources of whose updates the session *nonce* is told."""
    return {str(row[0]) for row in db.rows("SELECT uri FROM session_subscriptions WHERE nonce = ?", (nonce,))}


def set_log_level(db: Database, nonce: str, level: str, now_us: int) -> None:
    """Tell the session *nonce* from now on what is logged from *level* on."""
    db.execute("INSERT OR REPLACE INTO session_log_levels VALUES (?, ?, ?)", (nonce, level, now_us))


def log_level(db: Database, nonce: str) -> str | None:
    """Return the level that the session *nonce* asked for, None if it did not."""
    row = db.one("SELECT level FROM session_log_levels WHERE nonce = ?", (nonce,))
    return None if row is None else str(row[0])
