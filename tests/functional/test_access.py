"""Who may call, asked of the kernel by the real daemon."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

import pytest

from mcpd.store.database import Database
from tests.functional.conftest import MakeDaemon
from tests.functional.daemon import Daemon
from tests.functional.mcp import in_session, initialize, modern

NOBODY = pwd.getpwnam("nobody")
ASK = """
import http.client, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
for method, path in (("GET", "/api/mcp/health"), ("POST", "/mcp"), ("POST", "/jsonrpc"), ("GET", "/api/mcp/status")):
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    headers = {"Content-Type": "application/json", "Mcp-Session-Id": sys.argv[2]}
    connection.request(method, path, body, {name: value for name, value in headers.items() if value})
    response = connection.getresponse()
    print(response.status, response.read().decode())
"""


def ask_as_nobody(rpc: Daemon, session_id: str = "") -> list[str]:
    command = [sys.executable, "-I", "-c", ASK, str(rpc.port), session_id]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
        cwd="/",
        user=NOBODY.pw_uid,
        group=NOBODY.pw_gid,
        extra_groups=[],
    )
    return done.stdout.splitlines()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can call as somebody else")
def test_another_local_user_gets_health_and_nothing_else(rpc: Daemon) -> None:
    health, mcp, dialect, status = ask_as_nobody(rpc)
    assert health.startswith("200")
    for answer in (mcp, dialect, status):
        assert answer.startswith("403")
        assert "user nobody is not in group mcp-admin; an administrator may run: usermod -aG mcp-admin nobody" in answer
    assert '"code":-32600' in mcp
    assert '"code":-32004' in dialect


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can call as somebody else")
def test_open_loopback_admits_everyone(make_daemon: MakeDaemon) -> None:
    rpc = make_daemon('[access]\nloopback = "open"\n')
    assert [answer[:3] for answer in ask_as_nobody(rpc)] == ["200", "400", "200", "200"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can call as somebody else")
def test_a_session_of_another_caller_does_not_exist(make_daemon: MakeDaemon) -> None:
    rpc = make_daemon('[access]\nloopback = "open"\n')
    session_id = initialize(rpc).headers["Mcp-Session-Id"]
    assert in_session(rpc, session_id, "ping").status == 200
    assert ask_as_nobody(rpc, session_id)[1].startswith("404")


def test_journal_and_audit_name_the_caller(rpc: Daemon) -> None:
    modern(rpc, "tools/call", {"name": "heartbeat", "arguments": {"agent": "a"}}, headers={"X-Request-ID": "find-me"})
    ours = pwd.getpwuid(os.geteuid()).pw_name
    db = Database(str(rpc.database), read_only=True)
    row = db.one("SELECT caller, operation, resource, outcome, details FROM audit WHERE request_id = 'find-me'")
    db.close()
    assert row == (ours, "tools/call", "heartbeat", "ok", '{"agent":"a"}')
    rpc.restart()  # the line is written after the answer
    assert f"MCPD_REQUEST_ID=find-me MCPD_METHOD=tools/call MCPD_TOOL=heartbeat MCPD_CALLER={ours}" in rpc.log()


def test_refused_failed_and_dry_calls_are_audited_too(rpc: Daemon) -> None:
    for arguments in ({}, {"agent": "a", "dry_run": True}):
        modern(rpc, "tools/call", {"name": "heartbeat", "arguments": arguments})
    modern(rpc, "tools/call", {"name": "no_such_tool"})
    wrong = {"agent": "a", "activity": "x", "category": "task", "paths": [".."]}
    modern(rpc, "tools/call", {"name": "log_activity", "arguments": wrong})
    db = Database(str(rpc.database), read_only=True)
    outcomes = db.rows("SELECT resource, outcome FROM audit ORDER BY id")
    changed = db.value("SELECT count(*) FROM agents") + db.value("SELECT count(*) FROM events")
    db.close()
    assert outcomes == [
        ("heartbeat", "refused"), ("heartbeat", "dry_run"), ("no_such_tool", "refused"), ("log_activity", "failed"),
    ]  # fmt: skip
    assert changed == 0
