"""The clients that agents really use: the official SDKs, unmodified, against the real daemon.

Each SDK runs in its own process and runtime (``clients/``); a test sends it commands and looks at what its user would
see, and then into the database.
"""

from __future__ import annotations

import json
import os
import select
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.functional.daemon import Daemon

pytestmark = pytest.mark.host

CLIENTS = Path(__file__).parent / "clients"
ANSWER_S = 20.0
MODERN, HANDSHAKE = "2026-07-28", "2025-11-25"
Json = dict[str, Any]

TOOLS = [
    "log_activity",
    "check_conflicts",
    "register_component",
    "update_status",
    "heartbeat",
    "request_collaboration",
    "propose_decision",
    "find_component_owner",
    "create_report",
    "export_data",
]


@dataclass
class Client:
    """An SDK's client in its process; ``protocol`` is the revision that it negotiated by itself."""

    process: subprocess.Popen[str]
    protocol: str = ""

    def ask(self, **command: object) -> Json:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> Json:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], ANSWER_S)
        assert ready, f"the client said nothing for {ANSWER_S:g} s"
        line = self.process.stdout.readline()
        assert line, f"the client ended with status {self.process.wait(ANSWER_S)}; its stderr is above"
        answer: Json = json.loads(line)
        return answer

    def call(self, name: str, /, **arguments: object) -> Json:
        return self.ask(do="call", name=name, arguments=arguments)

    def result(self, name: str, /, **arguments: object) -> Json:
        """Call a tool that must succeed; return its structured content."""
        answer = self.call(name, **arguments)
        assert not answer.get("isError"), answer
        content: Json = answer["structuredContent"]
        assert json.loads(answer["content"][0]["text"]) == content
        return content


def from_environment(variable: str) -> str:
    """Return where a foreign client is installed; packaging/test installs them, a bare pytest need not have them."""
    value = os.environ.get(variable)
    if value is None and "CI" in os.environ:
        pytest.fail(f"{variable} is not set")
    if value is None:
        pytest.skip(f"{variable} is not set; packaging/test sets it")
    return value


def python_command(mode: str) -> Callable[[str], list[str]]:
    return lambda url: [from_environment("MCPD_CLIENTS_PYTHON"), str(CLIENTS / "python_sdk.py"), url, mode]


def typescript_command(url: str) -> list[str]:
    return ["node", str(CLIENTS / "typescript_sdk.mjs"), url, from_environment("MCPD_CLIENTS_NODE")]


@dataclass(frozen=True)
class Sdk:
    """One way to start one SDK's client, and the revision that it then has to end up with."""

    name: str
    command: Callable[[str], list[str]]
    protocol: str


SDKS = [
    Sdk("python", python_command("auto"), MODERN),
    Sdk("python-legacy", python_command("legacy"), HANDSHAKE),
    Sdk("typescript", typescript_command, HANDSHAKE),
]
WITH_SESSION = [sdk for sdk in SDKS if sdk.protocol == HANDSHAKE]


@contextmanager
def started(command: list[str]) -> Iterator[Client]:
    # The caller's PYTHONPATH is for its own interpreter, not for the SDK's.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["MCPD_TREE"] = str(CLIENTS.parents[2])  # for a server that the SDK starts itself
    with ExitStack() as stack:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        client = Client(process)
        client.protocol = client.answer()["protocol"]
        yield client
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(ANSWER_S) == 0


@pytest.fixture(params=SDKS, ids=lambda sdk: sdk.name)
def client(request: pytest.FixtureRequest, rpc: Daemon) -> Iterator[Client]:
    with started(request.param.command(f"{rpc.url}/mcp")) as client:
        assert client.protocol == request.param.protocol
        yield client


