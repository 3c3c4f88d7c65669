"""Random and hostile messages, in each revision, against the whole core: no fault of ours, well-formed answers."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcpd.access.callers import Caller
from mcpd.config import Config
from mcpd.protocol import revisions
from mcpd.protocol.http import HttpRequest, HttpResponse
from mcpd.protocol.sessions import SessionSigner
from mcpd.protocol.signing import KEY_BYTES
from mcpd.server.core import Core, Exchange
from mcpd.store.database import Database
from mcpd.tools.registry import TOOLS

KEY = bytes(KEY_BYTES)
METHODS = [
    "initialize", "ping", "tools/list", "tools/call", "server/discover", "subscriptions/listen", "resources/read",
    "resources/list", "prompts/get", "completion/complete", "notifications/initialized", "notifications/cancelled", "",
]  # fmt: skip

SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
ARGUMENTS = st.dictionaries(
    st.sampled_from(["agent", "agents", "status", "paths", "component", "name", "owner", "dry_run", "details", "x"]),
    JSON,
    max_size=4,
)
META: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        revisions.PROTOCOL_VERSION: st.sampled_from([*revisions.SUPPORTED, "v999", 7, None]),
        revisions.CLIENT_CAPABILITIES: st.sampled_from([{}, [], None, {"sampling": {}}]),
        "progressToken": JSON,
    },
)
PARAMS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from([*TOOLS, "no_such_tool"]) | JSON,
        "arguments": ARGUMENTS | JSON,
        "uri": JSON,
        "cursor": JSON,
        "protocolVersion": st.sampled_from([*revisions.SUPPORTED, "v999"]) | JSON,
        "notifications": st.dictionaries(st.sampled_from(["resourcesListChanged", "resourceSubscriptions"]), JSON),
        "_meta": META | JSON,
    },
)
MESSAGE = st.fixed_dictionaries(
    {"jsonrpc": st.just("2.0") | SCALARS, "method": st.sampled_from(METHODS) | JSON},
    optional={"id": st.integers(0, 9) | SCALARS, "params": PARAMS | JSON, "result": JSON},
)
HEADERS = st.dictionaries(
    st.sampled_from([b"mcp-protocol-version", b"mcp-method", b"mcp-name", b"last-event-id", b"accept"]),
    st.sampled_from([version.encode() for version in revisions.SUPPORTED])
    | st.sampled_from([method.encode() for method in METHODS])
    | st.binary(max_size=12),
    max_size=4,
)


def is_response(value: Any) -> bool:
    """Say whether *value* is a JSON-RPC 2.0 response."""
    if not isinstance(value, dict) or value.get("jsonrpc") != "2.0" or ("result" in value) == ("error" in value):
        return False
    error = value.get("error", {"code": 0, "message": "x"})
    return isinstance(error["code"], int) and isinstance(error["message"], str) and bool(error["message"])


@pytest.mark.parametrize("session", [None, *(v for v, r in revisions.REVISIONS.items() if r.handshake)])
@pytest.mark.parametrize("endpoint", ["/mcp", "/jsonrpc"])
def test_no_message_breaks_the_core(db: Database, endpoint: str, session: str | None) -> None:
    core = Core(db, Config(), KEY)

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(MESSAGE | st.lists(MESSAGE, max_size=3) | JSON, min_size=1, max_size=4), HEADERS)
    def drive(messages: list[Any], sent: dict[bytes, bytes]) -> None:
        headers = {b"host": b"localhost", b"content-type": b"application/json", **sent}
        if session is not None:
            headers[b"mcp-session-id"] = SessionSigner(KEY).issue(session, "root", 1).encode()
        exchanges = [
            Exchange(HttpRequest("POST", endpoint, "", headers, _encode(message), True), Caller("root", True))
            for message in messages
        ]
        for answer in core.answer_turn(exchanges, 1):
            assert answer.work.fault is None, answer.work.fault
            if not isinstance(answer.response, HttpResponse):
                continue
            _check(answer.response)

    drive()


def _encode(message: Any) -> bytes:
    try:
        return orjson.dumps(message)
    except TypeError:  # an integer over 64 bits, which orjson does not write
        return repr(message).encode()


def _check(response: HttpResponse) -> None:
    assert response.status in {200, 202, 204, 400, 404, 406, 413}
    if response.status in {202, 204}:
        assert response.body == b""
        return
    decoded = orjson.loads(response.body)
    for value in decoded if isinstance(decoded, list) else [decoded]:
        assert is_response(value), value
