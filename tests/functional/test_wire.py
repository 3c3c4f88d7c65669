"""Every kind of message that the daemon sends, in each revision, is what the specification's JSON schema says.

``test_foreign`` holds the same against whole sessions of real clients; here is what those do not ask for.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import pytest

from mcpd.protocol.revisions import REVISIONS, SUPPORTED
from tests.functional import mcp, streams
from tests.functional.daemon import Daemon
from tests.functional.mcp import MODERN
from tests.functional.schemas import Schema, violations
from tests.functional.wire import Tap

pytestmark = pytest.mark.host

Json = dict[str, Any]
PROMPT = {"ref": {"type": "ref/prompt", "name": "debug_agent"}, "argument": {"name": "agent", "value": "a"}}
TEMPLATE = {"ref": {"type": "ref/resource", "uri": "agent://{name}"}, "argument": {"name": "name", "value": "a"}}
ASKED: list[tuple[str, Json]] = [
    ("ping", {}),
    ("server/discover", {}),
    ("tools/list", {}),
    ("tools/list", {"cursor": "none such"}),
    ("tools/call", {"name": "heartbeat", "arguments": {"agent": "a"}}),
    ("resources/subscribe", {"uri": "agent://a"}),
    ("tools/call", {"name": "update_status", "arguments": {"agent": "a", "status": "busy"}}),
    ("tools/call", {"name": "heartbeat", "arguments": {"agent": 7}}),
    ("tools/call", {"name": "heartbeat", "arguments": {"agent": "a", "dry_run": True}}),
    ("tools/call", {"name": "none such"}),
    ("resources/list", {}),
    ("resources/templates/list", {}),
    ("resources/read", {"uri": "db://schema/complete"}),
    ("resources/read", {"uri": "agent://a"}),
    ("resources/read", {"uri": "agent://none such"}),
    ("prompts/list", {}),
    ("prompts/get", {"name": "run_tests", "arguments": {"suite": "unit"}}),
    ("prompts/get", {"name": "run_tests"}),
    ("completion/complete", PROMPT),
    ("completion/complete", TEMPLATE),
    ("logging/setLevel", {"level": "debug"}),
    ("resources/unsubscribe", {"uri": "agent://a"}),
    ("no/such/method", {}),
]  # fmt: skip


NOTIFIED = [
    "notifications/subscriptions/acknowledged",
    "notifications/resources/list_changed",
    "notifications/resources/updated",
]


def through(tap: Tap, rpc: Daemon) -> Daemon:
    """Return *rpc* as it is reached through *tap*."""
    there = copy(rpc)
    there.port = int(tap.url.rpartition(":")[2])
    return there


def stateless(rpc: Daemon, restart: Callable[[], None]) -> None:
    """Ask for everything in the era without sessions, and end a stream by *restart*."""
    stream = streams.listen(rpc, "l", resourcesListChanged=True, resourceSubscriptions=["agent://a"])
    for method, params in ASKED:
        mcp.modern(rpc, method, params)
    mcp.modern(rpc, "tools/list", headers={"Mcp-Method": "resources/list"})
    assert [event.data["method"] for event in stream.take(3)] == NOTIFIED
    restart()
    *_, last = stream.events()
    assert last.data["id"] == "l"


def in_a_session(rpc: Daemon, version: str) -> None:
    """Ask for everything in a session of *version*."""
    session = mcp.initialize(rpc, version).headers["Mcp-Session-Id"]
    stream = streams.session_stream(rpc, session, version=version)
    for method, params in ASKED:
        mcp.in_session(rpc, session, method, params, headers={"MCP-Protocol-Version": version})
    if REVISIONS[version].batches:
        body = [{"jsonrpc": "2.0", "id": number, "method": "ping"} for number in (1, 2)]
        answers = rpc.post("/mcp", body, mcp.ACCEPT | {"Mcp-Session-Id": session}).json
        assert len(answers) == 2
    events = (event for event in stream.events() if event.data)
    assert [next(events).data["method"] for _ in NOTIFIED[1:]] == NOTIFIED[1:]
    stream.close()


@pytest.mark.parametrize("version", SUPPORTED)
def test_everything_that_is_sent_fits_the_schema(rpc: Daemon, version: str) -> None:
    with Tap(rpc) as tap:
        there = through(tap, rpc)
        stateless(there, rpc.restart) if version == MODERN else in_a_session(there, version)
        exchanges = tap.exchanges()
        assert {exchange.revision for exchange in exchanges} == {version}
        assert sum(len(exchange.received) for exchange in exchanges) >= len(ASKED) + len(NOTIFIED)
        assert list(violations(exchanges)) == []


WRONG: list[tuple[str | None, Json]] = [
    ("tools/list", {"jsonrpc": "2.0", "id": 1, "result": {}}),
    ("tools/list", {"jsonrpc": "2.0", "id": 1, "result": {"tools": [{"name": "a"}]}}),
    ("tools/call", {"id": 1, "result": {"content": []}}),
    ("tools/call", {"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text"}]}}),
    ("tools/call", {"jsonrpc": "2.0", "id": 1, "error": {"code": "x", "message": "m"}}),
    (None, {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {}}),
]


@pytest.mark.parametrize("version", SUPPORTED)
@pytest.mark.parametrize(("method", "message"), WRONG)
def test_what_does_not_fit_is_found(version: str, method: str | None, message: Json) -> None:
    assert list(Schema(version).violations(message, method))
