"""The older dialect at ``/jsonrpc``, as the clients of the replaced system speak it."""

from __future__ import annotations

from typing import Any

import pytest

from mcpd.tools.registry import TOOLS
from tests.functional.daemon import Daemon, Reply
from tests.functional.mcp import META


def ask(rpc: Daemon, method: str, params: dict[str, Any] | None = None, **message: Any) -> Reply:
    return rpc.post("/jsonrpc", {"jsonrpc": "2.0", "id": 5, "method": method, "params": params or {}} | message)


def test_initialize_has_the_old_keys_beside_the_standard_ones(shared_rpc: Daemon) -> None:
    params = {"clientInfo": {"name": "old", "version": "1"}, "capabilities": ["tools"]}
    result = ask(shared_rpc, "initialize", params).json["result"]
    tools = ask(shared_rpc, "tools/list").json["result"]
    assert (result["protocol_version"], result["tools_count"]) == ("2025-06-18", len(tools))
    assert result["session_id"] == result["sessionId"]
    assert result["serverInfo"]["name"] == "mcpd"
    assert result["capabilities"]["features"]["dry_run"] is True


def test_lists_are_bare_arrays_and_results_are_bare(shared_rpc: Daemon) -> None:
    tools = ask(shared_rpc, "tools/list").json["result"]
    assert {frozenset(tool) for tool in tools} == {frozenset({"name", "description", "inputSchema"})}
    assert [tool["name"] for tool in tools[:8]] == list(TOOLS)
    params = {"name": "log_activity", "arguments": {"agent": "a", "activity": "x", "category": "task"}}
    result = ask(shared_rpc, "tools/call", params).json["result"]
    assert (result["success"], type(result["id"])) == (True, int)


def test_a_request_that_speaks_of_an_mcp_version_gets_the_standard_shapes(shared_rpc: Daemon) -> None:
    assert "tools" in ask(shared_rpc, "tools/list", {"_meta": META}).json["result"]
    opened = ask(shared_rpc, "initialize", {"protocolVersion": "2025-11-25"}).json["result"]
    assert "protocol_version" not in opened
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    assert "tools" in shared_rpc.post("/jsonrpc", body, {"Mcp-Session-Id": opened["sessionId"]}).json["result"]


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("no/such", {}, -32601),
        ("tools/call", {"name": "no_such"}, -32602),
        ("tools/call", {"name": "heartbeat", "arguments": {}}, -32602),
        ("tools/call", {}, -32602),
    ],
)
def test_errors_carry_the_id_and_http_200(shared_rpc: Daemon, method: str, params: dict[str, Any], code: int) -> None:
    reply = ask(shared_rpc, method, params)
    assert (reply.status, reply.json["id"], reply.json["error"]["code"]) == (200, 5, code)


def test_what_is_not_json_gets_a_null_id(shared_rpc: Daemon) -> None:
    reply = shared_rpc.post("/jsonrpc", b"{")
    assert reply.json["id"] is None
    assert reply.json["error"]["code"] == -32700
    assert shared_rpc.post("/jsonrpc", [{}]).json["error"]["code"] == -32600


def test_a_notification_is_carried_out_and_not_answered(shared_rpc: Daemon) -> None:
    params = {"name": "update_status", "arguments": {"agent": "quiet", "status": "busy"}}
    reply = shared_rpc.post("/jsonrpc", {"jsonrpc": "2.0", "method": "tools/call", "params": params})
    assert (reply.status, reply.body) == (204, b"")
    states = shared_rpc.request("GET", "/api/mcp/status").json["agent_states"]
    assert {"quiet": "busy"}.items() <= {state["agent"]: state["status"] for state in states}.items()


def test_status_counts_what_is_there(rpc: Daemon) -> None:
    for number in range(3):
        arguments = {"agent": f"agent-{number}", "activity": f"work {number}", "category": "task"}
        ask(rpc, "tools/call", {"name": "log_activity", "arguments": arguments})
    ask(rpc, "tools/call", {"name": "register_component", "arguments": {"name": "api", "owner": "agent-1"}})
    status = rpc.request("GET", "/api/mcp/status").json
    assert (status["status"], status["version"], status["protocol"]) == ("operational", "2.0", "2025-06-18")
    assert [activity["activity"] for activity in status["activities"]] == ["work 2", "work 1", "work 0"]
    stats = status["stats"]
    assert (stats["total_activities"], stats["active_agents"], stats["total_components"]) == (3, 3, 1)
