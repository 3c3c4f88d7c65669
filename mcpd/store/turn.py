"""Group commit: the requests of one event-loop turn share one transaction, each in a savepoint of its own.

Durability then costs one commit a turn instead of one a request, and a request that fails takes back only itself.
The transaction begins with the first request that needs it. No answer may leave before ``commit`` returned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import apsw

from mcpd.errors import StoreUnavailable
from mcpd.store import database
from mcpd.store.database import Database

T = TypeVar("T")
_NOTHING_KEPT = "; nothing of this request was kept"


class Turn:
    """One turn's transaction on *db*: ``run`` each request's work, then ``commit`` once."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._begun = False
        self._lost: StoreUnavailable | None = None

    @property
    def has_begun(self) -> bool:
        """Whether there is a transaction, so that one more change costs little."""
        return self._begun and self._lost is None

    def run(self, work: Callable[[], T], *, keep: bool = True, single: bool = False) -> T:
        """Return what *work* returns, its changes kept for the commit; on any exception they are taken back.

        Without *keep* they are taken back in any case (a dry run). *single* says that its only change is its last
        statement, which then needs no savepoint. Raises ``StoreUnavailable`` for SQLite's errors and once the
        transaction was lost.
        """
        if self._lost is not None:
            raise self._lost
        execute = self._db.execute
        try:
            if not self._begun:
                self._db.begin()
                self._begun = True
            if single:
                return work()
            execute("SAVEPOINT request")
            result = work()
            if not keep:
                execute("ROLLBACK TO request")
            execute("RELEASE request")
        except apsw.Error as exc:
            error = _unkept(exc)
            self._take_back(error, single=single)
            raise error from exc
        except BaseException:
            self._take_back(None, single=single)
            raise
        return result

    def commit(self) -> None:
        """Make every kept change durable; raises ``StoreUnavailable`` when none of them was kept."""
        if not self._begun:
            return
        if self._lost is None:
            try:
                self._db.commit()
            except apsw.Error as exc:
                self._lost = _unkept(exc)
        if self._lost is not None:
            self._db.roll_back()
            raise self._lost

    def abandon(self) -> None:
        """Take back everything, since nobody will commit it."""
        if self._begun:
            self._db.roll_back()

    def _take_back(self, error: StoreUnavailable | None, *, single: bool) -> None:
        if not self._begun:
            self._lost = error  # locked: the requests behind this one must not each wait for the lock again
            return
        # A full disk or an I/O error makes SQLite roll back the whole transaction, with the requests before this one.
        if self._db.connection.in_transaction:
            if single:
                return  # SQLite takes a statement that fails back by itself
            try:
                self._db.execute("ROLLBACK TO request")
                self._db.execute("RELEASE request")
            except apsw.Error as exc:
                self._lost = _unkept(exc)
        else:
            self._lost = error or StoreUnavailable(f"the transaction was lost{_NOTHING_KEPT}")


def _unkept(exc: apsw.Error) -> StoreUnavailable:
    return StoreUnavailable(database.unavailable(exc).message + _NOTHING_KEPT)
