"""The older dialect at ``/jsonrpc``, as the clients of the replaced system speak it."""

from __future__ import annotations

from typing import Any

import pytest

from mcpd.store.database import Database
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
    assert [tool["name"] for tool in tools[: len(TOOLS)]] == list(TOOLS)
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


def call(rpc: Daemon, name: str, arguments: Any, headers: dict[str, str] | None = None, message_id: int = 5) -> Reply:
    params = {"name": name, "arguments": arguments}
    return rpc.post("/jsonrpc", {"jsonrpc": "2.0", "id": message_id, "method": "tools/call", "params": params}, headers)


@pytest.mark.parametrize(
    ("tool", "given", "stored", "row"),
    [
        (
            "log_activity",
            {"agent_name": "Backend API Agent", "action": "Made it", "type": "implementation", "metadata": {"a": 1}},
            "SELECT agent, activity, category, status, details FROM activities",
            ("backend-api", "Made it", "task", "completed", '{"original_category":"implementation","a":1}'),
        ),
        (
            "log_activity",
            {"agent": "a", "activity": "x"},
            "SELECT agent, activity, category FROM activities",
            ("a", "x", "task"),
        ),
        (
            "register_component",
            {"agent": "database", "name": "users", "type": "database", "dependencies": ["a"], "interfaces": {}},
            "SELECT name, owner, metadata FROM components",
            ("users", "database", '{"type":"database","dependencies":["a"],"interfaces":{}}'),
        ),
        (
            "update_status",
            {"agent_id": "claude-testing", "status": "working", "task": "e2e"},
            "SELECT name, status, current_task FROM agents",
            ("testing", "busy", "e2e"),
        ),
        ("heartbeat", {"agent_name": "Queue Manager"}, "SELECT name, status FROM agents", ("queue-manager", "active")),
        (
            "request_collaboration",
            {"requesting_agent": "a", "task": "t", "target_agents": ["Database Agent"], "priority": 9},
            "SELECT from_agent, to_agent, task, priority FROM collaboration_requests",
            ("a", "database", "t", "critical"),
        ),
        (
            "propose_decision",
            {"agent": "a", "decision": "SQLite?", "options": ["yes"], "requires_consensus": True},
            "SELECT category, question, proposed_by, metadata FROM decisions",
            ("general", "SQLite?", "a", '{"options":["yes"],"requires_consensus":true}'),
        ),
    ],
)
def test_arguments_by_their_old_names(
    rpc: Daemon, tool: str, given: dict[str, Any], stored: str, row: tuple[Any, ...]
) -> None:
    reply = call(rpc, tool, given).json
    assert reply["result"]["success"] is True, reply
    assert rows(rpc, stored) == [row]


def test_questions_by_their_old_names(rpc: Daemon) -> None:
    assert call(rpc, "register_component", {"owner": "a", "name": "api"}).json["result"]["success"]
    found = call(rpc, "find_component_owner", {"component_name": "api", "component_type": "service"}).json["result"]
    assert found["owner"] == "a"
    test = {"name": "api (test)", "owner": "t", "type": "test"}
    assert call(rpc, "register_component", test).json["result"]["success"]
    found = call(rpc, "find_component_owner", {"component_name": "api", "component_type": "test"}).json["result"]
    assert found["owner"] == "t"
    asked = {"agent": "b", "planned_action": "editing api", "component": "api"}
    assert call(rpc, "check_conflicts", asked).json["result"]["count"] == 1


def test_help_can_be_asked_of_all(rpc: Daemon) -> None:
    asked: dict[str, Any] = {"requesting_agent": "a", "task": "t"}
    assert "no other agent is known" in call(rpc, "request_collaboration", asked).json["error"]["message"]
    for agent in ("a", "b", "c"):
        call(rpc, "heartbeat", {"agent": agent})
    assert len(call(rpc, "request_collaboration", asked).json["result"]["request_ids"]) == 2
    asked = {"requesting_agent": "a", "task": "t", "target_agents": ["b", "d"]}
    assert len(call(rpc, "request_collaboration", asked).json["result"]["request_ids"]) == 2
    assert [to for (to,) in rows(rpc, "SELECT to_agent FROM collaboration_requests ORDER BY id")][2:] == ["b", "d"]


