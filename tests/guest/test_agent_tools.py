"""Agents as callers and as what tools control, on an installed machine: cgroups, users and sandboxes are real."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from .machine import DATABASE, Guest

AGENT = "backend-api"
UNIT = f"mcp-agent@{AGENT}.service"
BEAT = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "heartbeat", "arguments": {"agent": "x"}}}
CURL = f"curl -sS -H 'Content-Type: application/json' -d '{json.dumps(BEAT)}'"


def eventually(condition: Callable[[], Any], timeout_s: float = 30) -> Any:
    deadline_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline_s, "nothing came of it"
        time.sleep(0.2)
    return value


def callers(guest: Guest) -> list[str]:
    """Who called heartbeat, the last one first."""
    sql = "SELECT caller FROM audit WHERE resource = 'heartbeat' ORDER BY id DESC"
    return guest.exec("runuser", "-u", "mcpd", "--", "sqlite3", DATABASE, sql).splitlines()


def tool(guest: Guest, name: str, **arguments: str) -> Any:
    answer = guest.call(name, **arguments)
    assert answer.status == 200, answer
    return answer.body


@pytest.fixture(scope="module")
def started(guest: Guest) -> Guest:
    body = tool(guest, "start_agent", agent="Backend API Agent")
    assert body["result"]["structuredContent"]["agent"] == AGENT, body
    return guest


def test_a_tool_starts_an_agent_and_the_database_tells_what_it_does(started: Guest) -> None:
    assert started.show(UNIT, "ActiveState") == "active"

    def seen() -> Any:
        found = tool(started, "get_agent", agent=AGENT)["result"]["structuredContent"]
        return "pid" in found and found

    found = eventually(seen)
    assert (found["user"], found["terminal"]) == ("mcp-agent", "http://localhost:8090")
    assert found["state"] in ("running", "working", "idle")


def test_what_is_typed_arrives_and_is_read_and_no_tmux_runs_as_mcpd(started: Guest) -> None:
    sent = tool(started, "send_to_agent", agent=AGENT, text="echo grüße; id -un; sleep 1; echo $((6*7))ty")
    assert sent["result"]["structuredContent"] == {"agent": AGENT, "was_seen": True}

    def lines() -> Any:
        found = tool(started, "read_agent_screen", agent=AGENT)["result"]["structuredContent"]["lines"]
        return "42ty" in found and found

    assert {"grüße", "mcp-agent"} <= set(eventually(lines))
    assert started.status("pgrep", "-u", "mcpd", "tmux") == 1


def test_an_agent_is_known_by_its_cgroup_on_the_socket_and_by_its_user_over_loopback(started: Guest) -> None:
    tool(
        started, "send_to_agent", agent=AGENT, text=f"{CURL} --unix-socket /run/mcpd/mcp.sock http://localhost/jsonrpc"
    )
    eventually(lambda: callers(started)[:1] == [f"agent:{AGENT}"])
    tool(started, "send_to_agent", agent=AGENT, text=f"{CURL} http://localhost:8099/jsonrpc")
    eventually(lambda: callers(started)[:1] == ["mcp-agent"])
    message = json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}})  # fmt: skip
    beat = json.dumps(BEAT)
    started.exec("sh", "-c", f"printf '%s\\n' '{message}' '{beat}' >/tmp/stdio.in; chmod 644 /tmp/stdio.in")
    tool(started, "send_to_agent", agent=AGENT, text="mcpd-stdio </tmp/stdio.in")
    eventually(lambda: callers(started)[:2] == [f"agent:{AGENT}", "mcp-agent"])


def test_another_user_is_refused_and_an_agent_stops_nobody_unasked(started: Guest) -> None:
    started.exec("useradd", "outsider")
    for url in ("http://localhost:8099/jsonrpc", "--unix-socket /run/mcpd/mcp.sock http://localhost/jsonrpc"):
        said = started.exec("runuser", "-u", "outsider", "--", "sh", "-c", f"{CURL} {url}")
        assert "user outsider is not in group mcp-admin" in said
    answer = started.request("/api/mcp/stop-agent", {"agent_name": AGENT}, user="mcp-agent")
    assert (answer.status, "stop_agent asks a person" in answer.body["error"]) == (403, True)
    assert started.show(UNIT, "ActiveState") == "active"


def test_the_control_socket_is_the_daemons_own(started: Guest) -> None:
    assert started.exec("stat", "-c", "%U %a", "/run/mcpd/control.sock").split() == ["mcpd", "600"]
    for user in ("outsider", "mcp-agent"):
        refused = started.status(
            "runuser", "-u", user, "--", "curl", "--unix-socket", "/run/mcpd/control.sock", "http://x/"
        )
        assert refused == 7


def test_stopping_asks_a_person_and_the_dashboards_button_is_one(started: Guest) -> None:
    body = tool(started, "stop_agent", agent=AGENT)
    assert "elicitation" in json.dumps(body)
    assert started.show(UNIT, "ActiveState") == "active"
    answer = started.request("/api/mcp/stop-agent", {"agent_name": "Backend API Agent"})
    assert (answer.status, answer.body["message"]) == (200, f"Agent {AGENT} stopped")
    assert started.show(UNIT, "ActiveState") == "inactive"
    answer = started.request("/api/mcp/setup-agent", {"agent_name": AGENT})
    assert (answer.status, answer.body["session"]) == (200, f"claude-{AGENT}")
    assert started.show(UNIT, "ActiveState") == "active"


def test_an_agent_whose_command_ended_is_restarted_by_a_start(started: Guest) -> None:
    def state() -> Any:
        return tool(started, "get_agent", agent=AGENT)["result"]["structuredContent"]["state"]

    eventually(lambda: state() not in ("absent", "exited"))
    tool(started, "send_to_agent", agent=AGENT, text="exit 0")
    eventually(lambda: state() == "exited")
    before = started.show(UNIT, "MainPID")
    body = tool(started, "start_agent", agent=AGENT)
    assert body["result"]["structuredContent"]["before"] == "exited"
    assert started.show(UNIT, "MainPID") != before
