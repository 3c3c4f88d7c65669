"""Server-sent events as bytes (WHATWG HTML, section 9.2), for MCP's streams."""

from __future__ import annotations

from dataclasses import dataclass

KEEP_ALIVE = b": \n\n"
"""A comment: it keeps proxies from taking a quiet stream for a dead one, and clients ignore it."""


def encode_event(data: bytes, event_id: str | None = None) -> bytes:
    """Return one event of *data* (JSON on one line); with *event_id* the client may resume behind it."""
    head = b"" if event_id is None else b"id: %b\n" % event_id.encode("ascii")
    return b"%bdata: %b\n\n" % (head, data)


def encode_retry(after_ms: int) -> bytes:
    """Return the advice to come back *after_ms* milliseconds after the stream has ended."""
    return b"retry: %d\n\n" % after_ms


def encode_place(place: int) -> bytes:
    """Return a comment that tells who knows of it the *place* in the event log, for streams that may carry no ids."""
    return b": at %d\n" % place


@dataclass(frozen=True, slots=True)
class Event:
    """One event that came: its ``data``, empty for one that only moves ``id``, and when to come back if it says so.

    ``place`` is what ``encode_place`` told, ``name`` the event's type where it has one.
    """

    data: bytes
    id: str | None = None
    retry_ms: int | None = None
    place: str | None = None
    name: str | None = None


class EventReader:
    """Bytes of a stream in, events out (section 9.2.6); what a break cut off is dropped."""

    def __init__(self) -> None:
        self._buffer = b""
        self._data: list[bytes] = []
        self._id: str | None = None
        self._retry_ms: int | None = None
        self._place: str | None = None
        self._name: str | None = None

    def receive_data(self, data: bytes) -> list[Event]:
        """Return the events that *data* ends."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [event for line in lines if (event := self._take(line.removesuffix(b"\r"))) is not None]

    def _take(self, line: bytes) -> Event | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        elif name == b"retry" and value.isdigit():
            self._retry_ms = int(value)
        elif name == b"event":
            self._name = value.decode("utf-8", "replace")
        elif not name and value.startswith(b"at ") and value[3:].isdigit():
            self._place = value[3:].decode("ascii")
        return None

    def _dispatch(self) -> Event | None:
        event = Event(b"\n".join(self._data), self._id, self._retry_ms, self._place, self._name)
        self._data, self._id, self._retry_ms, self._place, self._name = [], None, None, None, None
        return None if event == Event(b"") else event
