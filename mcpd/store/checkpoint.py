"""Checkpoints in a thread of their own, so that moving the WAL into the database never holds up the event loop.

A commit reports the WAL's length; past ``PASSIVE_PAGES`` the thread copies what it can without blocking anybody, past
``TRUNCATE_PAGES`` it makes the writer wait for the moment that emptying the file takes. Without the second step a
steady writer would let the WAL grow for ever.
"""

from __future__ import annotations

import threading

import apsw

from mcpd.store.database import Database

PASSIVE_PAGES = 1_000
TRUNCATE_PAGES = 8_000


class Checkpointer:
    """Checkpoint *writer*'s database at *path* whenever its WAL has grown; ``close`` ends the thread."""

    def __init__(self, writer: Database, path: str) -> None:
        self._db = Database(path, busy_timeout_s=1.0)
        self._db.connection.wal_autocheckpoint(0)
        self._pages = 0
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="checkpoint", daemon=True)
        writer.connection.set_wal_hook(self._committed)
        self._thread.start()

    def _committed(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._pages = pages
        if pages > PASSIVE_PAGES:
            self._wake.set()
        return apsw.SQLITE_OK

    def _run(self) -> None:
        while self._wake.wait() and not self._closing:
            self._wake.clear()
            large = self._pages > TRUNCATE_PAGES
            mode = apsw.SQLITE_CHECKPOINT_TRUNCATE if large else apsw.SQLITE_CHECKPOINT_PASSIVE
            try:
                self._db.connection.wal_checkpoint(mode=mode)
            except apsw.BusyError:
                continue  # a reader or writer was in the way; the next commit wakes us again

    def close(self) -> None:
        """Stop the thread and close its connection."""
        self._closing = True
        self._wake.set()
        self._thread.join()
        self._db.close()