def rows(rpc: Daemon, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Return what another process reads in the daemon's database."""
    with closing(sqlite3.connect(f"file:{rpc.database}?mode=ro", uri=True)) as db:
        return db.execute(sql, parameters).fetchall()


def test_the_tools_are_listed_in_order_and_described(client: Client) -> None:
    tools = client.ask(do="list")["tools"]

    assert [tool["name"] for tool in tools] == TOOLS
    for tool in tools:
        assert tool["title"]
        assert tool["description"]
        assert tool["inputSchema"]["type"] == tool["outputSchema"]["type"] == "object"


def test_register_component_and_find_component_owner(client: Client, rpc: Daemon) -> None:
    registered = client.result("register_component", name="auth", owner="backend-api", paths=["src/auth"])
    handed_over = client.result("register_component", name="auth", owner="database")
    found = client.result("find_component_owner", component="auth")
    missing = client.result("find_component_owner", component="nothing")

    assert registered == {"success": True, "component": "auth", "version": 1}
    assert handed_over == {"success": True, "component": "auth", "version": 2, "previous_owner": "backend-api"}
    assert (found["found"], found["owner"], found["status"]) == (True, "database", "active")
    assert missing == {"success": True, "found": False}
    assert rows(rpc, "SELECT name, owner, version FROM components") == [("auth", "database", 2)]
    assert rows(rpc, "SELECT agent, target FROM claims WHERE kind = 'path'") == [("database", "src/auth")]


def test_log_activity_claims_and_check_conflicts_finds(client: Client, rpc: Daemon) -> None:
    working = {"category": "task", "status": "started", "paths": ["src/auth/login.py"]}
    first = client.result("log_activity", agent="backend-api", activity="rewrite the login", **working)
    second = client.result("log_activity", agent="testing", activity="fix the login", **working)
    checked = client.result("check_conflicts", agents=["backend-api", "testing"])

    assert first == {"success": True, "id": 1}
    assert [holder["agent"] for holder in second["conflicts"][0]["holders"]] == ["backend-api"]
    assert (checked["conflicts"], checked["count"], checked["items"][0]["target"]) == (True, 1, "src/auth/login.py")
    assert {holder["agent"] for holder in checked["items"][0]["holders"]} == {"backend-api", "testing"}
    assert rows(rpc, "SELECT id, agent, activity FROM activities ORDER BY id") == [
        (1, "backend-api", "rewrite the login"),
        (2, "testing", "fix the login"),
    ]


def test_update_status_and_heartbeat(client: Client, rpc: Daemon) -> None:
    first = client.result("update_status", agent="testing", status="busy", current_task="run the tests")
    second = client.result("update_status", agent="testing", status="idle")
    client.result(
        "request_collaboration", from_agent="frontend-ui", to_agent="testing", task="test it", priority="high"
    )
    alive = client.result("heartbeat", agent="testing")

    assert first == {"success": True, "agent": "testing"}
    assert second == {"success": True, "agent": "testing", "previous_status": "busy"}
    assert alive["pending_requests"] == 1
    assert rows(rpc, "SELECT status, current_task FROM agents WHERE name = 'testing'") == [("idle", None)]
    topics = [topic for (topic,) in rows(rpc, "SELECT topic FROM events WHERE topic <> 'agent.new' ORDER BY seq")]
    assert topics == ["agent.status", "agent.status", "collaboration.requested", "agent.heartbeat"]


def test_request_collaboration_and_propose_decision(client: Client, rpc: Daemon) -> None:
    requested = client.result("request_collaboration", from_agent="testing", to_agent="database", task="add an index")
    proposed = client.result(
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
    client.result("heartbeat", agent="testing")
    client.call("heartbeat", agent=7)

    audited = rows(rpc, "SELECT resource, outcome, details FROM audit ORDER BY id")
    assert audited == [("heartbeat", "ok", '{"agent":"testing"}'), ("heartbeat", "refused", '{"agent":7}')]


def test_bad_arguments_are_a_result_that_names_the_argument(client: Client, rpc: Daemon) -> None:
    answer = client.call("update_status", agent="testing", status="asleep")

    assert answer["isError"] is True
    text = answer["content"][0]["text"]
    assert "'status'" in text
    assert "one of active, busy, idle, offline" in text
    assert rows(rpc, "SELECT * FROM agents") == []


def test_an_unknown_tool_is_a_protocol_error(client: Client) -> None:
    error = client.call("no_such_tool")["error"]

    assert error["code"] == -32602
    assert "no_such_tool" in error["message"]


def test_a_dry_run_says_what_it_would_do_and_changes_nothing(client: Client, rpc: Daemon) -> None:
    told = client.result("register_component", name="auth", owner="backend-api", dry_run=True)

    assert told["dry_run"] is True
    assert "register_component" in told["message"]
    for table in ("components", "claims", "agents", "events"):
        assert rows(rpc, f"SELECT * FROM {table}") == []
    assert rows(rpc, "SELECT outcome FROM audit") == [("dry_run",)]


@pytest.mark.parametrize("sdk", WITH_SESSION, ids=lambda sdk: sdk.name)
def test_a_session_lives_through_a_restart(sdk: Sdk, rpc: Daemon) -> None:
    with started(sdk.command(f"{rpc.url}/mcp")) as client:
        client.result("heartbeat", agent="testing")
        rpc.restart()
        client.result("heartbeat", agent="testing")

    sessions = rows(rpc, "SELECT session_id FROM audit ORDER BY id")
    assert len(sessions) == 2
    assert sessions[0] == sessions[1] != (None,)
