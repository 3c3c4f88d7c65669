"""Listeners and what they have heard: every committed event reaches each of them once, in order.

A listener is a place in the event log and a sink. One that cannot keep up just falls behind: it costs no memory, and
reads on from its place when its client takes data again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from mcpd.protocol.http import Sink
from mcpd.server import notices
from mcpd.server.notices import Filter
from mcpd.store import events
from mcpd.store.database import Database, Row

_PAGE = 200


class Listener(ABC):
    """One client's stream (``http.Stream``), from the event behind number *seq* on.

    *derived* says that it wants to hear of calls and reads too.
    """

    derived = False

    def __init__(self, hub: Hub, seq: int) -> None:
        self._hub = hub
        self._sink: Sink | None = None
        self.seq = seq

    @abstractmethod
    def hear(self, row: Row) -> None:
        """Tell the client what the event *row* means to it."""

    @abstractmethod
    def greeting(self) -> bytes:
        """Return what opens the stream."""

    @abstractmethod
    def farewell(self) -> bytes:
        """Return what ends the stream when the server goes down."""

    def opened(self, sink: Sink) -> None:
        """Greet, tell what was missed, and listen from now on."""
        self._sink = sink
        sink.send(self.greeting())
        self._hub.add(self)
        self.drained()

    def drained(self) -> None:
        """Tell what happened while the client took nothing."""
        while self.ready and (rows := self._hub.rows_since(self.seq, derived=self.derived)):
            for row in rows:
                self.hear(row)

    def closed(self) -> None:
        """Forget a client that is gone."""
        self._sink = None
        self._hub.remove(self)

    @property
    def is_connected(self) -> bool:
        """Whether the client is there."""
        return self._sink is not None

    @property
    def ready(self) -> bool:
        """Whether the client takes data."""
        return self._sink is not None and not self._sink.blocked

    def end(self) -> None:
        """Take leave of the client; its connection can be used again."""
        sink, self._sink = self._sink, None
        self._hub.remove(self)
        if sink is not None:
            sink.send(self.farewell())
            sink.end()


class Notified(Listener):
    """A stream of MCP's notifications."""

    @abstractmethod
    def filter(self) -> Filter:
        """Return what this listener wants to hear now."""

    @abstractmethod
    def encode(self, notification: dict[str, Any]) -> bytes:
        """Return *notification*, which the event ``seq`` made, as this listener's client expects it."""

    def hear(self, row: Row) -> None:
        assert self._sink is not None
        self.seq = row[0]
        for notification in notices.read(row, self.filter()):
            self._sink.send(self.encode({"jsonrpc": "2.0", **notification}))


class Hub:
    """Tell listeners what was committed to *db*; ``attended`` hears whether there are any."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._listeners: set[Listener] = set()
        self.attended: Callable[[bool], None] = lambda _anybody: None
        self._derived = 0  # listeners that want calls and reads, which cost something to read
        self._seq = 0

    def newest(self) -> int:
        """Return the number of the newest event."""
        return events.newest(self._db)

    def rows_since(self, seq: int, *, derived: bool) -> list[Row]:
        """Return the events behind number *seq*, a page at most; with *derived*, calls and reads too."""
        return events.since(self._db, seq, _PAGE, derived=derived)

    def removed_to(self) -> int:
        """Return the number up to which events were removed."""
        return events.removed_to(self._db)

    def add(self, listener: Listener) -> None:
        """Tell *listener* what is committed from now on; what it missed it reads itself."""
        if not self._listeners:
            self._seq = self.newest()
            self.attended(True)
        self._listeners.add(listener)
        self._derived += listener.derived

    def remove(self, listener: Listener) -> None:
        """Tell *listener* nothing more."""
        if listener in self._listeners:
            self._listeners.remove(listener)
            self._derived -= listener.derived
            if not self._listeners:
                self.attended(False)

    @property
    def has_listeners(self) -> bool:
        """Whether anybody is to be told."""
        return bool(self._listeners)

    def publish(self) -> None:
        """Tell every listener that keeps up what was committed since the last call."""
        while self._listeners and (rows := self.rows_since(self._seq, derived=self._derived > 0)):
            for listener in list(self._listeners):
                for row in rows:
                    if listener.ready and listener.seq < row[0]:
                        listener.hear(row)
            self._seq = rows[-1][0]

    def close(self) -> None:
        """End every stream, since the server goes down."""
        for listener in list(self._listeners):
            listener.end()
