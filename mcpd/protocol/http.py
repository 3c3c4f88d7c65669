"""HTTP/1.1 without sockets: bytes in, requests out; responses in, bytes out (RFC 9110, RFC 9112).

httptools reads each request's head; the framing around it is ours, so that every head is checked as the exact bytes it
came as. The distribution's httptools takes a bare LF, a space before the colon and a repeated Content-Length, which a
proxy in front may read differently: request smuggling. One reader serves one connection, one request at a time; what
was sent after it (pipelining) waits in the buffer. Time is not this module's: the shell asks for ``phase``.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

import httptools
import msgspec

from mcpd.errors import InvalidRequest
from mcpd.protocol.chunked import ChunkedDecoder

MAX_HEADERS = 100
_TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SINGLETONS = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"content-type", b"origin", b"authorization"}
)


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


class _Head:
    """What httptools tells of one head, and the headers made of it."""

    __slots__ = ("duplicated", "fields", "headers", "target")

    def __init__(self) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []
        self.headers: dict[bytes, bytes] = {}
        self.duplicated: set[bytes] = set()

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def collect(self) -> None:
        """Make ``headers`` of the fields, checked and in the form of ``HttpRequest``."""
        if len(self.fields) > MAX_HEADERS:
            raise InvalidRequest(f"more than {MAX_HEADERS} headers", http_status=431)
        headers = self.headers
        for sent_name, sent_value in self.fields:
            name, value = _field_name(sent_name), sent_value.strip(b" \t")
            if name in headers:
                self.duplicated.add(name)
                value = headers[name] + b", " + value
            headers[name] = value


@lru_cache(maxsize=512)
def _field_name(name: bytes) -> bytes:
    # The distribution's httptools lets "Host : x" through with the space in the name (RFC 9112 section 5.1).
    if not name or name.translate(None, _TOKEN):
        raise InvalidRequest(f"header name {name!r} holds a character that RFC 9110 does not allow")
    return name.lower()


class RequestReader:
    """``receive_data`` bytes, take ``next_request`` until it returns None; an ``Error`` raised is the last answer."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buffer = b""
        self._head: _Head | None = None
        self._parser: httptools.HttpRequestParser | None = None
        self._body_bytes = 0
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

    def wants_continue(self) -> bool:
        """Say once, and only before any of the body came, that the peer waits for ``100 Continue``."""
        wanted, self._continue = self._continue and not self._buffer, False
        return wanted

    def next_request(self) -> HttpRequest | None:
        """Return the next whole request, or None when more bytes are needed.

        Raises ``Error`` with the HTTP status to answer (400, 413, 417, 431, 505) when the bytes are no
        request that we take; the connection cannot be used after that.
        """
        if self._head is None and not self._read_head():
            return None
        body = self._read_body()
        return None if body is None else self._finish(body)

    def _read_head(self) -> bool:
        # RFC 9112 2.2: ignore empty lines before the request line.
        if self._buffer[:2] == b"\r\n":
            self._buffer = self._buffer.lstrip(b"\r\n")
        end = self._buffer.find(b"\r\n\r\n")
        limit = self._limits.max_header_bytes
        if end < 0 or end > limit:
            if len(self._buffer) > limit:
                raise InvalidRequest(f"the request's head is larger than {limit} bytes", http_status=431)
            _check_lines(self._buffer.removesuffix(b"\r"))
            return False
        raw, self._buffer = self._buffer[: end + 4], self._buffer[end + 4 :]
        _check_lines(raw)
        self._head = head = _Head()
        self._parser = parser = httptools.HttpRequestParser(head)
        try:
            parser.feed_data(raw)
        except httptools.HttpParserUpgrade:
            pass  # RFC 9110 7.8: a server may ignore Upgrade; Java's client offers h2c on every first request
        except httptools.HttpParserError as exc:
            raise InvalidRequest(f"malformed HTTP request: {exc}") from exc
        head.collect()
        self._check_head(head, parser.get_http_version())
        return True

    def _check_head(self, head: _Head, version: str) -> None:
        headers = head.headers
        if version not in ("1.1", "1.0"):
            raise InvalidRequest(f"HTTP version {version} is not supported; use HTTP/1.1", http_status=505)
        repeated = head.duplicated & _SINGLETONS
        if repeated:
            raise InvalidRequest(f"header {min(repeated).decode()} is given more than once")
        if version == "1.1" and b"host" not in headers:
            raise InvalidRequest("header host is missing (RFC 9112 section 3.2)")
        self._plan_body(headers)
        expect = headers.get(b"expect")
        if expect is not None and expect.lower() != b"100-continue":
            raise InvalidRequest(f"cannot meet Expect: {expect.decode('latin-1')}", http_status=417)
        self._continue = expect is not None

    def _plan_body(self, headers: dict[bytes, bytes]) -> None:
        coding, length = headers.get(b"transfer-encoding"), headers.get(b"content-length")
        self._chunks, self._body_bytes = None, 0
        if coding is not None:
            if length is not None:
                raise InvalidRequest("both Content-Length and Transfer-Encoding are given (RFC 9112 section 6.1)")
            if coding.lower() != b"chunked":
                raise InvalidRequest("the only transfer coding known here is chunked")
            self._chunks = ChunkedDecoder(self._limits.max_body_bytes)
        elif length is not None:
            if not length.isdigit():
                raise InvalidRequest(f"Content-Length {length.decode('latin-1')!r} is not a number of bytes")
            # A length of a hundred digits is over the limit too; int() of it must not cost anything.
            if len(length) > 18 or int(length) > self._limits.max_body_bytes:
                raise too_large(self._limits.max_body_bytes)
            self._body_bytes = int(length)

    def _read_body(self) -> bytes | None:
        if self._chunks is not None:
            self._buffer = self._chunks.receive_data(self._buffer)
            return self._chunks.body if self._chunks.complete else None
        if len(self._buffer) < self._body_bytes:
            return None
        body, self._buffer = self._buffer[: self._body_bytes], self._buffer[self._body_bytes :]
        return body

    def _finish(self, body: bytes) -> HttpRequest:
        head, parser = self._head, self._parser
        assert head is not None
        assert parser is not None
        self._head = self._parser = self._chunks = None
        path, _, query = _origin_form(head.target).partition("?")
        return HttpRequest(
            parser.get_method().decode("ascii"),
            path,
            query,
            head.headers,
            body,
            _keeps_alive(head.headers, parser.get_http_version()),
            frozenset(head.duplicated),
        )