def test_the_standard_endpoint_does_not_know_the_old_names(shared_rpc: Daemon) -> None:
    params = {"name": "heartbeat", "arguments": {"agent_name": "a"}, "_meta": META}
    reply = shared_rpc.post("/jsonrpc", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    assert reply.json["result"]["isError"] is True


@pytest.mark.parametrize("arguments", [None, 7, "x", [], [1], {"agent_name": 7}, {"agents": 7}, {"target_agents": [7]}])
def test_arguments_of_another_kind_are_refused(shared_rpc: Daemon, arguments: Any) -> None:
    for tool in TOOLS:
        assert call(shared_rpc, tool, arguments).json["error"]["code"] == -32602, tool


LOG = {"agent": "a", "activity": "x", "category": "task"}


def test_a_request_with_a_key_is_done_once(rpc: Daemon) -> None:
    key = {"Idempotency-Key": "k-1"}
    first = call(rpc, "log_activity", LOG, key)
    rpc.restart()
    again = call(rpc, "log_activity", LOG, key, message_id=6)
    assert (again.json["id"], again.json["result"]) == (6, first.json["result"])
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    assert rows(rpc, "SELECT count(*) FROM activities") == [(1,)]
    assert call(rpc, "log_activity", LOG, {"Idempotency-Key": "k-2"}).json["result"] != first.json["result"]


def test_a_key_that_comes_with_another_request_is_an_error_and_does_nothing(rpc: Daemon) -> None:
    key = {"Idempotency-Key": "k"}
    call(rpc, "log_activity", LOG, {**key, "X-Request-ID": "first"})
    reply = call(rpc, "log_activity", LOG | {"activity": "y"}, key)
    assert reply.json["error"]["code"] == -32602
    assert reply.json["error"]["data"] == {"idempotency_key": "k", "original_request_id": "first"}
    assert rows(rpc, "SELECT activity FROM activities") == [("x",)]


def test_what_was_refused_can_be_sent_again_under_its_key(rpc: Daemon) -> None:
    key = {"Idempotency-Key": "k"}
    assert "error" in call(rpc, "log_activity", {}, key).json
    assert "result" in call(rpc, "log_activity", LOG, key).json
    assert rows(rpc, "SELECT outcome FROM audit ORDER BY id") == [("refused",), ("ok",)]


def test_a_kept_result_lasts_a_day(rpc: Daemon) -> None:
    key = {"Idempotency-Key": "k"}
    call(rpc, "log_activity", LOG, key)
    rpc.stop()
    db = Database(str(rpc.database))
    assert db.value("SELECT expires_us - unixepoch() * 1000000 > 86390000000 FROM idempotent_results") == 1
    db.execute("UPDATE idempotent_results SET expires_us = 1")
    db.close()
    rpc.start()
    call(rpc, "log_activity", LOG, key)
    assert rows(rpc, "SELECT count(*) FROM activities") == [(2,)]
    assert rows(rpc, "SELECT count(*) FROM idempotent_results") == [(1,)]


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "ä"])
def test_a_malformed_key_is_refused(shared_rpc: Daemon, key: str) -> None:
    reply = call(shared_rpc, "log_activity", LOG, {"Idempotency-Key": key})
    assert reply.json["error"]["message"].startswith("header Idempotency-Key: expected 1 to 255")


def test_what_takes_its_time_takes_no_key(shared_rpc: Daemon) -> None:
    reply = call(shared_rpc, "create_report", {}, {"Idempotency-Key": "k"})
    assert "call it without Idempotency-Key" in reply.json["error"]["message"]


def test_methods_of_the_last_version_of_the_old_system(shared_rpc: Daemon) -> None:
    assert ask(shared_rpc, "initialized").json["result"] == ask(shared_rpc, "shutdown").json["result"] == {}
    params = {"name": "run_tests", "arguments": {"suite": "unit"}}
    assert ask(shared_rpc, "prompts/run", params).json["result"]["result"] == "Run unit test suite"
    assert ask(shared_rpc, "prompts/get", params).json["result"]["messages"][0]["role"] == "user"
    templates = ask(shared_rpc, "resources/templates/list").json["result"]
    assert "agent://{name}" in [template["uriTemplate"] for template in templates]


def test_a_session_is_noted_in_the_audit_by_either_name(rpc: Daemon) -> None:
    opened = ask(rpc, "initialize").json["result"]["session_id"]
    call(rpc, "heartbeat", {"agent": "a"}, {"X-Session-ID": "mine"})
    call(rpc, "heartbeat", {"agent": "a"}, {"X-Session-ID": opened})
    ask(rpc, "tools/call", {"name": "heartbeat", "arguments": {"agent": "a"}, "session_id": "x" * 999})
    first, second, third = (session for (session,) in rows(rpc, "SELECT session_id FROM audit ORDER BY id"))
    assert (first, third) == ("mine", "x" * 128)
    assert second
    assert second in opened or len(second) < len(opened)


def rows(rpc: Daemon, sql: str) -> list[tuple[Any, ...]]:
    db = Database(str(rpc.database), read_only=True)
    try:
        return db.rows(sql)
    finally:
        db.close()


def test_a_session_of_the_dialect_subscribes_and_hears_of_it_on_its_stream(shared_rpc: Daemon) -> None:
    session = ask(shared_rpc, "initialize").json["result"]["session_id"]
    uri = "activity://recent"
    for method, subscribed in (("resources/subscribe", True), ("resources/unsubscribe", False)):
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"uri": uri}}
        result = shared_rpc.post("/jsonrpc", body, {"X-Session-ID": session}).json["result"]
        assert (result["subscribed"], result["uri"]) == (subscribed, uri)
        assert result["subscription_id"].endswith(f":{uri}")
        db = Database(str(shared_rpc.database), read_only=True)
        assert db.value("SELECT count(*) FROM session_subscriptions WHERE uri = ?", (uri,)) == subscribed
        db.close()
        for named in ({}, {"X-Session-ID": "mine"}, {"X-Session-ID": session + "x"}):
            assert shared_rpc.post("/jsonrpc", body, named).json["error"]["code"] == -32001
    missing = {"jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": {}}
    assert shared_rpc.post("/jsonrpc", missing, {"X-Session-ID": session}).json["error"]["code"] == -32602
