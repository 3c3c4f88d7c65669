"""MCP at ``/mcp``: both eras, and every way to get a request wrong."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from tests.functional.daemon import Daemon
from tests.functional.mcp import ACCEPT, ALL, HANDSHAKE, META, MODERN, call, in_session, initialize, modern

TOOLS = [
    "log_activity", "check_conflicts", "register_component", "update_status", "heartbeat", "request_collaboration",
    "propose_decision", "find_component_owner", "delete_component", "list_agents", "get_agent", "send_to_agent",
    "read_agent_screen", "start_agent", "stop_agent", "restart_agent", "create_report", "export_data", "create_backup",
]  # fmt: skip


def test_discover_names_the_versions_and_the_server(shared_rpc: Daemon) -> None:
    result = modern(shared_rpc, "server/discover").json["result"]
    assert result["supportedVersions"] == ALL
    assert result["capabilities"].keys() == {"tools", "resources", "prompts", "completions", "logging", "extensions"}
    assert result["resultType"] == "complete"
    assert (result["ttlMs"] >= 0, result["cacheScope"]) == (True, "private")
    assert result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"] == "mcpd"


def test_the_stateless_list_has_the_tools_in_a_fixed_order(shared_rpc: Daemon) -> None:
    first, second = (modern(shared_rpc, "tools/list").json["result"] for _ in range(2))
    assert [tool["name"] for tool in first["tools"]] == TOOLS
    assert first == second
    assert {"ttlMs", "cacheScope", "resultType"} <= first.keys()
    for tool in first["tools"]:
        assert tool["title"]
        assert tool["description"]
        assert tool["inputSchema"]["type"] == tool["outputSchema"]["type"] == "object"
        assert tool["annotations"].keys() == {"readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"}


def test_a_stateless_call_carries_text_and_structure_that_agree(shared_rpc: Daemon) -> None:
    reply = modern(shared_rpc, "tools/call", {"name": "heartbeat", "arguments": {"agent": "a"}})
    result = reply.json["result"]
    assert orjson.loads(result["content"][0]["text"]) == result["structuredContent"]
    assert result["resultType"] == "complete"
    assert "Mcp-Session-Id" not in reply.headers


def test_the_list_of_tools_stays_small_enough_for_an_agents_context(shared_rpc: Daemon) -> None:
    assert len(modern(shared_rpc, "tools/list").body) < 18_900


def test_a_session_is_opened_used_and_bound_to_its_version(shared_rpc: Daemon) -> None:
    opened = initialize(shared_rpc)
    assert opened.json["result"]["protocolVersion"] == HANDSHAKE
    session_id = opened.headers["Mcp-Session-Id"]
    assert all(0x21 <= ord(character) <= 0x7E for character in session_id)
    accepted = in_session(shared_rpc, session_id, "notifications/initialized")
    accepted = shared_rpc.post(
        "/mcp", {"jsonrpc": "2.0", "method": "notifications/initialized"}, ACCEPT | {"Mcp-Session-Id": session_id}
    )
    assert (accepted.status, accepted.body) == (202, b"")
    assert in_session(shared_rpc, session_id, "ping").json["result"] == {}
    listed = in_session(shared_rpc, session_id, "tools/list").json["result"]
    assert [tool["name"] for tool in listed["tools"]] == TOOLS
    assert listed.keys() == {"tools"}
    result = in_session(shared_rpc, session_id, "tools/call", {"name": "heartbeat", "arguments": {"agent": "b"}}).json
    assert "resultType" not in result["result"]
    other = in_session(shared_rpc, session_id, "ping", headers={"MCP-Protocol-Version": MODERN})
    assert other.status == 400


@pytest.mark.parametrize("asked", [HANDSHAKE, MODERN, "1999-01-01", "2024-10-07"])
def test_initialize_answers_a_version_with_a_handshake(shared_rpc: Daemon, asked: str) -> None:
    assert initialize(shared_rpc, asked).json["result"]["protocolVersion"] == HANDSHAKE


@pytest.mark.parametrize(
    ("version", "tool_keys", "structured"),
    [
        (HANDSHAKE, {"title", "outputSchema", "annotations"}, True),
        ("2025-06-18", {"title", "outputSchema", "annotations"}, True),
        ("2025-03-26", {"annotations"}, False),
        ("2024-11-05", set(), False),
    ],
)
def test_each_revision_gets_what_it_knows(
    shared_rpc: Daemon, version: str, tool_keys: set[str], structured: bool
) -> None:
    opened = initialize(shared_rpc, version)
    assert opened.json["result"]["protocolVersion"] == version
    headers = ACCEPT | {"Mcp-Session-Id": opened.headers["Mcp-Session-Id"]}

    def ask(method: str, params: dict[str, Any]) -> dict[str, Any]:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        result: dict[str, Any] = shared_rpc.post("/mcp", body, headers).json["result"]
        return result

    for tool in ask("tools/list", {})["tools"]:
        assert tool.keys() == {"name", "description", "inputSchema"} | tool_keys
    called = ask("tools/call", {"name": "heartbeat", "arguments": {"agent": "a"}})
    assert ("structuredContent" in called) is structured
    assert orjson.loads(called["content"][0]["text"])["success"] is True


def test_a_batch_is_answered_message_by_message_in_2025_03_26_only(shared_rpc: Daemon) -> None:
    batch: list[Any] = [
        {"jsonrpc": "2.0", "id": 1, "method": "ping"},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": "two", "method": "tools/call", "params": {"name": "no_such_tool"}},
        {"jsonrpc": "2.0", "id": 3, "method": "initialize", "params": {}},
        {"jsonrpc": "1.0", "id": 4},
        7,
        {
            "jsonrpc": "2.0",
            "id": 5,
            "method": "tools/call",
            "params": {"name": "heartbeat", "arguments": {"agent": "a"}},
        },
    ]
    headers = ACCEPT | {"Mcp-Session-Id": initialize(shared_rpc, "2025-03-26").headers["Mcp-Session-Id"]}
    reply = shared_rpc.post("/mcp", batch, headers)
    assert reply.status == 200
    outcome = [(answer.get("id"), answer.get("error", {}).get("code")) for answer in reply.json]
    assert outcome == [(1, None), ("two", -32602), (3, -32600), (4, -32600), (None, -32600), (5, None)]
    assert shared_rpc.post("/mcp", [batch[1]], headers).status == 202
    assert shared_rpc.post("/mcp", [], headers).status == 400
    assert shared_rpc.post("/mcp", [batch[0]] * 101, headers).status == 400
    other = ACCEPT | {"Mcp-Session-Id": initialize(shared_rpc, "2025-06-18").headers["Mcp-Session-Id"]}
    assert "2025-03-26 only" in shared_rpc.post("/mcp", batch, other).json["error"]["message"]


def test_an_ended_session_stays_ended_over_a_restart(rpc: Daemon) -> None:
    ended, kept = (initialize(rpc).headers["Mcp-Session-Id"] for _ in range(2))
    assert rpc.request("DELETE", "/mcp", headers={"Mcp-Session-Id": ended}).status == 204
    for _ in range(2):
        assert in_session(rpc, ended, "ping").status == 404
        assert in_session(rpc, kept, "ping").status == 200
        assert rpc.request("DELETE", "/mcp", headers={"Mcp-Session-Id": ended}).status == 404
        rpc.restart()
    assert rpc.request("DELETE", "/mcp").status == 405


def test_an_old_initialize_with_modern_headers_still_opens_a_session(shared_rpc: Daemon) -> None:
    body = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": HANDSHAKE}}
    headers = ACCEPT | {"Mcp-Method": "initialize", "MCP-Protocol-Version": MODERN}
    reply = shared_rpc.post("/mcp", body, headers)
    assert (reply.status, "Mcp-Session-Id" in reply.headers) == (200, True)


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"{", -32700, "not JSON"),
        (b"\xff\xfe", -32700, "not JSON"),
        (b"", -32700, "not JSON"),
        (b"[]", -32600, "batch"),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600, "batch"),
        (b'"ping"', -32600, "object"),
        (b'{"id":1,"method":"ping"}', -32600, '"jsonrpc": expected "2.0"'),
        (b'{"jsonrpc":"1.0","id":1,"method":"ping"}', -32600, 'got "1.0"'),
        (b'{"jsonrpc":"2.0","id":1}', -32600, '"method"'),
        (b'{"jsonrpc":"2.0","id":1,"method":7}', -32600, '"method"'),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, '"id"'),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600, '"id"'),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', -32600, '"id"'),
        (b'{"jsonrpc":"2.0","id":{},"method":"ping"}', -32600, '"id"'),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}', -32600, '"params"'),
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', -32600, "got a response"),
        (b'{"jsonrpc":"2.0","method":"tools/call","params":{}}', -32600, '"id" is missing'),
        (b"[" * 100_000, -32700, "not JSON"),
    ],
)
def test_what_is_no_request_gets_400_and_a_named_fault(shared_rpc: Daemon, body: bytes, code: int, words: str) -> None:
    reply = shared_rpc.post("/mcp", body, ACCEPT)
    assert reply.status == 400
    assert reply.json["error"]["code"] == code
    assert words in reply.json["error"]["message"]
    assert reply.json.get("id", 0) is not None, "an unreadable id is left out, never null"


def test_a_request_without_a_session_and_without_meta_is_told_to_open_one(shared_rpc: Daemon) -> None:
    reply = shared_rpc.post("/mcp", {"jsonrpc": "2.0", "id": 9, "method": "tools/list"}, ACCEPT)
    assert (reply.status, reply.json["id"]) == (400, 9)
    assert "initialize" in reply.json["error"]["message"]


@pytest.mark.parametrize("forge", ["nonsense", "a.b", "..", "é.x"])
def test_a_session_that_was_never_issued_is_404(shared_rpc: Daemon, forge: str) -> None:
    session_id = forge.encode().decode("latin-1")
    assert in_session(shared_rpc, session_id, "ping").status == 404


def test_a_session_with_another_signature_is_404(shared_rpc: Daemon) -> None:
    session_id = initialize(shared_rpc).headers["Mcp-Session-Id"]
    payload, _, signature = session_id.partition(".")
    forged = base64.urlsafe_b64encode(base64.urlsafe_b64decode(payload + "==").replace(b"root", b"toor")).decode()
    for candidate in (f"{forged.rstrip('=')}.{signature}", f"{payload}.{signature[::-1]}", payload):
        assert in_session(shared_rpc, candidate, "ping").status == 404


def test_unknown_methods_are_404_in_the_stateless_era_and_200_in_a_session(shared_rpc: Daemon) -> None:
    for method in ("unknown/method", "initialize", "ping", "logging/setLevel"):
        reply = modern(shared_rpc, method)
        assert (reply.status, reply.json["error"]["code"]) == (404, -32601), method
    session_id = initialize(shared_rpc).headers["Mcp-Session-Id"]
    reply = in_session(shared_rpc, session_id, "unknown/method")
    assert (reply.status, reply.json["error"]["code"]) == (200, -32601)


def test_an_unknown_tool_is_a_protocol_error(shared_rpc: Daemon) -> None:
    reply = modern(shared_rpc, "tools/call", {"name": "no_such_tool", "arguments": {}})
    assert reply.json["error"]["code"] == -32602
    assert "no_such_tool" in reply.json["error"]["message"]
    assert modern(shared_rpc, "tools/call", {}).json["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "'agent' is missing; expected a string"),
        ({"agent": 7, "activity": "x", "category": "task"}, "'agent': Expected `str`, got `int`"),
        ({"agent": "", "activity": "x", "category": "task"}, "1 to 128 characters"),
        ({"agent": "a", "activity": "x", "category": "fun"}, "expected one of communication, decision, error, task"),
        ({"agent": "a", "activity": "x", "category": "task", "colour": 1}, "unknown argument 'colour'; expected only"),
        ({"agent": "a", "activity": "x", "category": "task", "paths": ["a", 7]}, "'paths[1]'"),
        ({"agent": "a", "activity": "x", "category": "task", "details": []}, "expected an object"),
        ({"agent": "a", "activity": "x", "category": "task", "dry_run": "yes"}, "expected true or false"),
        ({"agent": "a", "activity": "x", "category": "task", "paths": ["../up"]}, "leads above its start"),
        ([], "Expected `object`, got `array`"),
        ("text", "Expected `object`, got `str`"),
    ],
)
def test_bad_arguments_come_back_as_a_result_that_names_argument_and_expectation(
    shared_rpc: Daemon, arguments: Any, words: str
) -> None:
    result = modern(shared_rpc, "tools/call", {"name": "log_activity", "arguments": arguments}).json["result"]
    assert result["isError"] is True
    assert words in result["content"][0]["text"]


@pytest.mark.parametrize(
    ("meta", "words"),
    [
        ({}, "protocolVersion"),
        ({"io.modelcontextprotocol/protocolVersion": 7}, "expected a string, got int"),
        ({"io.modelcontextprotocol/protocolVersion": MODERN}, "clientCapabilities"),
        (META | {"io.modelcontextprotocol/clientCapabilities": []}, "expected an object, got list"),
        ("nonsense", "protocolVersion"),
    ],
)
def test_a_malformed_meta_is_400_invalid_params(shared_rpc: Daemon, meta: Any, words: str) -> None:
    reply = modern(shared_rpc, "tools/list", {"_meta": meta})
    assert (reply.status, reply.json["error"]["code"]) == (400, -32602)
    assert words in reply.json["error"]["message"]


@pytest.mark.parametrize(
    "headers",
    [
        {"MCP-Protocol-Version": "2025-11-25"},
        {"Mcp-Method": "tools/list"},
        {"Mcp-Method": "Tools/Call"},
        {"Mcp-Name": "log_activity"},
        {"Mcp-Name": "=?base64?SGVsbG8?="},
        {"Mcp-Name": "=?base64?SGVs!!!bG8=?="},
        {"Mcp-Name": ""},
    ],
)
def test_a_header_that_disagrees_with_the_body_is_refused(shared_rpc: Daemon, headers: dict[str, str]) -> None:
    reply = modern(shared_rpc, "tools/call", {"name": "heartbeat", "arguments": {"agent": "mismatch"}}, headers=headers)
    assert (reply.status, reply.json["error"]["code"]) == (400, -32020)


@pytest.mark.parametrize("missing", ["MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"])
def test_a_missing_header_is_refused(shared_rpc: Daemon, missing: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"_meta": META, "name": "heartbeat"}}
    headers = ACCEPT | {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": "heartbeat"}
    del headers[missing]
    reply = shared_rpc.post("/mcp", body, headers)
    assert (reply.status, reply.json["error"]["code"]) == (400, -32020)
    assert missing in reply.json["error"]["message"]


def test_a_name_may_come_in_base64(shared_rpc: Daemon) -> None:
    encoded = base64.b64encode(b"heartbeat").decode()
    headers = {"Mcp-Name": f"=?base64?{encoded}?="}
    reply = modern(shared_rpc, "tools/call", {"name": "heartbeat", "arguments": {"agent": "a"}}, headers=headers)
    assert reply.json["result"]["isError"] is False


def test_an_unsupported_version_lists_the_supported_ones(shared_rpc: Daemon) -> None:
    for version in ("2099-01-01", HANDSHAKE):
        meta = META | {"io.modelcontextprotocol/protocolVersion": version}
        reply = modern(shared_rpc, "tools/list", {"_meta": meta}, headers={"MCP-Protocol-Version": version})
        assert (reply.status, reply.json["error"]["code"]) == (400, -32022)
        assert reply.json["error"]["data"] == {"supported": ALL, "requested": version}
    assert reply.json["error"]["message"].startswith(f"protocol version '{HANDSHAKE}' begins with initialize; ")


def test_a_header_mismatch_wins_over_an_unsupported_version(shared_rpc: Daemon) -> None:
    meta = META | {"io.modelcontextprotocol/protocolVersion": "v999"}
    assert modern(shared_rpc, "tools/list", {"_meta": meta}).json["error"]["code"] == -32020


def test_a_cursor_that_was_never_given_out_is_refused(shared_rpc: Daemon) -> None:
    assert modern(shared_rpc, "tools/list", {"cursor": "bogus"}).json["error"]["code"] == -32602


def test_a_stateless_notification_is_accepted_without_a_body(shared_rpc: Daemon) -> None:
    body = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"_meta": META, "requestId": 1}}
    headers = ACCEPT | {"MCP-Protocol-Version": MODERN, "Mcp-Method": "notifications/cancelled"}
    reply = shared_rpc.post("/mcp", body, headers)
    assert (reply.status, reply.body) == (202, b"")


def test_media_types_are_checked(shared_rpc: Daemon) -> None:
    assert shared_rpc.post("/mcp", b"{}", ACCEPT | {"Content-Type": "text/plain"}).status == 415
    assert shared_rpc.post("/mcp", b"{}", {"Accept": "text/html"}).status == 406
    assert modern(shared_rpc, "tools/list", headers={"Accept": "application/json"}).status == 200


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_other_methods_are_405(shared_rpc: Daemon, method: str) -> None:
    reply = shared_rpc.request(method, "/mcp", headers=ACCEPT)
    assert reply.status == 405
    assert reply.headers["Allow"] == ("POST, GET, DELETE" if method == "PUT" else "POST")


def test_a_foreign_page_cannot_call(shared_rpc: Daemon) -> None:
    reply = modern(shared_rpc, "tools/list", headers={"Origin": "http://evil.example.com"})
    assert (reply.status, reply.json["error"]["code"]) == (403, -32600)


def test_ids_come_back_as_they_were_sent(shared_rpc: Daemon) -> None:
    for sent in (0, -1, 2**53, "", "a\u00e9\n", "1"):
        assert modern(shared_rpc, "tools/list", id=sent).json["id"] == sent


def test_a_session_outlives_a_restart(rpc: Daemon) -> None:
    session_id = initialize(rpc).headers["Mcp-Session-Id"]
    rpc.restart()
    assert in_session(rpc, session_id, "ping").json["result"] == {}
    assert call(rpc, "heartbeat", agent="still-here")["success"] is True
