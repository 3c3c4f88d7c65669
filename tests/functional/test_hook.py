"""mcpd-hook as an agent runs it: a process a hook, its payload on stdin, with a daemon, a frozen one, none."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mcpd
from mcpd.store.database import Database
from tests.functional.daemon import Daemon

CONTINUE = {"continue": True}


def run(
    path: Path | str, event: str, payload: object, *more: str, agent: str | None = "backend-api"
) -> subprocess.CompletedProcess[bytes]:
    """Run the hook; *payload* is sent as JSON unless it is bytes."""
    stdin = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    kept = {key: value for key, value in os.environ.items() if key not in ("CLAUDE_AGENT_NAME", "AGENT_NAME")}
    environment = kept | {"PYTHONPATH": str(Path(mcpd.__file__).parents[1])}
    if agent is not None:
        environment["CLAUDE_AGENT_NAME"] = agent
    command = [sys.executable, "-m", "mcpd.daemons.hook", "--socket", str(path), *more, event]
    return subprocess.run(command, input=stdin, capture_output=True, env=environment, timeout=30, check=False)


def said(rpc: Daemon, event: str, payload: object, **more: Any) -> dict[str, Any]:
    """Run the hook, which must succeed; return what it printed."""
    done = run(rpc.socket_path, event, payload, **more)
    assert (done.returncode, done.stderr) == (0, b""), done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    assert printed["continue"] is True
    return printed


def rows(rpc: Daemon, sql: str) -> list[tuple[Any, ...]]:
    db = Database(str(rpc.database), read_only=True)
    try:
        return db.rows(sql)
    finally:
        db.close()


def claude(event: str, **more: Any) -> dict[str, Any]:
    """A payload as Claude Code sends it."""
    common = {
        "session_id": "5f0c-77",
        "transcript_path": "/tmp/t.jsonl",
        "cwd": "/srv/app",
        "permission_mode": "default",
    }
    return common | {"hook_event_name": event} | more


def test_a_session_from_its_beginning_to_its_end(rpc: Daemon) -> None:
    """The state follows the events; each change is told once and audited."""
    steps: list[tuple[str, dict[str, Any], str, str]] = [
        ("SessionStart", {"source": "startup"}, "idle", "idle"),
        ("UserPromptSubmit", {"prompt": "Fix the login\nwith care"}, "working", "busy"),
        ("PreToolUse", {"tool_name": "Bash", "tool_input": {"command": "ls"}}, "working", "busy"),
        ("Notification", {"message": "Claude needs your permission to use Bash"}, "waiting_for_permission", "busy"),
        (
            "PostToolUse",
            {"tool_name": "Bash", "tool_input": {}, "tool_response": {"stdout": "heartbeat"}},
            "working",
            "busy",
        ),
        ("SubagentStop", {}, "working", "busy"),
        ("PreCompact", {"trigger": "auto"}, "working", "busy"),
        ("Stop", {"stop_hook_active": False}, "idle", "idle"),
        ("Notification", {"notification_type": "idle_prompt", "message": "x"}, "waiting_for_input", "idle"),
        ("SessionEnd", {"reason": "clear"}, "idle", "idle"),
        ("SessionEnd", {"reason": "logout"}, "ended", "offline"),
    ]
    for event, fields, state, status in steps:
        said(rpc, event, claude(event, **fields))
        assert rows(rpc, "SELECT agent, state, session, directory FROM hook_states") == [
            ("backend-api", state, "5f0c-77", "/srv/app")
        ], event
        assert rows(rpc, "SELECT status FROM agents") == [(status,)], event
        if state == "working":
            assert rows(rpc, "SELECT current_task FROM agents") == [("Fix the login",)], event
    told = [json.loads(data)["state"] for (data,) in rows(rpc, "SELECT data FROM events WHERE topic = 'agent.hook'")]
    assert told == [
        "idle", "working", "waiting_for_permission", "working", "idle", "waiting_for_input", "idle", "ended",
    ]  # fmt: skip
    audited = rows(rpc, "SELECT operation, resource FROM audit WHERE resource = 'update_status' ORDER BY id LIMIT 2")
    assert audited == [("hooks/SessionStart", "update_status"), ("hooks/UserPromptSubmit", "update_status")]


def test_what_an_agent_is_told_at_its_events(shared_rpc: Daemon) -> None:
    started = said(shared_rpc, "SessionStart", claude("SessionStart"))
    assert started["systemMessage"].startswith("MCP v2 Connected - 19 tools, ")
    prompt = said(shared_rpc, "UserPromptSubmit", claude("UserPromptSubmit", prompt="Please deploy and run the tests"))
    assert prompt["systemMessage"].splitlines() == [
        "💡 Suggested MCP prompts:",
        "- deploy_system: Deploy the multi-agent system",
        "- run_tests: Run system tests",
    ]
    assert said(shared_rpc, "UserPromptSubmit", claude("UserPromptSubmit", prompt="the latest protest")) == CONTINUE
    warned = said(shared_rpc, "PreToolUse", claude("PreToolUse", tool_name="mcp__db__drop_table", tool_input={}))
    assert "Dangerous operation detected: mcp__db__drop_table" in warned["systemMessage"]
    assert said(shared_rpc, "PreToolUse", claude("PreToolUse", tool_name="mcp__x__unknown", tool_input={})) == CONTINUE
    assert "saved before compaction" in said(shared_rpc, "pre_compact", {})["systemMessage"]


def test_tools_of_other_servers_are_logged_and_ours_are_not(rpc: Daemon) -> None:
    for tool, response in (
        ("mcp__github__get_issue", {"content": []}),
        ("mcp__mcpd__heartbeat", {}),
        ("mcp__github__close", {"is_error": True}),
        ("Bash", {}),
    ):
        said(rpc, "PostToolUse", claude("PostToolUse", tool_name=tool, tool_input={}, tool_response=response))
    assert rows(rpc, "SELECT agent, activity, category, status FROM activities ORDER BY id") == [
        ("backend-api", "Tool executed: mcp__github__get_issue", "communication", "completed"),
        ("backend-api", "Tool executed: mcp__github__close", "error", "failed"),
    ]


@pytest.mark.parametrize(
    ("event", "payload", "words"),
    [
        ("notification", {"content": "log_activity: Implemented login"}, "✅ MCP: Activity logged successfully"),
        ("pre_tool_use", {"tool": {"input": "Check for conflicts for src/x.py"}}, "✅ MCP: No conflicts detected"),
        ("pre_tool_use", {"tool": {"input": "register component: api:users"}}, "✅ MCP: Component 'users' registered"),
        ("Stop", claude("Stop", last_assistant_message="I'm now working on it"), "Status updated to 'working on it'"),
        ("notification", {"content": "I am still alive"}, "✅ MCP: Heartbeat recorded"),
        ("post_tool_use", {"tool": {"output": "I need help with SQL"}}, "Collaboration requested from supervisor"),
        ("stop", {"last_assistant_message": "Should we use SQLite or PostgreSQL?"}, "✅ MCP: Decision 1 proposed"),
        ("notification", {"content": "Who owns the users component?"}, "✅ MCP: Component owned by backend-api"),
        ("notification", {"content": "who owns nothing?"}, "✅ MCP: Component not found"),
        ("UserPromptSubmit", claude("UserPromptSubmit", prompt="MCP: heartbeat"), "✅ MCP: Heartbeat recorded"),
        ("pre_tool_use", {"tool": {"input": "check for conflicts for ../../etc/x"}}, "❌ MCP Error: "),
    ],
)  # fmt: skip
def test_a_phrase_calls_its_tool(shared_rpc: Daemon, event: str, payload: dict[str, Any], words: str) -> None:
    assert words in said(shared_rpc, event, payload)["systemMessage"]


def test_what_only_looks_like_a_phrase_does_nothing(rpc: Daemon) -> None:
    for payload in (
        claude("PreToolUse", tool_name="Bash", tool_input={"command": "echo heartbeat", "description": "Print a word"}),
        claude("PreToolUse", tool_name="Write", tool_input={"content": "log_activity: x", "file_path": "/x"}),
        {"tool": {"input": "echo heartbeat"}},
    ):
        assert said(rpc, "PreToolUse", payload) == CONTINUE
    said(rpc, "UserPromptSubmit", claude("UserPromptSubmit", prompt="We should talk. I need help with CSS."))
    assert rows(rpc, "SELECT count(*) FROM activities") == [(0,)]
    assert {tool for (tool,) in rows(rpc, "SELECT resource FROM audit")} == {"update_status"}


def test_whose_hook_it_is(rpc: Daemon) -> None:
    said(rpc, "Stop", {}, agent="Backend API Agent")
    said(rpc, "Stop", {}, agent="my own-name")
    said(rpc, "Stop", {"last_assistant_message": "I am the testing agent."}, agent=None)
    said(rpc, "Stop", {}, agent=None)
    said(rpc, "Stop", {}, agent="Übersetzer 100%")
    assert {name for (name,) in rows(rpc, "SELECT name FROM agents")} == {
        "backend-api", "my own-name", "testing", "claude_code", "Übersetzer 100%",
    }  # fmt: skip


@pytest.mark.parametrize("agent", ["evil\r\nX-Agent-Name: other", "\udcff"])
def test_a_name_that_nobody_can_read_is_complained_of_and_the_rest_is_told(rpc: Daemon, agent: str) -> None:
    done = run(rpc.socket_path, "Stop", {}, agent=agent)
    assert (done.returncode, json.loads(done.stdout)) == (0, CONTINUE)
    assert done.stderr.startswith(b"mcpd-hook: Stop: not told: the agent's name, which is not printable: '")
    assert rows(rpc, "SELECT agent FROM hook_states") == [("claude_code",)]


@pytest.mark.parametrize("name", ["%FF", "a%0D%0Ab"])
def test_other_clients_are_told_of_such_a_name(shared_rpc: Daemon, name: str) -> None:
    refused = shared_rpc.request("POST", "/api/mcp/hooks/Stop", b"{}", {"X-Agent-Name": name})
    assert (refused.status, "X-Agent-Name: expected printable" in refused.json["error"]) == (400, True)


def test_a_character_that_was_cut_in_half_loses_nothing_else(rpc: Daemon) -> None:
    said(rpc, "UserPromptSubmit", rb'{"session_id": "s", "prompt": "a \ud83d\ude00 \\ud83d \ud83d"}')
    assert rows(rpc, "SELECT current_task FROM agents") == [("a 😀 \\ud83d \ufffd",)]
    said(rpc, "PostToolUse", rb'{"tool_name": "Bash", "tool_response": {"stdout": "\ud83d"}}')
    assert rows(rpc, "SELECT state FROM hook_states") == [("working",)]


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("Stop", b""),
        ("Stop", b"no JSON"),
        ("Stop", b"[1, 2]"),
        ("Stop", b"null"),
        ("Stop", b'"text"'),
        ("Stop", bytes(range(256)) * 64),
        ("Stop", b'{"a":' * 100_000),
        ("NoSuchEvent", b"{}"),
        ("../../jsonrpc", b"{}"),
        ("Stop\r\nX: y", b"{}"),
        ("Stop", b"{" + b" " * (5 << 20) + b"}"),
    ],
    ids=range(11),
)
def test_bad_input_never_stops_the_agent(shared_rpc: Daemon, event: str, payload: bytes) -> None:
    done = run(shared_rpc.socket_path, event, payload)
    assert (done.returncode, json.loads(done.stdout)) == (0, CONTINUE)
    assert done.stderr.startswith(b"mcpd-hook: ")
    assert done.stderr.count(b"\n") == 1


WRONG: tuple[Any, ...] = (None, 7, [], {"a": 1}, "x" * 200_000, True)


@pytest.mark.parametrize(
    "event", ["SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "Notification", "Stop"]
)
@pytest.mark.parametrize("value", WRONG, ids=range(len(WRONG)))
def test_fields_of_any_type_are_taken(shared_rpc: Daemon, event: str, value: Any) -> None:
    names = (
        "session_id", "cwd", "tool_name", "tool_input", "tool_response", "prompt", "message", "content", "tool",
        "notification_type", "type", "last_assistant_message", "reason", "agent_type",
    )  # fmt: skip
    reply = shared_rpc.post(f"/api/mcp/hooks/{event}", dict.fromkeys(names, value))
    assert reply.status == 200, reply.body
    assert reply.json["continue"] is True


def test_the_endpoint_says_what_is_wrong(shared_rpc: Daemon) -> None:
    reply = shared_rpc.post("/api/mcp/hooks/NoSuch", {})
    assert (reply.status, reply.json["error"].split("; ")[0]) == (400, "unknown event 'NoSuch'")
    assert shared_rpc.post("/api/mcp/hooks/Stop", [1]).json["error"].startswith("the payload of Stop: expected a JSON")


def test_a_daemon_that_is_not_there_is_no_matter_for_the_agent(tmp_path: Path) -> None:
    done = run(tmp_path / "none", "PreToolUse", claude("PreToolUse"))
    assert (done.returncode, json.loads(done.stdout)) == (0, CONTINUE)
    assert b"No such file" in done.stderr


@pytest.fixture
def frozen(rpc: Daemon) -> Iterator[Daemon]:
    """A daemon that is stopped in its tracks."""
    assert rpc.process is not None
    rpc.process.send_signal(signal.SIGSTOP)
    yield rpc
    rpc.process.send_signal(signal.SIGCONT)


def test_a_frozen_daemon_holds_an_agent_up_for_a_bounded_time_and_hears_of_it_later(frozen: Daemon) -> None:
    began = time.monotonic()
    done = run(frozen.socket_path, "Stop", claude("Stop"), "--timeout", "0.5")
    assert time.monotonic() - began < 5  # a process's start included, on a busy machine
    assert (done.returncode, json.loads(done.stdout)) == (0, CONTINUE)
    assert b"did not answer" in done.stderr
    assert frozen.process is not None
    frozen.process.send_signal(signal.SIGCONT)
    deadline = time.monotonic() + 10
    while not rows(frozen, "SELECT 1 FROM hook_states") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert rows(frozen, "SELECT state FROM hook_states") == [("idle",)]


def test_an_agent_that_never_ends_its_payload_is_not_waited_for(shared_rpc: Daemon) -> None:
    command = [sys.executable, "-m", "mcpd.daemons.hook", "--timeout", "0.3", "Stop"]
    environment = os.environ | {"PYTHONPATH": str(Path(mcpd.__file__).parents[1])}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdin is not None
        process.stdin.write(b'{"half":')
        process.stdin.flush()
        assert process.wait(20) == 0
        assert process.stdout is not None
        assert json.loads(process.stdout.read()) == CONTINUE


@pytest.mark.parametrize("words", [["--no-such", "Stop"], []])
def test_a_wrong_command_line_does_not_have_the_status_that_blocks_an_agent(words: list[str]) -> None:
    command = [sys.executable, "-m", "mcpd.daemons.hook", *words]
    environment = os.environ | {"PYTHONPATH": str(Path(mcpd.__file__).parents[1])}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, check=False)
    assert done.returncode == 64


def test_a_hook_takes_little_longer_than_the_interpreter(shared_rpc: Daemon) -> None:
    """Processor time, which a busy machine stretches least; 50 ms is what a hook may take."""
    payload = claude("PreToolUse", tool_name="Bash", tool_input={"command": "ls"})
    run(shared_rpc.socket_path, "PreToolUse", payload)
    used = []
    for _ in range(15):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run(shared_rpc.socket_path, "PreToolUse", payload)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(used) < 0.05
