"""Tokens, consent and the rate limit with the real daemon: by mcpctl, by other users of the machine, over restarts."""

from __future__ import annotations

import http.client
import os
import pwd
import subprocess
import sys
import threading
from typing import Any

import orjson
import pytest

from tests.functional.conftest import UNLIMITED, MakeDaemon
from tests.functional.daemon import Daemon, Reply
from tests.functional.test_mcpctl import answer, at, mcpctl, refused

NOBODY = pwd.getpwnam("nobody")
AS_NOBODY = """
import http.client, json, sys
connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
for method, path, headers, body in json.loads(sys.argv[2]):
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    print(json.dumps([response.status, dict(response.getheaders()), response.read().decode()]))
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can call as somebody else")


def as_nobody(rpc: Daemon, *requests: tuple[str, str, dict[str, str], str]) -> list[Reply]:
    """Have a user of this machine who may not call send *requests*: method, path, headers, body."""
    command = [sys.executable, "-I", "-c", AS_NOBODY, str(rpc.port), orjson.dumps(requests).decode()]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=20, cwd="/", user=NOBODY.pw_uid,
        group=NOBODY.pw_gid, extra_groups=[],
    )  # fmt: skip
    found = [orjson.loads(line) for line in done.stdout.splitlines()]
    return [Reply(status, headers, body.encode()) for status, headers, body in found]


def token(rpc: Daemon, secret: str, name: str = "ci") -> str:
    body = {"grant_type": "client_credentials", "client_id": name, "client_secret": secret}
    found: str = rpc.post("/oauth/token", body).json["access_token"]
    return found


def tool(name: str, /, **arguments: Any) -> str:
    params = {"name": name, "arguments": arguments}
    return orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).decode()


@needs_root
def test_a_token_lets_in_whom_the_kernel_does_not(rpc: Daemon) -> None:
    made = answer(mcpctl("--json", "client", "add", "ci", "--scope", "read", "--scope", "write", *at(rpc)))
    assert (made["client_id"], made["scopes"], made["created_by"]) == ("ci", ["read", "write"], "root")
    form = f"grant_type=client_credentials&client_id=ci&client_secret={made['client_secret']}"
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    [granted] = as_nobody(rpc, ("POST", "/oauth/token", kind, form))
    assert (granted.status, granted.json["scope"], granted.json["expires_in"]) == (200, "read write", 86400)
    sent = {"Authorization": f"Bearer {granted.json['access_token']}", "Content-Type": "application/json"}
    requests = [
        ("POST", "/jsonrpc", sent, tool("heartbeat", agent="x")),
        ("GET", "/api/mcp/status", sent, ""),
        ("GET", "/api/mcp/clients", sent, ""),
        ("GET", "/api/mcp/status", {}, ""),
    ]
    for _ in range(2):
        called, status, clients, without = as_nobody(rpc, *requests)
        assert called.json["result"]["success"] is True
        assert (status.status, clients.status, without.status) == (200, 403, 403)
        assert 'error="insufficient_scope", scope="admin"' in clients.headers["WWW-Authenticate"]
        rpc.restart()  # neither the client nor its token is forgotten
    assert "refused: GET /api/mcp/clients needs the scope admin" in rpc.log()
    for secret in (made["client_secret"], granted.json["access_token"]):
        assert secret not in rpc.log()
    [listed] = answer(mcpctl("--json", "token", "list", *at(rpc)))
    assert mcpctl("token", "revoke", listed["id"], *at(rpc)).stdout == f"{listed['id']}: revoked\n"
    gone = as_nobody(rpc, *requests)[0]
    assert (gone.status, gone.json["error"]["code"]) == (401, -32001)
    assert 'error="invalid_token"' in gone.headers["WWW-Authenticate"]
    assert "it was revoked" in gone.json["error"]["message"]


def test_mcpctl_manages_clients_and_tokens(rpc: Daemon) -> None:
    assert answer(mcpctl("--json", "client", "list", *at(rpc))) == []
    assert mcpctl("client", "list", *at(rpc)).stdout == "no clients\n"
    assert mcpctl("token", "list", *at(rpc)).stdout == "no tokens\n"
    added = mcpctl("client", "add", "ci", "--scope", "read", *at(rpc))
    assert (added.returncode, "the only time that the secret is shown" in added.stderr) == (0, True)
    secret = next(line.split()[-1] for line in added.stdout.splitlines() if "client_secret" in line)
    assert secret not in mcpctl("client", "show", "ci", *at(rpc)).stdout
    token(rpc, secret)
    [kept] = answer(mcpctl("--json", "client", "show", "ci", *at(rpc)))["tokens"]
    assert "ci" in mcpctl("token", "list", *at(rpc)).stdout
    refused(mcpctl("client", "add", "ci", "--scope", "read", *at(rpc)), 1, "there is a client ci already")
    refused(mcpctl("client", "add", "No!", "--scope", "read", *at(rpc)), 1, "expected 1 to 64 of a-z")
    fresh = answer(mcpctl("--json", "client", "rotate", "ci", *at(rpc)))["client_secret"]
    assert rpc.post("/oauth/token", {"grant_type": "client_credentials", "client_id": "ci"}).status == 401
    token(rpc, fresh)
    assert mcpctl("token", "revoke", kept["id"], *at(rpc)).stdout == f"{kept['id']}: had ended already\n"
    refused(mcpctl("token", "revoke", "nothing", *at(rpc)), 1, "there is no token of that id")
    assert mcpctl("client", "remove", "ci", *at(rpc)).stdout == "ci: removed, its tokens have ended\n"
    for action in ("show", "rotate", "remove"):
        refused(mcpctl("client", action, "ci", *at(rpc)), 1, "there is no such client")


@pytest.mark.parametrize(
    "words",
    [
        ["client"], ["client", "add"], ["client", "add", "x"], ["client", "list", "x"], ["client", "show"],
        ["client", "show", "x", "--scope", "read"], ["client", "add", "x", "--scope", "root"], ["token", "revoke"],
        ["token", "list", "x"], ["consent", "approve"], ["consent", "list", "x"], ["consent", "list", "--reason", "x"],
        ["consent", "perhaps", "x"],
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_refused(words: list[str]) -> None:
    assert mcpctl(*words).returncode == 64


def test_an_administrator_gives_consent_by_mcpctl(rpc: Daemon) -> None:
    rpc.post("/jsonrpc", tool("register_component", name="auth", owner="database").encode())
    assert mcpctl("consent", "list", *at(rpc)).stdout == "nothing waits for consent\n"
    asked = rpc.post("/jsonrpc", tool("delete_component", name="auth").encode())
    error = asked.json["error"]
    assert (asked.status, error["code"]) == (200, -32003)
    consent_id = error["data"]["consent_id"]
    rpc.restart()
    assert rpc.request("GET", "/api/mcp/status").json["stats"]["consents_pending"] == 1
    [waiting] = answer(mcpctl("--json", "consent", "list", *at(rpc)))
    assert (waiting["consent_id"], waiting["status"], waiting["arguments"]) == (consent_id, "pending", {"name": "auth"})
    assert "wants to delete the component 'auth'" in mcpctl("consent", "show", consent_id, *at(rpc)).stdout
    done = mcpctl("consent", "approve", consent_id, "--reason", "it is old", *at(rpc))
    assert done.stdout == f"{consent_id}: approved\n"
    refused(mcpctl("consent", "deny", consent_id, *at(rpc)), 1, "it is approved and cannot be decided")
    result = rpc.post("/jsonrpc", tool("delete_component", name="auth").encode()).json["result"]
    assert result == {"success": True, "component": "auth"}
    assert answer(mcpctl("--json", "consent", "list", *at(rpc))) == []
    [over] = answer(mcpctl("--json", "consent", "list", "--all", *at(rpc)))
    assert (over["status"], over["reason"]) == ("used", "it is old")
    refused(mcpctl("consent", "approve", "nothing", *at(rpc)), 1, "there is no such request")


def test_mcpctl_call_says_how_to_get_consent(rpc: Daemon) -> None:
    rpc.post("/jsonrpc", tool("register_component", name="auth", owner="database").encode())
    called = mcpctl("call", "delete_component", "name=auth", *at(rpc))
    refused(called, 1, "mcpctl consent approve ")
    consent_id = called.stderr.split("mcpctl consent approve ")[1].split(".")[0]
    assert mcpctl("consent", "approve", consent_id, *at(rpc)).returncode == 0
    assert mcpctl("call", "delete_component", "name=auth", *at(rpc)).returncode == 0


def ask(rpc: Daemon, times: int, found: list[tuple[int, str | None]]) -> None:
    """As one user of the guide's load test: so many requests, one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", rpc.port, timeout=20)
    body = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}'
    for _ in range(times):
        connection.request("POST", "/jsonrpc", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        response.read()
        found.append((response.status, response.headers["Retry-After"]))
    connection.close()


def test_the_guides_load_test_passes_and_a_flood_does_not(rpc: Daemon) -> None:
    found: list[tuple[int, str | None]] = []
    users = [threading.Thread(target=ask, args=(rpc, 100, found)) for _ in range(10)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert found == [(200, None)] * 1000
    # What comes back meanwhile is a thousand a minute: a flood meets the limit long before these are through.
    flood: list[tuple[int, str | None]] = []
    while len(flood) < 20_000 and (not flood or flood[-1][0] == 200):
        ask(rpc, 100, flood)
    status, retry_after = flood[-1]
    assert status == 429
    assert int(retry_after or 0) >= 1
    assert rpc.request("GET", "/api/mcp/health").status == 200


def test_the_limit_is_a_key_and_a_variable(make_daemon: MakeDaemon) -> None:
    off = make_daemon(UNLIMITED)
    found: list[tuple[int, str | None]] = []
    ask(off, 1500, found)
    assert {status for status, _ in found} == {200}
    policies = off.request("GET", "/api/mcp/security").json
    assert (policies["policies"]["rate_limit_per_minute"], policies["security"]["rate_limiting"]) == (None, False)
    few = make_daemon(environment={"MCP_RATE_LIMIT": "2", "RATE_LIMIT": "50"})
    found = []
    ask(few, 3, found)
    assert found == [(200, None), (200, None), (429, "30")]


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n", 400),
        (b"Authorization: Bearer " + b"a" * 5000 + b"\r\n", 401),
        (b"Authorization: Bearer " + b"a" * 40_000 + b"\r\n", 431),
        (b"Authorization: Bearer a.b.c\r\nX-Request-ID: x\r\n", 401),
        (b"Authorization: Basic cm9vdDpyb290\r\n", 401),
        (b"Authorization:\r\n", 401),
        (b"Authorization: Bearer \xff\xfe\r\n", 401),
        (b"authorization: bearer a.b.c\r\n", 401),
    ],
)
def test_a_header_that_is_no_token_lets_nobody_pass(rpc: Daemon, lines: bytes, status: int) -> None:
    """Not even root, whom the kernel knows: who brings a token wants to be judged by it."""
    answer = rpc.raw(b"GET /api/mcp/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + lines + b"\r\n")
    assert int(answer.split(b" ", 2)[1]) == status
    assert (b"WWW-Authenticate: Bearer error=" in answer) is (status == 401)
    assert answer.count(b"HTTP/1.1") == 1
    assert rpc.request("GET", "/api/mcp/status").status == 200