def too_large(limit_bytes: int) -> InvalidRequest:
    """Return the 413 for a body over *limit_bytes*."""
    return InvalidRequest(f"the request's body is larger than {limit_bytes} bytes", http_status=413)


def _check_lines(raw: bytes) -> None:
    # RFC 9112 2.2 lets a recipient take a bare LF; we do not, since a proxy in front may not.
    if raw.count(b"\n") != raw.count(b"\r\n") or raw.count(b"\r") != raw.count(b"\n"):
        raise InvalidRequest("a line of the request's head does not end in CR LF")
    if b"\0" in raw:
        raise InvalidRequest("the request's head holds a NUL")
    if b"\r\n " in raw or b"\r\n\t" in raw:
        raise InvalidRequest("a header is folded over two lines (RFC 9112 section 5.2)")


def _origin_form(target: bytes) -> str:
    """Return path and query of a request target in origin or absolute form (RFC 9112 section 3.2)."""
    if target[:1] != b"/":
        scheme, found, rest = target.partition(b"://")
        if not found or scheme.lower() not in (b"http", b"https"):
            raise InvalidRequest("the request target is not a path")
        target = b"/" + rest.partition(b"/")[2]
    return target.decode("latin-1")


def _keeps_alive(headers: dict[bytes, bytes], version: str) -> bool:
    connection = headers.get(b"connection")
    if connection is None:
        return version == "1.1"
    options = {option.strip() for option in connection.lower().split(b",")}
    return b"close" not in options if version == "1.1" else b"keep-alive" in options


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
