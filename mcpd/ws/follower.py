"""Follow the database: what is new goes to the listeners, and a file that takes its place is opened instead."""

from __future__ import annotations

import logging
import os

from mcpd import sd
from mcpd.errors import StoreUnavailable
from mcpd.store.database import Database
from mcpd.ws.feed import Feed
from mcpd.ws.streams import Streams


class Follower:
    """Tell *feed* and *streams* what *db*, the file at *path*, has that is new."""

    def __init__(self, path: str, db: Database, feed: Feed, streams: Streams) -> None:
        self._path = path
        self._db = db
        self._feed = feed
        self._streams = streams
        self._file = self._identify()
        self._log = logging.getLogger(sd.LOGGER_NAME)
        self._failing = False

    def ring(self) -> bool:
        """Look for what is new; say whether there was an event."""
        try:
            self._reopen()
            found = self._feed.advance()
            self._streams.ring()
        except StoreUnavailable as error:
            if not self._failing:
                self._log.error("the event log cannot be read: %s", error.message)
            self._failing = True
            return False
        self._failing = False
        return found

    def probe(self) -> None:
        """Read through to the file; raises ``StoreUnavailable``."""
        self._db.probe()

    def _reopen(self) -> None:
        """Open the file that is there now, if it is another one (a backup was restored)."""
        found = self._identify()
        if found == self._file or found is None:
            return
        db = Database(self._path, read_only=True)
        self._feed.log.use(db)
        self._streams.use(db)
        self._db.close()
        self._db, self._file = db, found
        self._log.warning("the database is another one than before; clients are told so")
        self._feed.restart()

    def _identify(self) -> tuple[int, int] | None:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - with every event
        except OSError:
            return None
        return status.st_dev, status.st_ino
