"""HTTP/1.1 without sockets: bytes in, requests out; responses in, bytes out (RFC 9110, RFC 9112).

The framing is ours, so that every head is read (``head.py``) as the exact bytes it came as. One reader serves one
connection, one request at a time; what was sent after it (pipelining) waits in the buffer. Time is not this module's:
the shell asks for ``phase``.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

import msgspec

from mcpd.errors import InvalidRequest
from mcpd.protocol.chunked import ChunkedDecoder
from mcpd.protocol.head import Head, HeadMemory, check_lines


class Phase(enum.Enum):
    """Where a connection stands between two requests."""

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may weigh, in bytes."""

    max_header_bytes: int
    max_body_bytes: int


class HttpRequest(msgspec.Struct, frozen=True, gc=False):
    """One whole request: header names in lower case, a repeated header's values joined by ``, `` (RFC 9110 5.3)."""

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    body: bytes
    keep_alive: bool
    version: str = "1.1"
    duplicated: frozenset[bytes] = frozenset()

    def header(self, name: bytes) -> str | None:
        """Return the header *name* (lower case) as text, None if absent. Bytes that are not ASCII stay apart."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


class HttpResponse(msgspec.Struct, frozen=True, gc=False):
    """One whole answer; ``headers`` are further complete lines (``b"Name: value\\r\\n"``)."""

    status: int
    body: bytes = b""
    headers: bytes = b""
    content_type: bytes = b"application/json"


class Sink(Protocol):
    """The client's end of a stream."""

    @property
    def blocked(self) -> bool:
        """Whether the client takes nothing for now."""

    def send(self, data: bytes) -> None:
        """Send *data*; what is sent while ``blocked`` piles up in memory."""

    def end(self) -> None:
        """End the stream; the connection goes on with what comes next."""


class Stream(Protocol):
    """Who fills a stream."""

    def opened(self, sink: Sink) -> None:
        """The head was sent; the stream may be filled by *sink*."""

    def drained(self) -> None:
        """The client takes data again."""

    def closed(self) -> None:
        """The client is gone."""


class Waiter(Protocol):
    """Who answers a request later than in its turn."""

    def awaited(self, reply: Callable[[HttpResponse | HttpStream], None]) -> None:
        """The client waits; *reply* is to be called once."""

    def quiet(self) -> None:
        """The client has waited for a while and heard nothing."""

    def closed(self) -> None:
        """The client is gone."""


class HttpLater(msgspec.Struct, frozen=True):
    """An answer still to be made, by *waiter*; ``headers`` go into it."""

    waiter: Waiter
    headers: bytes = b""


class HttpStream(msgspec.Struct, frozen=True):
    """An answer whose body comes as it happens, as server-sent events that *stream* sends."""

    stream: Stream
    headers: bytes = b""
    status: int = 200


class RequestReader:
    """``receive_data`` bytes, take ``next_request`` until it returns None; an ``Error`` raised is the last answer."""

    def __init__(self, limits: Limits, heads: HeadMemory) -> None:
        self._limits = limits
        self._heads = heads
        self._buffer = b""
        self._head: Head | None = None
        self._chunks: ChunkedDecoder | None = None
        self._continue = False

    @property
    def phase(self) -> Phase:
        """What the peer owes: nothing, the rest of a head, or the rest of a body."""
        if self._head is not None:
            return Phase.BODY
        return Phase.HEAD if self._buffer else Phase.IDLE

    @property
    def buffered_bytes(self) -> int:
        """Bytes received and not yet part of a request that was handed out."""
        return len(self._buffer)

    def receive_data(self, data: bytes) -> None:
        """Take *data* from the peer."""
        self._buffer = self._buffer + data if self._buffer else data

    def rest(self) -> bytes:
        """Return what came behind the last request, of a connection that speaks another protocol from there on."""
        rest, self._buffer = self._buffer, b""
        return rest

    def wants_continue(self) -> bool:
        """Say once, and only before any of the body came, that the peer waits for ``100 Continue``."""
        wanted, self._continue = self._continue and not self._buffer, False
        return wanted

    def next_request(self) -> HttpRequest | None:
        """Return the next whole request, or None when more bytes are needed.

        Raises ``Error`` with the HTTP status to answer (400, 413, 417, 431, 505) when the bytes are no
        request that we take; the connection cannot be used after that.
        """
        head = self._head or self._read_head()
        if head is None:
            return None
        body = self._read_body(head.body_bytes)
        if body is None:
            return None
        self._head = self._chunks = None
        return HttpRequest(
            head.method, head.path, head.query, head.headers, body, head.keep_alive, head.version, head.duplicated
        )

    def _read_head(self) -> Head | None:
        # RFC 9112 2.2: ignore empty lines before the request line.
        if self._buffer[:2] == b"\r\n":
            self._buffer = self._buffer.lstrip(b"\r\n")
        end = self._buffer.find(b"\r\n\r\n")
        limit = self._limits.max_header_bytes
        if end < 0 or end > limit:
            if len(self._buffer) > limit:
                raise InvalidRequest(f"the request's head is larger than {limit} bytes", http_status=431)
            check_lines(self._buffer.removesuffix(b"\r"))
            return None
        raw, self._buffer = self._buffer[: end + 4], self._buffer[end + 4 :]
        head = self._heads.read(raw)
        if head.body_bytes > self._limits.max_body_bytes:
            raise too_large(self._limits.max_body_bytes)
        self._head, self._continue = head, head.expects_continue
        self._chunks = ChunkedDecoder(self._limits.max_body_bytes) if head.chunked else None
        return head

    def _read_body(self, size_bytes: int) -> bytes | None:
        if self._chunks is not None:
            self._buffer = self._chunks.receive_data(self._buffer)
            return self._chunks.body if self._chunks.complete else None
        if len(self._buffer) < size_bytes:
            return None
        body, self._buffer = self._buffer[:size_bytes], self._buffer[size_bytes:]
        return body


def too_large(limit_bytes: int) -> InvalidRequest:
    """Return the 413 for a body over *limit_bytes*."""
    return InvalidRequest(f"the request's body is larger than {limit_bytes} bytes", http_status=413)


_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def encode(response: HttpResponse, date: bytes, *, keep_alive: bool) -> bytes:
    """Return *response* as bytes; *date* is the Date header's value (RFC 9110 section 6.6.1)."""
    body = response.body
    kind = b"Content-Type: %b\r\n" % response.content_type if body else b""
    closing = b"" if keep_alive else b"Connection: close\r\n"
    return b"%bDate: %b\r\n%bContent-Length: %d\r\n%b%b\r\n%b" % (
        _STATUS_LINES[response.status], date, kind, len(body), response.headers, closing, body,
    )  # fmt: skip


def encode_stream_head(response: HttpStream, date: bytes, *, chunked: bool, keep_alive: bool) -> bytes:
    """Return the head of *response*; *chunked* unless the client speaks HTTP/1.0.

    The headers keep proxies from holding events back (2026-07-28 basic/transports/streamable-http).
    """
    coding = b"Transfer-Encoding: chunked\r\n" if chunked else b""
    closing = b"" if keep_alive else b"Connection: close\r\n"
    return (
        b"%bDate: %b\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache, no-transform\r\n"
        b"X-Accel-Buffering: no\r\n%b%b%b\r\n"
    ) % (_STATUS_LINES[response.status], date, coding, response.headers, closing)


def encode_chunk(data: bytes) -> bytes:
    """Return *data* as one chunk, the last one if it is empty (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)
