"""The head of an HTTP/1.1 request: its exact bytes in, a checked ``Head`` out (RFC 9110, RFC 9112).

httptools reads the fields, but the distribution's version takes a bare LF, a space before the colon and a repeated
Content-Length, which a proxy in front may read differently: request smuggling. So the bytes and the fields are checked.
"""

from __future__ import annotations

import sys
from functools import lru_cache

import httptools
import msgspec

from mcpd.errors import InvalidRequest

MAX_HEADERS = 100
_TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SINGLETONS = frozenset(
    {b"host", b"content-length", b"transfer-encoding", b"content-type", b"origin", b"authorization"}
)
_SECRET = {b"authorization", b"cookie"}
_MAX_KNOWN = 512
_MAX_KNOWN_BYTES = 2048


class Head(msgspec.Struct, frozen=True, gc=False):
    """The head of one request: all that its bytes alone decide. It may be shared: do not change it."""

    method: str
    path: str
    query: str
    headers: dict[bytes, bytes]
    duplicated: frozenset[bytes]
    keep_alive: bool
    version: str
    chunked: bool
    body_bytes: int
    expects_continue: bool


def parse_head(raw: bytes) -> Head:
    """Return what *raw*, up to and with the empty line, says; raises ``InvalidRequest``."""
    check_lines(raw)
    fields = _Fields()
    parser = httptools.HttpRequestParser(fields)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        pass  # RFC 9110 7.8: a server may ignore Upgrade; Java's client offers h2c on every first request
    except httptools.HttpParserError as exc:
        raise InvalidRequest(f"malformed HTTP request: {exc}") from exc
    headers, duplicated = _collect(fields.fields)
    version = parser.get_http_version()
    _check_head(headers, duplicated, version)
    chunked, body_bytes = _plan_body(headers)
    path, _, query = _origin_form(fields.target).partition("?")
    method, keep_alive = parser.get_method().decode("ascii"), _keeps_alive(headers, version)
    return Head(
        method, path, query, headers, duplicated, keep_alive, version, chunked, body_bytes, b"expect" in headers
    )


class HeadMemory:
    """Heads seen before, by their bytes: a client sends the same again and again, and to know one costs a twentieth of
    parsing it. Bounded, and without heads that carry credentials.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, Head] = {}

    def read(self, raw: bytes) -> Head:
        """Return what ``parse_head`` does."""
        known = self._known.get(raw)
        if known is not None:
            return known
        head = parse_head(raw)
        if len(raw) <= _MAX_KNOWN_BYTES and not _SECRET & head.headers.keys():
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[raw] = head
        return head


class Unremembered(HeadMemory):
    """For heads that do not come twice."""

    def read(self, raw: bytes) -> Head:
        """Return what ``parse_head`` does."""
        return parse_head(raw)


class _Fields:
    """What httptools tells of one head."""

    __slots__ = ("fields", "target")

    def __init__(self) -> None:
        self.target = b""
        self.fields: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))


def _collect(fields: list[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], frozenset[bytes]]:
    """Return the headers, checked and in the form of ``HttpRequest``, and the names that came more than once."""
    if len(fields) > MAX_HEADERS:
        raise InvalidRequest(f"more than {MAX_HEADERS} headers", http_status=431)
    headers: dict[bytes, bytes] = {}
    duplicated = set()
    for sent_name, sent_value in fields:
        name, value = _field_name(sent_name), sent_value.strip(b" \t")
        if name in headers:
            duplicated.add(name)
            value = headers[name] + b", " + value
        headers[name] = value
    return headers, frozenset(duplicated)


@lru_cache(maxsize=512)
def _field_name(name: bytes) -> bytes:
    # The distribution's httptools lets "Host : x" through with the space in the name (RFC 9112 section 5.1).
    if not name or name.translate(None, _TOKEN):
        raise InvalidRequest(f"header name {name!r} holds a character that RFC 9110 does not allow")
    return name.lower()


def check_lines(raw: bytes) -> None:
    """Raise ``InvalidRequest`` for what two parsers could read as different lines in the (part of a) head *raw*."""
    # RFC 9112 2.2 lets a recipient take a bare LF; we do not, since a proxy in front may not.
    if raw.count(b"\n") != raw.count(b"\r\n") or raw.count(b"\r") != raw.count(b"\n"):
        raise InvalidRequest("a line of the request's head does not end in CR LF")
    if b"\0" in raw:
        raise InvalidRequest("the request's head holds a NUL")
    if b"\r\n " in raw or b"\r\n\t" in raw:
        raise InvalidRequest("a header is folded over two lines (RFC 9112 section 5.2)")


def _check_head(headers: dict[bytes, bytes], duplicated: frozenset[bytes], version: str) -> None:
    if version not in ("1.1", "1.0"):
        raise InvalidRequest(f"HTTP version {version} is not supported; use HTTP/1.1", http_status=505)
    repeated = duplicated & _SINGLETONS
    if repeated:
        raise InvalidRequest(f"header {min(repeated).decode()} is given more than once")
    if version == "1.1" and b"host" not in headers:
        raise InvalidRequest("header host is missing (RFC 9112 section 3.2)")
    expect = headers.get(b"expect")
    if expect is not None and expect.lower() != b"100-continue":
        raise InvalidRequest(f"cannot meet Expect: {expect.decode('latin-1')}", http_status=417)


def _plan_body(headers: dict[bytes, bytes]) -> tuple[bool, int]:
    """Return whether the body comes in chunks and, if not, its length in bytes."""
    coding, length = headers.get(b"transfer-encoding"), headers.get(b"content-length")
    if coding is not None:
        if length is not None:
            raise InvalidRequest("both Content-Length and Transfer-Encoding are given (RFC 9112 section 6.1)")
        if coding.lower() != b"chunked":
            raise InvalidRequest("the only transfer coding known here is chunked")
        return True, 0
    if length is None:
        return False, 0
    if not length.isdigit():
        raise InvalidRequest(f"Content-Length {length.decode('latin-1')!r} is not a number of bytes")
    # A length of a hundred digits is over any limit; int() of it must not cost anything.
    return False, int(length) if len(length) <= 18 else sys.maxsize


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
