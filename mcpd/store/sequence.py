"""One sequence of numbers for events, audit records and the log of reads: a call or a read is an event by its number.

A number is given inside the transaction that writes its row. The lock that a writer holds makes the order of the
numbers that of the commits, whichever process commits. What is taken back leaves a gap; nothing is given twice.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable
from functools import partial
from typing import Any

import apsw

NEWEST = """
SELECT max(
    ifnull((SELECT max(seq) FROM events), 0),
    ifnull((SELECT max(id) FROM audit), 0),
    ifnull((SELECT max(id) FROM resource_access_log), 0),
    (SELECT max(merged_after, removed_to) FROM event_log)
)"""
"""The newest number in use or, where its row is gone, ever used."""

_Next = Callable[[], int]


class Sequence:
    """The transactions of *connection* that write, made by *execute*, and the numbers that they give: ``next``.

    The newest number is read once a transaction, and not even that while nobody else has written since our last one:
    SQLite's data version of the file tells, which it looks at when a transaction begins (SQLITE_FCNTL_DATA_VERSION).
    """

    def __init__(self, connection: apsw.Connection, execute: Callable[[str], Any]) -> None:
        self._execute = execute
        self._version = array("I", [0])
        address = self._version.buffer_info()[0]
        self._look = partial(connection.file_control, "main", apsw.SQLITE_FCNTL_DATA_VERSION, address)
        self._known = -1  # the data version behind our last commit
        self._count: _Next = self._read
        self.next: _Next = self._single

    def begin(self) -> None:
        """Begin a transaction that writes."""
        self._execute("BEGIN IMMEDIATE")
        self._look()
        self.next = self._count if self._version[0] == self._known else self._read

    def commit(self) -> None:
        """Make what the transaction changed durable."""
        self._execute("COMMIT")
        self._look()
        self._known = self._version[0]
        self._count, self.next = self.next, self._single

    def taken_back(self) -> None:
        """The transaction was rolled back."""
        self._known, self.next = -1, self._single

    def newest(self) -> int:
        """Return the newest number."""
        return int(self._execute(NEWEST).fetchall()[0][0])

    def _read(self) -> int:
        """Return the first number of a transaction, and count on from there."""
        self.next = itertools.count(self.newest() + 1).__next__
        return self.next()

    def _single(self) -> int:
        """Return a number for a statement that is a transaction of its own."""
        return self.newest() + 1
