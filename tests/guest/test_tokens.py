"""Tokens, consent and who may decide, on an installed machine: users, groups, agents and the journal are real."""

from __future__ import annotations

import json

import pytest

from .machine import DATABASE, Guest
from .test_agent_tools import AGENT, eventually, tool

DELETE = {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
          "params": {"name": "delete_component", "arguments": {"name": "auth"}}}  # fmt: skip
AS_JSON = "curl -sS -H 'Content-Type: application/json'"
SOCKET = "--unix-socket /run/mcpd/mcp.sock http://localhost"
LOOPBACK = "http://localhost:8099"


def rows(guest: Guest, sql: str) -> list[str]:
    return guest.exec("runuser", "-u", "mcpd", "--", "sqlite3", DATABASE, sql).splitlines()


def as_user(guest: Guest, user: str, command: str) -> str:
    return guest.exec("runuser", "-u", user, "--", "sh", "-c", command)


@pytest.fixture(scope="module")
def peopled(guest: Guest) -> Guest:
    """A machine with a user who may not call, an administrator and a component."""
    guest.exec("useradd", "outsider")
    guest.exec("useradd", "-G", "mcp-admin", "insider")
    assert guest.call("register_component", name="auth", owner="database").status == 200
    return guest


def test_a_token_lets_a_user_in_who_may_not_call(peopled: Guest) -> None:
    made = json.loads(as_user(peopled, "insider", "mcpctl --json client add ci --scope read"))
    assert peopled.request("/api/mcp/status", user="outsider").status == 403
    grant = f"curl -sS -u ci:{made['client_secret']} -d grant_type=client_credentials {LOOPBACK}/oauth/token"
    granted = json.loads(as_user(peopled, "outsider", grant))
    assert (granted["token_type"], granted["scope"]) == ("Bearer", "read")
    bearer = f"-H 'Authorization: Bearer {granted['access_token']}'"
    for where in (SOCKET, LOOPBACK):
        assert json.loads(as_user(peopled, "outsider", f"curl -sS {bearer} {where}/api/mcp/status"))["server_running"]
        body = as_user(peopled, "outsider", f"{AS_JSON} {bearer} -d '{json.dumps(DELETE)}' {where}/jsonrpc")
        assert json.loads(body)["error"]["code"] == -32004
    peopled.exec("systemctl", "restart", "mcpd-rpc.service")
    assert "server_running" in as_user(peopled, "outsider", f"curl -sS {bearer} {LOOPBACK}/api/mcp/status")
    as_user(peopled, "insider", "mcpctl client remove ci")
    assert "it was revoked" in as_user(peopled, "outsider", f"curl -sS {bearer} {LOOPBACK}/api/mcp/status")
    journal = peopled.journal("-u", "mcpd-rpc", "-o", "json")
    assert "client:ci" in journal
    for secret in (made["client_secret"], granted["access_token"]):
        assert secret not in journal
        assert peopled.status("grep", "-r", "--", secret, "/var/lib/mcpd") == 1


def test_an_agent_asks_an_administrator_and_never_allows_itself(peopled: Guest) -> None:
    tool(peopled, "start_agent", agent=AGENT)

    def typed(text: str) -> None:
        tool(peopled, "send_to_agent", agent=AGENT, text=text)

    asked = f"{AS_JSON} -d '{json.dumps(DELETE)}' {SOCKET}/jsonrpc"
    typed(asked)
    sql = f"SELECT id FROM approvals WHERE caller = 'agent:{AGENT}' AND state = 'pending'"
    [consent_id] = eventually(lambda: rows(peopled, sql))
    for number, where in enumerate((SOCKET, LOOPBACK), 1):
        typed(f"{AS_JSON} -d '{{\"approved\": true}}' {where}/api/mcp/consent/{consent_id}")
        typed(f"mcpctl consent approve {consent_id}")
        refused = "SELECT count(*) FROM audit WHERE operation = 'consent/decide' AND outcome = 'ok'"
        assert rows(peopled, refused) == ["0"], number

    def refusals() -> list[str]:
        lines = peopled.journal("-u", "mcpd-rpc").splitlines()
        return [line for line in lines if f"/api/mcp/consent/{consent_id}" in line and "needs the scope admin" in line]

    said = eventually(refusals)
    assert any(f"for agent:{AGENT} " in line for line in said)
    assert rows(peopled, sql) == [consent_id]
    assert "approved" in as_user(peopled, "insider", f"mcpctl consent approve {consent_id}")
    typed(asked)
    eventually(lambda: rows(peopled, "SELECT count(*) FROM components") == ["0"])
    assert rows(peopled, "SELECT decided_by FROM approvals WHERE state = 'used'") == ["insider"]
