"""Tokens over HTTP, without sockets: who gets one, what it is good for, and what an attacker tries."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest

from mcpd.access.callers import REMOTE, UNKNOWN, Caller
from mcpd.access.scopes import WORKING
from mcpd.config import Access, Config, Limits
from mcpd.config import Server as ServerSettings
from mcpd.protocol.http import HttpRequest, HttpResponse
from mcpd.protocol.signing import KEY_BYTES
from mcpd.server.core import Core, Exchange
from mcpd.server.oauth_endpoint import TRIES_PER_MIN
from mcpd.store import calls, components
from mcpd.store.calls import Record
from mcpd.store.database import Database

ADMIN = Caller("root", True)
AGENT = Caller("agent:a", True, is_agent=True, scopes=WORKING)
STRANGER = Caller("nobody", False, "user nobody is not in group mcp-admin")
FORM = "application/x-www-form-urlencoded"


class Server:
    """A core to which anybody talks."""

    def __init__(self, db: Database) -> None:
        self.db = db
        settings = Config(
            access=Access(public_url="https://box.example"), server=ServerSettings(allowed_hosts=("box.example",))
        )
        self.core = Core(db, settings, bytes(KEY_BYTES))
        self.now_us = 1_800_000_000_000_000
        self.headers = b""

    def send(
        self, method: str, path: str, body: Any = None, *, caller: Caller = ADMIN, token: str | None = None,
        headers: Mapping[str, str] | None = None, duplicated: frozenset[bytes] = frozenset(),
    ) -> tuple[int, Any]:  # fmt: skip
        lines = {b"host": b"localhost"} | ({} if body is None else {b"content-type": b"application/json"})
        lines |= {name.lower().encode(): value.encode() for name, value in (headers or {}).items()}
        if token is not None:
            lines[b"authorization"] = f"Bearer {token}".encode()
        data = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
        http = HttpRequest(method, path, "", lines, data, True, "1.1", duplicated)
        [answer] = self.core.answer_turn([Exchange(http, caller)], self.now_us)
        assert answer.work.fault is None
        assert isinstance(answer.response, HttpResponse)
        self.headers = answer.response.headers
        return answer.response.status, orjson.loads(answer.response.body) if answer.response.body else None

    def client(self, name: str = "ci", *scopes: str) -> str:
        status, made = self.send("POST", "/api/mcp/clients", {"name": name, "scopes": list(scopes) or ["read"]})
        assert status == 201, made
        secret: str = made["client_secret"]
        return secret

    def ask(self, secret: str, name: str = "ci", *, caller: Caller = REMOTE, **more: str) -> tuple[int, Any]:
        given = {"grant_type": "client_credentials", "client_id": name, "client_secret": secret} | more
        return self.send("POST", "/oauth/token", given, caller=caller)

    def token(self, secret: str, name: str = "ci") -> str:
        status, answer = self.ask(secret, name)
        assert status == 200, answer
        token: str = answer["access_token"]
        return token

    def call(self, tool: str, token: str | None, *, caller: Caller = REMOTE, **arguments: Any) -> tuple[int, Any]:
        params = {"name": tool, "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        return self.send("POST", "/jsonrpc", message, caller=caller, token=token)


@pytest.fixture
def server(db: Database) -> Server:
    return Server(db)


def test_a_registered_client_gets_a_token_and_calls_from_anywhere(server: Server) -> None:
    secret = server.client("ci", "read", "write")
    status, answer = server.ask(secret)
    assert (status, answer["token_type"], answer["expires_in"], answer["scope"]) == (200, "Bearer", 86400, "read write")
    assert b"Cache-Control: no-store" in server.headers
    for caller in (REMOTE, UNKNOWN, STRANGER, ADMIN):
        status, result = server.call("heartbeat", answer["access_token"], caller=caller, agent="x")
        assert (status, result["result"]["success"]) == (200, True)
    assert server.db.rows("SELECT DISTINCT caller FROM audit WHERE operation = 'tools/call'") == [("client:ci",)]


def test_without_one_nobody_calls_from_elsewhere(server: Server) -> None:
    for path in ("/jsonrpc", "/mcp", "/api/mcp/status", "/api/mcp/clients"):
        method = "GET" if "api" in path else "POST"
        status, _ = server.send(method, path, {} if method == "POST" else None, caller=REMOTE)
        assert status == 401
        pointer = b'resource_metadata="https://box.example/.well-known/oauth-protected-resource/mcp"'
        assert b"WWW-Authenticate: Bearer " + pointer in server.headers, "no error where no token came (RFC 6750 3.1)"
    assert server.send("GET", "/api/mcp/status", caller=STRANGER)[0] == 403
    assert server.send("GET", "/api/mcp/health", caller=REMOTE)[0] == 200


def test_forms_and_basic_authentication_are_taken_as_the_rfc_has_them(server: Server) -> None:
    secret = server.client("ci", "read", "write")
    grant = {"grant_type": "client_credentials", "scope": "write"}
    form = urlencode(grant | {"client_id": "ci", "client_secret": secret}).encode()
    status, answer = server.send("POST", "/oauth/token", form, headers={"Content-Type": f"{FORM}; charset=utf-8"})
    assert (status, answer["scope"]) == (200, "write")
    basic = {"Content-Type": FORM, "Authorization": "Basic " + base64.b64encode(f"ci:{secret}".encode()).decode()}
    status, answer = server.send("POST", "/oauth/token", urlencode(grant).encode(), headers=basic)
    assert (status, answer["scope"]) == (200, "write")
    assert server.send("POST", "/oauth/token", form, headers=basic)[1]["error"] == "invalid_request", "two ways at once"


@pytest.mark.parametrize(
    ("change", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_secret": ""}, 401, "invalid_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"client_id": "' OR 1=1 --"}, 401, "invalid_client"),
        ({"client_id": "x" * 100_000}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, 400, "unsupported_grant_type"),
        ({"grant_type": ""}, 400, "invalid_request"),
        ({"scope": "admin"}, 400, "invalid_scope"),
        ({"scope": "read write delete"}, 400, "invalid_scope"),
        ({"scope": "read\r\nX-Evil: 1"}, 400, "invalid_scope"),
        ({"scope": "everything"}, 400, "invalid_scope"),
        ({"resource": "https://evil.example/mcp"}, 400, "invalid_target"),
        ({"resource": "https://box.example/mcp/other"}, 400, "invalid_target"),
    ],
)
def test_what_is_refused_is_refused_in_the_words_of_the_rfc(
    server: Server, change: dict[str, str], status: int, error: str
) -> None:
    secret = server.client("ci", "read", "write")
    given = {"grant_type": "client_credentials", "client_id": "ci", "client_secret": secret} | change
    found, answer = server.send("POST", "/oauth/token", given, caller=REMOTE)
    assert (found, answer.keys(), answer["error"]) == (status, {"error", "error_description"}, error)
    assert secret not in str(answer)
    assert (b"WWW-Authenticate: Basic" in server.headers) is (status == 401)
    assert b"X-Evil" not in server.headers
    assert server.db.value("SELECT count(*) FROM access_tokens") == 0


@pytest.mark.parametrize("resource", ["https://box.example/mcp", "https://box.example/mcp/", "https://box.example"])
def test_a_client_may_name_us_as_what_the_token_is_for(server: Server, resource: str) -> None:
    assert server.ask(server.client(), resource=resource)[0] == 200


def test_every_route_declares_what_it_needs(server: Server) -> None:
    routes = server.core._routes
    unguarded = {path for path, route in routes.items() if not route.open and not route.needs}
    assert unguarded == {"/mcp", "/sse", "/messages", "/jsonrpc"}, "there the messages say themselves what they need"
    for path, route in routes.items():
        assert route.open or not route.needs or set(route.handlers) <= set(route.needs), path
    assert {path for path, route in routes.items() if route.open} == {
        "/api/mcp/health", "/oauth/token", "/oauth/revoke", "/.well-known/oauth-protected-resource",
        "/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-authorization-server",
    }  # fmt: skip


def test_every_tool_declares_what_it_needs(server: Server) -> None:
    found: dict[str, set[str]] = {}
    for tool in server.core._site.tools.values():
        found.setdefault(tool.needs, set()).add(tool.name)
    assert found == {
        "read": {"check_conflicts", "find_component_owner", "list_agents", "get_agent", "read_agent_screen",
                 "create_report"},
        "write": {"log_activity", "register_component", "update_status", "heartbeat", "request_collaboration",
                  "propose_decision"},
        "execute": {"send_to_agent", "start_agent", "export_data", "create_backup"},
        "delete": {"delete_component", "stop_agent", "restart_agent"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"[]"), ("application/json", b"nonsense"), ("application/json", b'{"grant_type":1}'),
        (FORM, b"grant_type=client_credentials&grant_type=x"), (FORM, b"%zz=%"), (FORM, b"\xff=1"), (FORM, b""),
        (FORM, b"&".join(b"a%d=1" % number for number in range(50))), ("text/plain", b"grant_type=client_credentials"),
        ("", b"grant_type=client_credentials"),
    ],
)  # fmt: skip
def test_a_body_that_is_none_is_an_invalid_request(server: Server, kind: str, body: bytes) -> None:
    status, answer = server.send("POST", "/oauth/token", body, headers={"Content-Type": kind}, caller=REMOTE)
    assert (status, answer["error"]) == (400, "invalid_request")


def test_who_exists_cannot_be_told_from_the_answer(server: Server) -> None:
    server.client()
    assert server.ask("wrong") == server.ask("wrong", "nobody")


def test_guessing_is_slowed_down_and_other_clients_are_not(server: Server) -> None:
    secret = server.client()
    other = server.client("other")
    for _ in range(TRIES_PER_MIN):
        assert server.ask("guess")[0] == 401
    status, answer = server.ask(secret)
    assert (status, "rate limit" in answer["error_description"]) == (429, True)
    assert b"Retry-After: 2\r\n" in server.headers
    assert server.ask(other, "other")[0] == 200
    assert server.ask(secret, caller=STRANGER)[0] == 200, "from another place"
    server.now_us += 2_000_000
    assert server.ask(secret)[0] == 200


def test_nothing_secret_is_kept_or_told(server: Server, path: str) -> None:
    secret = server.client("ci", "admin")
    token = server.token(secret)
    server.ask("a-wrong-secret")
    server.call("heartbeat", token + "x", agent="x")
    server.send("POST", "/oauth/revoke", {"client_id": "ci", "client_secret": secret, "token": token})
    server.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with open(path, "rb") as file:  # noqa: PTH123
        kept = file.read()
    for text in (secret, token, "a-wrong-secret", token.split(".")[2]):
        assert text.encode() not in kept
    rows = server.db.rows("SELECT caller, operation, resource, outcome FROM audit WHERE operation LIKE 'oauth/%'")
    assert rows == [
        ("client:ci", "oauth/token", "ci", "ok"),
        ("remote", "oauth/token", "ci", "refused"),
        ("client:ci", "oauth/revoke", "ci", "ok"),
    ]


@pytest.mark.parametrize("place", ["/mcp", "/jsonrpc", "/api/mcp/status", "/sse"])
def test_a_bad_token_is_refused_everywhere_whoever_brings_it(server: Server, place: str) -> None:
    method = "POST" if place in ("/mcp", "/jsonrpc") else "GET"
    for caller in (REMOTE, ADMIN, AGENT):
        status, _ = server.send(method, place, {} if method == "POST" else None, caller=caller, token="a.b.c")
        assert status == 401
        assert b'WWW-Authenticate: Bearer error="invalid_token", error_description="' in server.headers
        assert b"a.b.c" not in server.headers
    status, _ = server.send(method, place, headers={"Authorization": "Basic cm9vdDp4"}, caller=ADMIN)
    assert status == 401


def test_two_headers_are_not_one(server: Server) -> None:
    token = server.token(server.client())
    status, _ = server.send("GET", "/api/mcp/status", token=token, duplicated=frozenset({b"authorization"}))
    assert status == 400


def test_a_token_in_the_query_or_the_body_is_none(server: Server) -> None:
    token = server.token(server.client())
    http = HttpRequest("GET", "/api/mcp/status", f"access_token={token}", {b"host": b"localhost"}, b"", True)
    [answer] = server.core.answer_turn([Exchange(http, REMOTE)], server.now_us)
    assert isinstance(answer.response, HttpResponse)
    assert answer.response.status == 401


def test_a_token_narrows_whoever_brings_it_and_an_agent_stays_one(server: Server) -> None:
    token = server.token(server.client("ci", "read"))
    assert server.call("heartbeat", None, caller=ADMIN, agent="x")[1]["result"]["success"]
    status, answer = server.call("heartbeat", token, caller=ADMIN, agent="x")
    assert (status, answer["error"]["code"]) == (403, -32004)
    powerful = server.token(server.client("boss", "admin", "read"), "boss")
    status, _ = server.send("POST", "/api/mcp/consent/x", {"approved": True}, caller=AGENT, token=powerful)
    assert status == 403
    assert server.send("POST", "/api/mcp/consent/x", {"approved": True}, token=powerful)[0] == 404


TOOLS = {
    "find_component_owner": ("read", {"component": "c"}),
    "check_conflicts": ("read", {"agents": ["a", "b"]}),
    "heartbeat": ("write", {"agent": "a"}),
    "register_component": ("write", {"name": "n", "owner": "o"}),
    "delete_component": ("delete", {"name": "n", "dry_run": True}),
    "stop_agent": ("delete", {"agent": "a"}),
    "send_to_agent": ("execute", {"agent": "a", "text": "x"}),
    "start_agent": ("execute", {"agent": "a"}),
}


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("place", ["/jsonrpc", "/mcp"])
def test_a_tool_needs_the_scope_that_it_declares(server: Server, tool: str, place: str) -> None:
    needed, arguments = TOOLS[tool]
    others = [scope for scope in ("read", "write", "execute", "delete", "admin") if scope != needed]
    token = server.token(server.client("ci", *others))
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
    params = {"name": tool, "arguments": arguments} | ({"_meta": meta} if place == "/mcp" else {})
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28",
               "Mcp-Method": "tools/call", "Mcp-Name": tool}  # fmt: skip
    status, answer = server.send("POST", place, message, caller=REMOTE, token=token, headers=headers)
    assert (status, answer["error"]["code"]) == (403, -32600 if place == "/mcp" else -32004)
    assert answer["error"]["message"].startswith(f"the tool {tool} needs the scope {needed}; this caller has ")
    assert answer["error"]["data"]["required_scope"] == needed
    challenge = f'WWW-Authenticate: Bearer error="insufficient_scope", scope="{needed}", resource_metadata="'
    assert challenge.encode() in server.headers
    assert server.db.one("SELECT caller, resource, outcome FROM audit ORDER BY id DESC LIMIT 1") == (
        "client:ci", tool, "refused",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("method", "place", "needed"),
    [
        ("GET", "/api/mcp/status", "read"),
        ("GET", "/api/mcp/audit", "read"),
        ("HEAD", "/api/mcp/audit", "read"),
        ("GET", "/api/mcp/performance/cache-stats", "read"),
        ("POST", "/api/mcp/performance/analyze", "admin"),
        ("POST", "/api/mcp/heartbeat", "write"),
        ("POST", "/api/mcp/hooks/Stop", "write"),
        ("POST", "/api/mcp/start-agent", "execute"),
        ("POST", "/api/mcp/stop-agent", "admin"),
        ("PUT", "/api/mcp/prompts/x", "write"),
        ("DELETE", "/api/mcp/prompts/x", "delete"),
        ("POST", "/api/mcp/consent/x", "admin"),
        ("GET", "/api/mcp/clients", "admin"),
        ("POST", "/api/mcp/clients/x", "admin"),
        ("DELETE", "/api/mcp/tokens/x", "admin"),
    ],
)
def test_a_route_needs_the_scope_that_it_declares(server: Server, method: str, place: str, needed: str) -> None:
    others = [scope for scope in ("read", "write", "execute", "delete", "admin") if scope != needed]
    token = server.token(server.client("ci", *others))
    status, answer = server.send(method, place, {} if method in ("POST", "PUT") else None, caller=REMOTE, token=token)
    assert status == 403
    assert f"needs the scope {needed}" in answer["error"]
    assert f'scope="{needed}"'.encode() in server.headers


@pytest.mark.parametrize(
    "method", ["tools/list", "resources/list", "prompts/list", "prompts/execute", "resources/read"]
)
def test_a_method_needs_the_scope_that_it_declares(server: Server, method: str) -> None:
    token = server.token(server.client("ci", "write"))
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"uri": "activity://recent", "name": "run_tests"}}
    status, answer = server.send("POST", "/jsonrpc", message, caller=REMOTE, token=token)
    assert (status, answer["error"]["code"]) == (403, -32004)
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert server.send("POST", "/jsonrpc", ping, caller=REMOTE, token=token)[0] == 200


def test_agents_are_no_administrators_and_need_no_token(server: Server) -> None:
    assert server.call("heartbeat", None, caller=AGENT, agent="a")[0] == 200
    for method, path in (("GET", "/api/mcp/clients"), ("GET", "/api/mcp/tokens"), ("POST", "/api/mcp/stop-agent")):
        assert server.send(method, path, {} if method == "POST" else None, caller=AGENT)[0] == 403


def test_a_session_of_another_client_is_none(server: Server) -> None:
    first = server.token(server.client("one", "read"), "one")
    second = server.token(server.client("two", "read"), "two")
    opening = {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    }  # fmt: skip
    accept = {"Accept": "application/json, text/event-stream"}
    server.send("POST", "/mcp", opening, caller=REMOTE, token=first, headers=accept)
    session = server.headers.split(b"Mcp-Session-Id: ")[1].split(b"\r\n")[0].decode()
    headers = accept | {"Mcp-Session-Id": session}
    ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
    assert server.send("POST", "/mcp", ping, caller=REMOTE, token=first, headers=headers)[0] == 200
    assert server.send("POST", "/mcp", ping, caller=REMOTE, token=second, headers=headers)[0] == 404
    assert server.send("POST", "/mcp", ping, caller=ADMIN, headers=headers)[0] == 404
    assert server.send("POST", "/mcp", ping, caller=REMOTE, headers=headers)[0] == 401, "an id is no authentication"


def test_a_revoked_token_ends_at_once_and_only_its_own_client_may_do_that(server: Server) -> None:
    secret, other = server.client("ci"), server.client("other")
    token = server.token(secret)

    def works() -> bool:
        return server.send("GET", "/api/mcp/status", caller=REMOTE, token=token)[0] == 200

    for given in (token, "nonsense", token + "x"):
        body = {"client_id": "other", "client_secret": other, "token": given}
        assert server.send("POST", "/oauth/revoke", body, caller=REMOTE) == (200, {})
    assert server.send("POST", "/oauth/revoke", {"token": token}, caller=REMOTE)[0] == 401
    assert works()
    body = {"client_id": "ci", "client_secret": secret, "token": token}
    assert server.send("POST", "/oauth/revoke", body, caller=REMOTE) == (200, {})
    assert not works()
    assert server.send("POST", "/oauth/revoke", body, caller=REMOTE) == (200, {}), "again is alike"
    del body["token"]
    assert server.send("POST", "/oauth/revoke", body, caller=REMOTE)[1]["error"] == "invalid_request"


@pytest.mark.parametrize("how", ["rotate", "remove", "revoke", "expire"])
def test_an_administrator_ends_tokens_in_every_way(server: Server, how: str) -> None:
    secret = server.client()
    token = server.token(secret)
    [listed] = server.send("GET", "/api/mcp/tokens")[1]["tokens"]
    assert (listed["client_id"], listed["revoked"]) == ("ci", False)
    if how == "rotate":
        fresh = server.send("POST", "/api/mcp/clients/ci", {})[1]["client_secret"]
        assert server.ask(secret)[0] == 401
        assert server.ask(fresh)[0] == 200
    elif how == "remove":
        assert server.send("DELETE", "/api/mcp/clients/ci")[0] == 200
        assert server.ask(secret)[0] == 401
        server.client()  # the same name again is another client
    elif how == "revoke":
        path = f"/api/mcp/tokens/{listed['id']}"
        assert server.send("DELETE", path) == (200, {"id": listed["id"], "revoked": True})
        assert server.send("DELETE", path) == (200, {"id": listed["id"], "revoked": False})
    else:
        server.now_us += 86_400_000_000
    assert server.send("GET", "/api/mcp/status", caller=REMOTE, token=token)[0] == 401


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "Bad Name", "scopes": ["read"]}, 400),
        ({"name": "", "scopes": ["read"]}, 400),
        ({"name": "../x", "scopes": ["read"]}, 400),
        ({"name": "x" * 65, "scopes": ["read"]}, 400),
        ({"name": "x", "scopes": []}, 400),
        ({"name": "x", "scopes": ["root"]}, 400),
        ({"name": "x", "scopes": "read"}, 400),
        ({"name": "x"}, 400),
        ({"name": "x", "scopes": ["read"], "secret": "mine"}, 400),
        ([], 400),
        (b"nonsense", 400),
        ({"name": "ci", "scopes": ["read"]}, 409),
    ],
)
def test_a_client_that_is_none_is_not_registered(server: Server, body: Any, status: int) -> None:
    server.client("ci")
    assert server.send("POST", "/api/mcp/clients", body)[0] == status
    assert server.db.value("SELECT count(*) FROM oauth_clients") == 1


def test_a_token_gives_nobody_more_tokens(server: Server) -> None:
    token = server.token(server.client("boss", "admin", "read"), "boss")
    for method, path in (
        ("POST", "/api/mcp/clients"), ("POST", "/api/mcp/clients/boss"), ("DELETE", "/api/mcp/clients/boss"),
    ):  # fmt: skip
        body = {"name": "mine", "scopes": ["admin"]} if method == "POST" else None
        assert server.send(method, path, body, caller=REMOTE, token=token)[0] == 403
    assert server.send("GET", "/api/mcp/clients", caller=REMOTE, token=token)[0] == 200


def test_where_tokens_come_from_is_told_from_the_configuration_alone(server: Server) -> None:
    for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"):
        status, found = server.send("GET", path, caller=REMOTE, headers={"Host": "localhost"})
        assert (status, found["resource"], found["authorization_servers"]) == (
            200, "https://box.example/mcp", ["https://box.example"],
        )  # fmt: skip
    server_metadata = server.send("GET", "/.well-known/oauth-authorization-server", caller=REMOTE)[1]
    assert server_metadata["issuer"] == "https://box.example"
    assert server_metadata["token_endpoint"] == "https://box.example/oauth/token"
    assert server_metadata["grant_types_supported"] == ["client_credentials"]
    assert server.send("GET", "/.well-known/oauth-protected-resource", headers={"Host": "evil.example"})[0] == 403


def test_a_token_for_another_url_does_not_hold_after_a_move(server: Server, db: Database) -> None:
    token = server.token(server.client())
    server.core = Core(db, Config(), bytes(KEY_BYTES))
    assert server.send("GET", "/api/mcp/status", caller=REMOTE, token=token)[0] == 401
    assert b"issued by somebody else" in server.headers


def test_a_database_that_cannot_be_read_lets_nobody_in(server: Server) -> None:
    token = server.token(server.client())
    server.db.execute("DROP TABLE access_tokens")
    assert server.send("GET", "/api/mcp/status", caller=REMOTE, token=token)[0] == 503


def test_the_limit_on_requests_is_told_everywhere(db: Database) -> None:
    server = Server(db)
    server.core = Core(db, Config(limits=Limits(requests_per_min=3)), bytes(KEY_BYTES))
    for _ in range(3):
        assert server.call("heartbeat", None, caller=ADMIN, agent="a")[0] == 200
        assert server.send("GET", "/api/mcp/status")[0] == 200
    status, answer = server.call("heartbeat", None, caller=ADMIN, agent="a")
    assert (status, answer["error"]["code"]) == (429, -32002)
    assert answer["error"]["message"].startswith("rate limit exceeded")
    assert answer["error"]["data"].keys() == {"retry_after", "limit", "remaining", "reset"}
    assert b"Retry-After: 20\r\n" in server.headers
    status, answer = server.send("GET", "/api/mcp/status")
    assert (status, "rate limit" in answer["error"]) == (429, True)
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    assert server.send("POST", "/jsonrpc", ping)[0] == 200, "another method"
    assert server.call("heartbeat", None, caller=AGENT, agent="a")[0] == 200, "another caller"
    for _ in range(10):
        assert server.send("GET", "/api/mcp/health")[0] == 200
    accept = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28",
              "Mcp-Method": "tools/list"}  # fmt: skip
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}
    found = [server.send("POST", "/mcp", listing, headers=accept) for _ in range(4)]
    assert [status for status, _ in found] == [200, 200, 200, 429]
    assert found[-1][1]["error"]["code"] == -32600, "what -32002 means to MCP is another thing"
    assert server.send("GET", "/api/mcp/security", caller=AGENT)[1]["policies"]["rate_limit_per_minute"] == 3


def test_a_kept_result_is_not_replayed_to_who_may_not_have_it(server: Server) -> None:
    secret = server.client("ci", "read", "write")
    params = {"name": "heartbeat", "arguments": {"agent": "x"}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    once = {"Idempotency-Key": "k"}
    full, less = server.token(secret), server.ask(secret, scope="read")[1]["access_token"]
    assert server.send("POST", "/jsonrpc", message, caller=REMOTE, token=full, headers=once)[0] == 200
    assert server.send("POST", "/jsonrpc", message, caller=REMOTE, token=less, headers=once)[0] == 403
    assert b"Idempotent-Replayed" not in server.headers


def test_an_answer_to_a_question_needs_the_scope_of_what_it_lets_go_on(server: Server) -> None:
    """The session is the client's; a token of its own with fewer scopes must not finish what another began."""
    components.register(server.db, 1, "auth", "o", "active", None)
    secret = server.client("ci", "read", "delete")
    full, less = server.token(secret), server.ask(secret, scope="read")[1]["access_token"]
    accept = {"Accept": "application/json, text/event-stream"}
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}  # fmt: skip
    params = {"name": "delete_component", "arguments": {"name": "auth"}, "_meta": meta}
    headers = accept | {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": "tools/call",
                        "Mcp-Name": "delete_component"}  # fmt: skip
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    assert server.send("POST", "/mcp", message, caller=REMOTE, token=less, headers=headers)[0] == 403
    record = Record(
        id="call", session=None, caller="client:ci", status="input_required", request={
            "method": "tools/call", "params": params, "message_id": 1, "version": "2026-07-28", "capabilities": {},
            "caller": "client:ci", "session_id": None, "request_id": "r",
        }, created_us=1, updated_us=1, expires_us=server.now_us * 2, answers={}, asked={"k": {}}, sent=0,
    )  # fmt: skip
    calls.put(server.db, record)
    update = {"taskId": "call", "inputResponses": {}, "_meta": meta | {
        "io.modelcontextprotocol/clientCapabilities": {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    }}  # fmt: skip
    message = {"jsonrpc": "2.0", "id": 1, "method": "tasks/update", "params": update}
    headers |= {"Mcp-Method": "tasks/update", "Mcp-Name": "call"}
    status, answer = server.send("POST", "/mcp", message, caller=REMOTE, token=less, headers=headers)
    assert (status, "needs the scope delete" in answer["error"]["message"]) == (403, True)
    assert server.send("POST", "/mcp", message, caller=REMOTE, token=full, headers=headers)[0] == 200
