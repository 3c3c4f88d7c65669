"""The core: the requests of one event-loop turn in, their answers out, one commit between.

Routing, the Host and Origin check, who may call, and the last line of defence against our own faults are here; what an
endpoint says is the endpoint's.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote

import msgspec

from mcpd.access import scopes, tokens
from mcpd.access.callers import Caller
from mcpd.access.origins import OriginGuard
from mcpd.access.rates import Rates
from mcpd.access.tokens import Authority
from mcpd.compliance.checks import Facts
from mcpd.compliance.vault import KEY_FILE, Vault
from mcpd.config import Config, flat
from mcpd.errors import (
    AccessDenied,
    InternalError,
    InvalidRequest,
    RateLimited,
    StoreUnavailable,
    Unauthorized,
)
from mcpd.plugins.base import Loaded, Plugin
from mcpd.protocol.http import HttpLater, HttpRequest, HttpResponse, HttpStream
from mcpd.protocol.sessions import SessionSigner
from mcpd.protocol.states import StateSigner
from mcpd.resources import exports as exported
from mcpd.resources.files import Files
from mcpd.resources.registry import Resources
from mcpd.server import (
    agents_endpoint,
    compliance_api,
    openapi,
    rest,
    routes,
)
from mcpd.server.calls import Calls
from mcpd.server.compliance_endpoint import ComplianceEndpoint
from mcpd.server.compliance_orders import Orders
from mcpd.server.hub import Hub
from mcpd.server.jobs import Jobs
from mcpd.server.route import ADMIN, Refusal, Reply, Route
from mcpd.server.routes import Parts
from mcpd.server.sessions import Sessions
from mcpd.server.site import Limits, Site
from mcpd.server.tool_list import ToolList
from mcpd.server.websockets import Websockets
from mcpd.server.work import Work, challenge
from mcpd.store import clients, events, lists, queries, settings
from mcpd.store.database import Database, store_errors
from mcpd.store.turn import Turn
from mcpd.terminals.fleet import Fleet
from mcpd.tools.registry import own_tools


class Exchange(msgspec.Struct, frozen=True, gc=False):
    """A request and who sent it."""

    http: HttpRequest
    caller: Caller


class Answer(msgspec.Struct, frozen=True):
    """The answer to one request, and what the journal says of it."""

    response: Reply
    work: Work
    duration_us: int


NO_PLUGIN = Plugin()
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_CORS = (
    b"Access-Control-Allow-Methods: GET, POST, PUT, DELETE, OPTIONS\r\n"
    b"Access-Control-Allow-Headers: Content-Type, Accept, Authorization, MCP-Protocol-Version, Mcp-Method, Mcp-Name,"
    b" Mcp-Session-Id, Last-Event-ID, X-Request-ID, Idempotency-Key, X-Session-ID, X-User-ID, X-Requested-With\r\n"
    b"Access-Control-Max-Age: 3600\r\n"
)


class Core:
    """Answer requests on *db* as *config* says; one instance a process, on the thread that owns *db*.

    *plugin* is what all plug-ins bring, *loaded* says what became of each; *fleet* has the agents (this machine's),
    *websockets* knows of mcpd-ws.
    """

    def __init__(
        self,
        db: Database,
        config: Config,
        key: bytes,
        plugin: Plugin = NO_PLUGIN,
        loaded: Sequence[Loaded] = (),
        fleet: Fleet | None = None,
        websockets: Websockets | None = None,
    ) -> None:
        self._db = db
        self._config = config
        self._guard = OriginGuard(config.server.allowed_hosts, config.server.allowed_origins)
        self._ids = (f"{prefix}-{n:x}" for prefix in (secrets.token_hex(4),) for n in itertools.count(1))
        fleet = fleet or Fleet()
        vault = Vault(Path(config.database.path).with_name(KEY_FILE))
        authority = Authority.of(key, config.access.public_url)
        self._compliance = self._made_compliance(config, fleet, vault)
        self._site = self._made_site(
            config, plugin, loaded, fleet, authority, websockets or Websockets(config.websocket.port)
        )
        self.hub = Hub(db)
        self.jobs = Jobs()
        self.calls = Calls(self._site, db, self.jobs, StateSigner(key))
        self._compliance.calls = self.calls
        parts = Parts(db, config, self._site, self.hub, self.calls, Sessions(SessionSigner(key), db))
        self._routes = routes.table(parts)
        endpoint = ComplianceEndpoint(self._compliance, vault, enabled=config.compliance.enabled)
        self._routes |= {
            path: Route(handlers, rest.refuse, needs=ADMIN) for path, handlers in endpoint.handlers().items()
        }

    def _made_compliance(self, config: Config, fleet: Fleet, vault: Vault) -> Orders:
        facts = Facts(config.access.loopback == "open", Path(config.backup.directory), vault.path)
        return Orders(fleet, facts, vault, Path(config.database.path).with_name("exports"))

    def _made_site(
        self,
        config: Config,
        plugin: Plugin,
        loaded: Sequence[Loaded],
        fleet: Fleet,
        authority: Authority,
        websockets: Websockets,
    ) -> Site:
        exports = Path(config.database.path).with_name("exports")
        tools = {tool.name: tool for tool in (*own_tools(exports, fleet), *plugin.tools)}
        resources = Resources(
            Files(config.resources.roots, config.resources.max_file_bytes),
            lambda: openapi.document(
                {path: route.handlers for path, route in self._routes.items()}, compliance_api.OPERATIONS
            ),
            plugin.resources,
            (exported.template(exports, config.resources.max_file_bytes), *plugin.templates),
            lambda: fleet.described.agents,
        )
        return Site(
            tools,
            ToolList(tools),
            {prompt.name: prompt for prompt in plugin.prompts},
            resources,
            int(config.coordination.claim_ttl_s * 1e6),
            fleet,
            Limits(config.tools.max_calls, config.tools.timeout_s, config.tools.task_ttl_s),
            loaded,
            {**agents_endpoint.orders(fleet), **self._compliance.orders},
            config.compliance.enabled,
            Rates(config.limits.requests_per_min),
            authority,
            config.access.consent == "elicitation",
            websockets,
        )

    def answer_turn(self, exchanges: Sequence[Exchange], now_us: int) -> list[Answer]:
        """Return the answers to *exchanges*, in order, after everything they and waiting jobs changed was committed."""
        turn = Turn(self._db)
        lost: StoreUnavailable | None = None
        try:
            answers = [self._answer(exchange, turn, now_us) for exchange in exchanges]
            settle = self.jobs.perform(turn, now_us) if self.jobs.waiting else None
            if self._db.slow and turn.has_begun:
                self._keep_slow(turn, now_us)
            try:
                turn.commit()
            except StoreUnavailable as error:
                lost = error
        except BaseException:
            turn.abandon()  # a transaction left open would have every turn after this one refused
            raise
        if lost is None:
            self.hub.publish()
        else:
            answers = [
                self._take_back(exchange, answer, lost) if answer.work.stored else answer
                for exchange, answer in zip(exchanges, answers, strict=True)
            ]
        if settle is not None:
            settle(lost)
        for answer in answers:
            if answer.work.then is not None:
                answer.work.then(lost if answer.work.stored else None)
        return answers

    def _keep_slow(self, turn: Turn, now_us: int) -> None:
        with contextlib.suppress(StoreUnavailable):  # what else the turn needs the database for is told so
            turn.run(lambda: queries.keep(self._db, now_us))

    async def start(self) -> None:
        """Take up what was under way when the last daemon stopped; tell clients which lists are others than its."""
        await self.calls.recover()
        await self.calls.change(self._compare_lists)
        await self.calls.change(self._compare_settings)

    def _compare_lists(self, db: Database, now_us: int) -> None:
        for name, digest in self._site.digests().items():
            if lists.changed(db, name, digest):
                events.add(db, now_us, f"{name}.changed", None, {})

    def _compare_settings(self, db: Database, now_us: int) -> None:
        values = {name: msgspec.json.encode(value).decode() for name, value in flat(self._config).items()}
        changes = [
            {"key": key, "before": _decoded(before), "after": _decoded(after)}
            for key, (before, after) in settings.replace(db, values).items()
        ]
        if changes:
            events.add(db, now_us, "config.changed", None, {"changes": changes})

    def look(self) -> None:
        """Tell listeners what other processes have committed; raises ``StoreUnavailable``."""
        with store_errors():
            self.hub.publish()

    async def close(self) -> None:
        """End what is under way and every stream, since the daemon stops."""
        await self.calls.close()
        self.hub.close()

    def _answer(self, exchange: Exchange, turn: Turn, now_us: int) -> Answer:
        started_ns = time.perf_counter_ns()
        http = exchange.http
        asked_id = http.headers.get(b"x-request-id")
        request_id = asked_id.decode() if asked_id and _REQUEST_ID.fullmatch(asked_id) else next(self._ids)
        route, pattern, target = self._find(http.path)
        caller = exchange.caller
        work = Work(
            turn, self._db, caller.name, now_us, request_id, self._site, target, caller.is_agent,
            caller.is_client, caller.scopes,
        )  # fmt: skip
        response: Reply
        try:
            response = self._route(http, route, pattern, caller, work)
        except BaseException as exc:  # noqa: BLE001 - nothing of it may take the daemon or the other requests along
            work.fault = exc
            response = self._refusal(http)(work, InternalError())
        response = self._with_headers(http, response, work)
        return Answer(response, work, (time.perf_counter_ns() - started_ns) // 1000)

    def _find(self, path: str) -> tuple[Route | None, str, str]:
        """Return the route of *path*, its pattern, and what the last segment says where that has ``{name}`` there."""
        route = self._routes.get(path)
        if route is not None and "{" not in path:
            return route, path, ""
        folder, _, last = path.rpartition("/")
        pattern = f"{folder}/{{name}}"
        return self._routes.get(pattern), pattern, unquote(last)

    def _route(self, http: HttpRequest, route: Route | None, pattern: str, caller: Caller, work: Work) -> Reply:
        try:
            self._guard.check(http.headers.get(b"host"), http.headers.get(b"origin"))
            if http.method == "OPTIONS":
                return HttpResponse(204, headers=_CORS)
            if route is None:
                raise InvalidRequest(f"there is no endpoint {http.path[:200]}", http_status=404)
            if not route.open and (b"authorization" in http.headers or not caller.admitted):
                self._admit(http, caller, work)
            method = "GET" if http.method == "HEAD" else http.method
            handler = route.handlers.get(method)
            if handler is None:
                return self._not_allowed(http, route, work)
            if not route.open and (scope := route.needs.get(method)) is not None:
                what = f"{method} {pattern}"
                self._site.rates.take(work.caller, what, work.now_us)
                work.require(scope, what)
        except (AccessDenied, InvalidRequest, RateLimited, StoreUnavailable, Unauthorized) as error:
            return self._refusal(http)(work, error)
        return handler(http, work)

    def _admit(self, http: HttpRequest, caller: Caller, work: Work) -> None:
        """Note in *work* who calls; raises ``AccessDenied`` or ``Unauthorized`` unless they may.

        Who brings a token calls as its client and may do what it says, wherever it comes from; an agent stays one.
        """
        sent = http.headers.get(b"authorization")
        try:
            if sent is None and caller.token_id is None:
                caller.require_token()
                caller.require_admitted()
                return
            if b"authorization" in http.duplicated:
                raise InvalidRequest("header Authorization: expected one")
            with store_errors():
                client = self._client(caller, sent, work)
        except Unauthorized as error:
            described = f'error="invalid_token", error_description="{error.message}"' if error.reason else ""
            work.headers = challenge(work.site.authority, described)
            raise
        work.caller, work.scopes, work.by_client = client.name, client.scopes, True

    def _client(self, caller: Caller, sent: bytes | None, work: Work) -> Caller:
        """Return the client whose token was *sent*, or was verified by mcpd-ws, which calls for *caller*."""
        if sent is not None:
            return tokens.verify(tokens.bearer(sent), work.site.authority, work.now_us, self._stands)
        assert caller.token_id is not None
        token = clients.find_token(self._db, caller.token_id)
        if token is None or token.expires_us <= work.now_us or not self._stands(token.id, token.client):
            raise Unauthorized("the access token does not hold any more: it has expired or was revoked", "revoked")
        granted = scopes.parse(token.scopes) or frozenset()
        return Caller(f"client:{token.client}", True, scopes=granted, is_client=True, token_id=token.id)

    def _stands(self, token_id: str, client: str) -> bool:
        return clients.stands(self._db, token_id, client)

    def _not_allowed(self, http: HttpRequest, route: Route, work: Work) -> HttpResponse:
        methods = ", ".join(route.handlers)
        error = InvalidRequest(f"{http.method} is not allowed on {http.path}; expected {methods}", http_status=405)
        refused = route.refuse(work, error)
        return HttpResponse(405, refused.body, f"Allow: {methods}\r\n".encode())

    def _refusal(self, http: HttpRequest) -> Refusal:
        route, _, _ = self._find(http.path)
        return rest.refuse if route is None else route.refuse

    def _take_back(self, exchange: Exchange, answer: Answer, error: StoreUnavailable) -> Answer:
        """Return the answer for a request whose changes were not kept after all."""
        if answer.work.then is not None:
            return answer  # it only said that the message was taken; what came of it is told behind it
        refused = self._refusal(exchange.http)(answer.work, error)
        response = self._with_headers(exchange.http, refused, answer.work)
        return Answer(response, answer.work, answer.duration_us)

    def _with_headers(self, http: HttpRequest, response: Reply, work: Work) -> Reply:
        lines = b"%b%bX-Request-ID: %b\r\n" % (response.headers, work.headers, work.request_id.encode())
        origin = http.headers.get(b"origin")
        if origin is not None and self._guard.allows(origin, (http.header(b"host") or "").lower()):
            lines += b"Access-Control-Allow-Origin: %b\r\nVary: Origin\r\n" % origin
            lines += b"Access-Control-Expose-Headers: Mcp-Session-Id, X-Request-ID, Idempotent-Replayed,"
            lines += b" Retry-After, WWW-Authenticate\r\n"
        if isinstance(response, HttpStream):
            return HttpStream(response.stream, lines)
        if isinstance(response, HttpLater):
            return HttpLater(response.waiter, lines)
        return HttpResponse(response.status, response.body, lines, response.content_type)


def _decoded(value: str | None) -> object:
    return None if value is None else msgspec.json.decode(value)
