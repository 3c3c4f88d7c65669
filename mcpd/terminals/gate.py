"""Who may open a terminal, and what of the request reaches ttyd.

The head is parsed and written anew, so that ttyd reads what was checked. A connection carries one request: browsers
share idle connections between pages, and the second request on one would be another page's, unchecked.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from mcpd.access.callers import Caller
from mcpd.access.origins import OriginGuard
from mcpd.errors import InvalidRequest
from mcpd.protocol.head import Head, parse_head

_HOP_BY_HOP = frozenset(
    {b"connection", b"upgrade", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding"}
    | {b"content-length", b"expect"}
)


class Kind(enum.Enum):
    """What somebody who connects wants."""

    PAGE = "page"  # a person opens the terminal
    RECONNECT = "reconnect"  # a page that is open asks for its token; programs may, too
    TERMINAL = "terminal"  # the WebSocket
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Knock:
    """An admitted request: what it wants, and the head to send on."""

    kind: Kind
    head: bytes
    is_head: bool = False


def read_head(buffer: bytes, max_bytes: int) -> tuple[Head, bytes] | None:
    """Return the head that *buffer* begins with and what follows it, None while it is incomplete.

    Raises ``InvalidRequest`` (400, or 431 over *max_bytes*).
    """
    end = buffer.find(b"\r\n\r\n")
    if end > max_bytes or (end < 0 and len(buffer) > max_bytes):
        raise InvalidRequest(f"the request's head is larger than {max_bytes} bytes", http_status=431)
    if end < 0:
        return None
    return parse_head(buffer[: end + 4]), buffer[end + 4 :]


def admit(head: Head, guard: OriginGuard, caller: Caller) -> Knock:
    """Return what the request *head* of *caller* wants; raises ``AccessDenied`` or ``InvalidRequest``.

    A WebSocket from a foreign page is a request with a foreign Origin (RFC 6455 section 10.2), so it ends here too.
    """
    guard.check(head.headers.get(b"host"), head.headers.get(b"origin"))
    caller.require_admitted()
    if head.method not in ("GET", "HEAD"):
        raise InvalidRequest(f"{head.method} is not allowed on a terminal; expected GET", http_status=405)
    if head.chunked or head.body_bytes:
        raise InvalidRequest("a request to a terminal has no body", http_status=413)
    return Knock(_kind(head), _encode(head), head.method == "HEAD")


def _kind(head: Head) -> Kind:
    if _is_websocket(head):
        return Kind.TERMINAL
    return {"/": Kind.PAGE, "/token": Kind.RECONNECT}.get(head.path, Kind.OTHER)


def _is_websocket(head: Head) -> bool:
    options = {option.strip() for option in head.headers.get(b"connection", b"").lower().split(b",")}
    return b"upgrade" in options and head.headers.get(b"upgrade", b"").lower() == b"websocket"


def _encode(head: Head) -> bytes:
    target = head.path + (f"?{head.query}" if head.query else "")
    connection = b"Upgrade\r\nUpgrade: websocket" if _is_websocket(head) else b"close"
    lines = [b"%b %b HTTP/1.1" % (head.method.encode(), target.encode("latin-1")), b"Connection: " + connection]
    lines += [b"%b: %b" % item for item in head.headers.items() if item[0] not in _HOP_BY_HOP]
    return b"\r\n".join(lines) + b"\r\n\r\n"
