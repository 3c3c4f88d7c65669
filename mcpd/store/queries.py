"""How the database itself does: its slow queries, its caches, and what it would do for a query."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import apsw

from mcpd.store.database import Database, Row

KEPT = 1000
_MAX_TEXT = 500
_READS = frozenset(
    {apsw.SQLITE_SELECT, apsw.SQLITE_READ, apsw.SQLITE_FUNCTION, apsw.SQLITE_RECURSIVE}
)  # fmt: skip


def keep(db: Database, now_us: int) -> None:
    """Write down the slow queries that wait in *db*; the newest thousand are kept."""
    while db.slow:
        query = db.slow.popleft()
        text = " ".join(query.sql.split())
        db.execute(
            "INSERT INTO query_performance (query_hash, query_text, execution_time, row_count, timestamp)"
            " VALUES (?, ?, ?, ?, ?)",
            (fingerprint(text), text[:_MAX_TEXT], query.duration_ns / 1e9, query.rows, now_us / 1e6),
        )
    db.execute(
        "DELETE FROM query_performance WHERE id <= (SELECT max(id) FROM query_performance) - ?", (KEPT,)
    )  # fmt: skip


def fingerprint(text: str) -> str:
    """Return what tells a query from others."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]


def slowest(db: Database, since_us: int, limit: int) -> list[Row]:
    """Return (hash, text, mean time in s, longest, how often, newest in s since the epoch), slowest first."""
    return db.rows(
        "SELECT query_hash, query_text, avg(execution_time), max(execution_time), count(*), max(timestamp)"
        " FROM query_performance WHERE timestamp >= ? GROUP BY query_hash ORDER BY 3 DESC LIMIT ?",
        (since_us / 1e6, limit),
    )


Cache = tuple[str, int, int, int]
"""A cache: its name, hits, misses, and bytes of memory."""


def caches(db: Database) -> list[Cache]:
    """Return the caches of *db*, counted since it was opened: the file's pages, and prepared statements."""
    status = db.connection.status
    hits, misses = (status(what)[0] for what in (apsw.SQLITE_DBSTATUS_CACHE_HIT, apsw.SQLITE_DBSTATUS_CACHE_MISS))
    statements = db.connection.cache_stats()
    return [
        ("pages", hits, misses, status(apsw.SQLITE_DBSTATUS_CACHE_USED)[0]),
        ("statements", statements["hits"], statements["misses"], status(apsw.SQLITE_DBSTATUS_STMT_USED)[0]),
    ]


def keep_caches(db: Database, found: Sequence[Cache], now_us: int) -> None:
    """Write down what ``caches`` found, at most once a minute; the newest thousand are kept."""
    newest_s = db.value("SELECT ifnull(max(timestamp), 0) FROM cache_stats")
    if now_us / 1e6 - newest_s < 60:
        return
    for name, hits, misses, used in found:
        db.execute(
            "INSERT INTO cache_stats (timestamp, cache_type, hits, misses, hit_rate, memory_usage)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (now_us / 1e6, name, hits, misses, rate(hits, misses), used),
        )
    db.execute("DELETE FROM cache_stats WHERE id <= (SELECT max(id) FROM cache_stats) - ?", (KEPT,))


def rate(hits: int, misses: int) -> float | None:
    """Return which part of the looks into a cache found what they looked for; None if there were none."""
    return hits / (hits + misses) if hits + misses else None


class NoQuery(Exception):
    """The text is not one query that only reads; the message says why."""


def plan(db: Database, text: str) -> list[str]:
    """Return the steps that SQLite would take for the query *text*, which is not run; raises ``NoQuery``.

    On a connection of its own that cannot write, with an authorizer that knows nothing but reading our tables.
    """
    if "\0" in text:
        raise NoQuery("it holds a NUL")
    seen: set[int] = set()
    statements: list[str] = []

    def authorize(action: int, *_: object) -> int:
        seen.add(action)
        return apsw.SQLITE_OK if action in _READS else apsw.SQLITE_DENY

    def trace(_cursor: object, sql: str, _bindings: object) -> bool:
        statements.append(sql)
        return len(statements) == 1

    with db.snapshot() as reader:
        reader.connection.set_authorizer(authorize)
        reader.connection.exec_trace = trace
        try:
            rows = reader.connection.execute(f"EXPLAIN QUERY PLAN {text}", can_cache=False).fetchall()
        except apsw.ExecTraceAbort:
            raise NoQuery("it is more than one statement") from None
        except (apsw.AuthError, apsw.SQLError) as exc:
            raise NoQuery(str(exc)) from None
        except apsw.BindingsError:
            raise NoQuery("it has parameters; put values in their place") from None
        finally:
            reader.connection.set_authorizer(None)
    if apsw.SQLITE_SELECT not in seen:
        raise NoQuery("it is no SELECT")
    return [str(row[3]) for row in rows]
