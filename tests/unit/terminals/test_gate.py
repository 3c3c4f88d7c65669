"""The head of a request to a terminal: who is let in, and what reaches ttyd."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.access.callers import REMOTE, Caller
from mcpd.access.origins import OriginGuard
from mcpd.errors import AccessDenied, Error, InvalidRequest
from mcpd.protocol.head import parse_head
from mcpd.terminals import gate
from mcpd.terminals.gate import Kind, Knock

ROOT = Caller("root", True)
UPGRADE = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: x"


def admit(*lines: str, request: str = "GET / HTTP/1.1", caller: Caller = ROOT) -> Knock:
    raw = "\r\n".join((request, "Host: localhost:8090", *lines, "", "")).encode()
    found = gate.read_head(raw, 32768)
    assert found is not None
    return gate.admit(found[0], OriginGuard([], ["http://localhost:5173"]), caller)


@pytest.mark.parametrize(
    ("request_line", "lines", "kind"),
    [
        ("GET / HTTP/1.1", (), Kind.PAGE),
        ("HEAD /?arg=x HTTP/1.1", (), Kind.PAGE),
        ("GET /token HTTP/1.1", (), Kind.RECONNECT),
        ("GET /ws HTTP/1.1", (UPGRADE,), Kind.TERMINAL),
        ("GET /ws HTTP/1.1", ("Upgrade: websocket",), Kind.OTHER),
        ("GET /favicon.ico HTTP/1.1", (), Kind.OTHER),
    ],
)
def test_what_is_wanted(request_line: str, lines: tuple[str, ...], kind: Kind) -> None:
    assert admit(*lines, request=request_line).kind is kind


def test_ttyd_gets_one_request_and_no_more() -> None:
    head = admit("Connection: keep-alive", "Accept: */*", "Content-Length: 0").head
    assert head == b"GET / HTTP/1.1\r\nConnection: close\r\nhost: localhost:8090\r\naccept: */*\r\n\r\n"
    upgraded = admit(UPGRADE, "Origin: http://localhost:8090", request="GET /ws HTTP/1.1").head
    assert b"Connection: Upgrade\r\nUpgrade: websocket\r\n" in upgraded
    assert b"sec-websocket-key: x\r\n" in upgraded


@pytest.mark.parametrize("origin", ["http://evil.example", "http://localhost:8091", "null"])
@pytest.mark.parametrize("upgrade", [(), (UPGRADE,)])
def test_a_foreign_page_is_refused(origin: str, upgrade: tuple[str, ...]) -> None:
    with pytest.raises(AccessDenied):
        admit(f"Origin: {origin}", *upgrade)


def test_our_own_pages_and_programs_are_not() -> None:
    admit("Origin: http://localhost:8090", UPGRADE)
    admit("Origin: http://localhost:5173", UPGRADE)
    admit(UPGRADE)


def test_who_may_not_call_is_refused() -> None:
    with pytest.raises(AccessDenied):
        admit(caller=REMOTE)


@pytest.mark.parametrize(
    ("request_line", "line", "status"),
    [
        ("POST / HTTP/1.1", "Content-Length: 0", 405),
        ("GET / HTTP/1.1", "Content-Length: 3", 413),
        ("GET / HTTP/1.1", "Transfer-Encoding: chunked", 413),
    ],
)
def test_what_is_no_request_to_a_terminal(request_line: str, line: str, status: int) -> None:
    with pytest.raises(InvalidRequest) as refused:
        admit(line, request=request_line)
    assert refused.value.http_status == status


def test_a_head_may_come_in_parts_and_has_a_limit() -> None:
    raw = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nearly"
    assert all(gate.read_head(raw[:end], 100) is None for end in range(len(raw) - 5))
    found = gate.read_head(raw, 100)
    assert found is not None
    assert found[1] == b"early"
    for too_large in (b"x" * 101, b"GET / HTTP/1.1\r\nHost: " + b"x" * 100 + b"\r\n\r\n"):
        with pytest.raises(InvalidRequest) as refused:
            gate.read_head(too_large, 100)
        assert refused.value.http_status == 431


VALUES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)


@given(st.dictionaries(st.from_regex(r"[A-Za-z-]{1,12}", fullmatch=True), VALUES, max_size=5))
def test_what_reaches_ttyd_is_what_was_read(headers: dict[str, str]) -> None:
    try:
        knock = admit(*(f"{name}: {value}" for name, value in headers.items()))
    except Error:
        return
    sent = parse_head(knock.head)
    assert (sent.path, sent.body_bytes, sent.chunked) == ("/", 0, False)
    assert sent.headers[b"host"] == b"localhost:8090"
