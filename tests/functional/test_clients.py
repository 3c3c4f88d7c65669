"""What an agent's client sees of each tool, and what is in the database then: the official SDKs, unmodified.

One SDK of each kind and era; ``test_foreign`` has them all.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.functional.daemon import Daemon
from tests.functional.foreign import CLIENT_V2, MCP_V2, PROGRAMS, Client, at

pytestmark = pytest.mark.host

Json = dict[str, Any]
SDKS = [program for program in PROGRAMS if program.family in (MCP_V2, CLIENT_V2)]

TOOLS = [
    "log_activity",
    "check_conflicts",
    "register_component",
    "update_status",
    "heartbeat",
    "request_collaboration",
    "propose_decision",
    "find_component_owner",
    "delete_component",
    "list_agents",
    "get_agent",
    "send_to_agent",
    "read_agent_screen",
    "start_agent",
    "stop_agent",
    "restart_agent",
    "create_report",
    "export_data",
    "create_backup",
]


@pytest.fixture(params=SDKS, ids=str)
def client(request: pytest.FixtureRequest, rpc: Daemon) -> Iterator[Client]:
    with request.param.start(at(rpc.url, rpc.socket_path)["http"]) as client:
        yield client


def call(client: Client, name: str, /, **arguments: object) -> Json:
    return client.ask("tools/call", name=name, arguments=arguments)


def result(client: Client, name: str, /, **arguments: object) -> Json:
    """Call a tool that must succeed; return its structured content."""
    answer = call(client, name, **arguments)
    assert not answer.get("isError"), answer
    content: Json = answer["structuredContent"]
    assert json.loads(answer["content"][0]["text"]) == content
    return content


def rows(rpc: Daemon, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Return what another process reads in the daemon's database."""
    with closing(sqlite3.connect(f"file:{rpc.database}?mode=ro", uri=True)) as db:
        return db.execute(sql, parameters).fetchall()


def test_the_tools_are_listed_in_order_and_described(client: Client) -> None:
    tools = client.ask("tools/list")["tools"]

    assert [tool["name"] for tool in tools] == TOOLS
    for tool in tools:
        assert tool["title"]
        assert tool["description"]
        assert tool["inputSchema"]["type"] == tool["outputSchema"]["type"] == "object"


def test_register_component_and_find_component_owner(client: Client, rpc: Daemon) -> None:
    registered = result(client, "register_component", name="auth", owner="backend-api", paths=["src/auth"])
    handed_over = result(client, "register_component", name="auth", owner="database")
    found = result(client, "find_component_owner", component="auth")
    missing = result(client, "find_component_owner", component="nothing")

    assert registered == {"success": True, "component": "auth", "version": 1}
    assert handed_over == {"success": True, "component": "auth", "version": 2, "previous_owner": "backend-api"}
    assert (found["found"], found["owner"], found["status"]) == (True, "database", "active")
    assert missing == {"success": True, "found": False}
    assert rows(rpc, "SELECT name, owner, version FROM components") == [("auth", "database", 2)]
    assert rows(rpc, "SELECT agent, target FROM claims WHERE kind = 'path'") == [("database", "src/auth")]


def test_log_activity_claims_and_check_conflicts_finds(client: Client, rpc: Daemon) -> None:
    working = {"category": "task", "status": "started", "paths": ["src/auth/login.py"]}
    first = result(client, "log_activity", agent="backend-api", activity="rewrite the login", **working)
    second = result(client, "log_activity", agent="testing", activity="fix the login", **working)
    checked = result(client, "check_conflicts", agents=["backend-api", "testing"])

    assert first == {"success": True, "id": 1}
    assert [holder["agent"] for holder in second["conflicts"][0]["holders"]] == ["backend-api"]
    assert (checked["conflicts"], checked["count"], checked["items"][0]["target"]) == (True, 1, "src/auth/login.py")
    assert {holder["agent"] for holder in checked["items"][0]["holders"]} == {"backend-api", "testing"}
    assert rows(rpc, "SELECT id, agent, activity FROM activities ORDER BY id") == [
        (1, "backend-api", "rewrite the login"),
        (2, "testing", "fix the login"),
    ]


def test_update_status_and_heartbeat(client: Client, rpc: Daemon) -> None:
    first = result(client, "update_status", agent="testing", status="busy", current_task="run the tests")
    second = result(client, "update_status", agent="testing", status="idle")
    result(
        client, "request_collaboration", from_agent="frontend-ui", to_agent="testing", task="test it", priority="high"
    )
    alive = result(client, "heartbeat", agent="testing")

    assert first == {"success": True, "agent": "testing"}
    assert second == {"success": True, "agent": "testing", "previous_status": "busy"}
    assert alive["pending_requests"] == 1
    assert rows(rpc, "SELECT status, current_task FROM agents WHERE name = 'testing'") == [("idle", None)]
    topics = [topic for (topic,) in rows(rpc, "SELECT topic FROM events WHERE topic <> 'agent.new' ORDER BY seq")]
    assert topics == ["agent.status", "agent.status", "collaboration.requested", "agent.heartbeat"]


def test_request_collaboration_and_propose_decision(client: Client, rpc: Daemon) -> None:
    requested = result(client, "request_collaboration", from_agent="testing", to_agent="database", task="add an index")
    proposed = result(
        client,
        "propose_decision",
        category="architecture",
        question="One database or two?",
        proposed_by="database",
        metadata={"options": ["one", "two"]},
    )

    assert requested == {"success": True, "request_id": 1, "to_agent_known": False}
    assert proposed == {"success": True, "decision_id": 1}
    found = rows(rpc, "SELECT from_agent, to_agent, task, priority, status FROM collaboration_requests")
    assert found == [("testing", "database", "add an index", "medium", "pending")]
    found = rows(rpc, "SELECT question, proposed_by, metadata, status FROM decisions")
    assert found == [("One database or two?", "database", '{"options":["one","two"]}', "pending")]


def test_every_call_is_audited(client: Client, rpc: Daemon) -> None:
    result(client, "heartbeat", agent="testing")
    call(client, "heartbeat", agent=7)

    audited = rows(rpc, "SELECT resource, outcome, details FROM audit ORDER BY id")
    assert audited == [("heartbeat", "ok", '{"agent":"testing"}'), ("heartbeat", "refused", '{"agent":7}')]


def test_bad_arguments_are_a_result_that_names_the_argument(client: Client, rpc: Daemon) -> None:
    answer = call(client, "update_status", agent="testing", status="asleep")

    assert answer["isError"] is True
    text = answer["content"][0]["text"]
    assert "'status'" in text
    assert "one of active, busy, idle, offline" in text
    assert rows(rpc, "SELECT * FROM agents") == []


def test_an_unknown_tool_is_a_protocol_error(client: Client) -> None:
    error = call(client, "no_such_tool")["error"]

    assert error["code"] == -32602
    assert "no_such_tool" in error["message"]


def test_a_dry_run_says_what_it_would_do_and_changes_nothing(client: Client, rpc: Daemon) -> None:
    told = result(client, "register_component", name="auth", owner="backend-api", dry_run=True)

    assert told["dry_run"] is True
    assert "register_component" in told["message"]
    for table in ("components", "claims", "agents", "events"):
        assert rows(rpc, f"SELECT * FROM {table}") == []
    assert rows(rpc, "SELECT outcome FROM audit") == [("dry_run",)]
