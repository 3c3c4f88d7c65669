"""An older database takes the place of a newer one, and no number of an event is given again.

The first event of the database that goes on has a number above all that the replaced one gave, and is all that says so:
readers who come upon it are told that what they know of later than its ``after`` holds no more.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import apsw
import orjson

from mcpd import files
from mcpd.store import sequence
from mcpd.store.database import store_errors
from mcpd.store.events import RESTORED

JUMP = 10**12
"""What is left out where it is not known how far the numbers came: more than a century of 300 a second."""

_BEFORE_009 = "SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'"


def last_number(path: Path) -> int | None:
    """Return the last number that the database at *path*, which nobody uses, has given; None if it cannot be read."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return _number(connection, sequence.NEWEST)
        finally:
            connection.close()
    except apsw.Error:
        return None


def go_on(path: Path, last: int | None, kept: Path | None) -> None:
    """Have the numbers of the database at *path*, which nobody knows yet, go on above *last*, and sync it.

    *last* is the last number of the database that it replaces, which is *kept*. One that is smaller than its own last
    number cannot be that of its successor: that one is not known then, as it is with None. Raises ``StoreUnavailable``.
    """
    with store_errors():
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            # The file is not in use before it is whole, and a journal that a killed run left must not meet the next.
            connection.execute("PRAGMA journal_mode = MEMORY").fetchall()
            own = _own(connection)
            seq = own + JUMP if last is None or last < own else last + 1
            data = {"after": own, "kept": kept and str(kept)}
            connection.execute(
                "INSERT INTO events VALUES (?, ?, ?, NULL, ?)",
                (seq, time.time_ns() // 1000, RESTORED, orjson.dumps(data).decode()),
            )
        finally:
            connection.close()
    files.sync(path)


def _own(connection: apsw.Connection) -> int:
    since_009 = _number(connection, "SELECT count(*) FROM sqlite_schema WHERE name = 'event_log'")
    return _number(connection, sequence.NEWEST if since_009 else _BEFORE_009)


def _number(connection: apsw.Connection, query: str) -> int:
    rows: Any = connection.execute(query).fetchall()
    return int(rows[0][0])
