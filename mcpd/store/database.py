"""One connection to the database, opened as every part of mcpd opens it.

WAL, foreign keys on, double-quoted strings off. Every write is a ``BEGIN IMMEDIATE``: a transaction that reads first
and writes later would meet SQLITE_BUSY that no timeout cures. SQLite's errors leave as ``StoreUnavailable``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import apsw

from mcpd.errors import StoreUnavailable
from mcpd.store import sequence

Row = tuple[Any, ...]
Durability = Literal["process", "power"]
_SYNCHRONOUS = {"process": "NORMAL", "power": "FULL"}


class Database:
    """A connection for one thread; ``read_only`` never creates, changes or locks out a writer."""

    def __init__(
        self,
        path: str,
        *,
        durability: Durability = "process",
        busy_timeout_s: float = 2.0,
        read_only: bool = False,
    ) -> None:
        self._path = path
        flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        with store_errors():
            self.connection = apsw.Connection(path, flags=flags)
            self.connection.set_busy_timeout(int(busy_timeout_s * 1000))
            self.connection.config(apsw.SQLITE_DBCONFIG_DQS_DDL, 0)
            self.connection.config(apsw.SQLITE_DBCONFIG_DQS_DML, 0)
            if not read_only:
                self.connection.execute("PRAGMA journal_mode = WAL")
            self.connection.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[durability]}")
            self.connection.execute("PRAGMA foreign_keys = ON")
        # One cursor for everything: a new one for each statement costs as much again as a small statement does.
        # A query's rows are therefore taken at once; none may be left for after the next statement.
        self._cursor = self.connection.cursor()
        self.execute = self._cursor.execute
        self.sequence = sequence.Sequence(self.connection, self.execute)
        self.begin, self.commit = self.sequence.begin, self.sequence.commit

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> Row | None:
        """Return the first row of a query, None if there is none."""
        rows = self.execute(sql, parameters).fetchall()
        return rows[0] if rows else None

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of a query; the query bounds how many."""
        found: list[Row] = self.execute(sql, parameters).fetchall()
        return found

    def value(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        """Return the only value of a query that always has one, such as a count or ``INSERT … RETURNING``."""
        return self.execute(sql, parameters).fetchall()[0][0]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block in one ``BEGIN IMMEDIATE`` … ``COMMIT``; any exception rolls all of it back."""
        with store_errors():
            self.begin()
            try:
                yield
            except BaseException:
                self.roll_back()
                raise
            self.commit()

    def roll_back(self) -> None:
        """Take back what the transaction changed, unless SQLite has done so already."""
        self.sequence.taken_back()
        if self.connection.in_transaction:
            self.execute("ROLLBACK")

    @contextmanager
    def snapshot(self) -> Iterator[Database]:
        """Open a second, read-only connection to the same file that sees it, for the block, as it is now."""
        with store_errors():
            db = Database(self._path, read_only=True)
            try:
                db.execute("BEGIN")
                yield db
            finally:
                db.close()

    def probe(self) -> None:
        """Read through to the file; raises ``StoreUnavailable`` when the database cannot be read."""
        with store_errors():
            self.execute("SELECT version FROM schema_migrations LIMIT 1").fetchall()

    def close(self) -> None:
        """Close the connection; the last one out checkpoints the WAL."""
        self.connection.close()


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn SQLite's errors in the block into ``StoreUnavailable``."""
    try:
        yield
    except apsw.Error as exc:
        raise unavailable(exc) from exc


def unavailable(exc: apsw.Error) -> StoreUnavailable:
    """Return the answer for SQLite's error *exc*: what is the matter, without path or SQL."""
    for kind, reason in _REASONS:
        if isinstance(exc, kind):
            return StoreUnavailable(f"the database {reason}")
    return StoreUnavailable("the database refused the request")


_REASONS = (
    (apsw.BusyError, "is locked by another process"),
    (apsw.LockedError, "is locked by another process"),
    (apsw.FullError, "or its disk is full"),
    (apsw.ReadOnlyError, "is read-only"),
    (apsw.CantOpenError, "cannot be opened"),
    (apsw.IOError, "cannot be read or written"),
    (apsw.CorruptError, "is damaged"),
    (apsw.NotADBError, "is not an SQLite file"),
)
