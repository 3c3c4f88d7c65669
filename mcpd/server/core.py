"""The core: the requests of one event-loop turn in, their answers out, one commit between.

Routing, the Host and Origin check, who may call, and the last line of defence against our own faults are here; what an
endpoint says is the endpoint's.
"""

from __future__ import annotations

import itertools
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import msgspec

from mcpd.access.callers import Caller
from mcpd.access.origins import OriginGuard
from mcpd.config import Config, flat
from mcpd.errors import AccessDenied, Error, InvalidRequest, StoreUnavailable
from mcpd.plugins.base import Loaded, Plugin
from mcpd.protocol.http import HttpLater, HttpRequest, HttpResponse, HttpStream
from mcpd.protocol.sessions import SessionSigner
from mcpd.protocol.states import StateSigner
from mcpd.resources import exports as exported
from mcpd.resources.files import Files
from mcpd.resources.registry import Resources
from mcpd.server import (
    agents_endpoint,
    dialect_endpoint,
    events_endpoint,
    hooks_endpoint,
    in_session,
    mcp_endpoint,
    openapi,
    performance,
    prompts_endpoint,
    records_endpoint,
    rest,
)
from mcpd.server.agents_endpoint import AgentsEndpoint
from mcpd.server.calls import Calls
from mcpd.server.dialect_endpoint import DialectEndpoint
from mcpd.server.events_endpoint import EventsEndpoint
from mcpd.server.hub import Hub
from mcpd.server.in_session import InSession
from mcpd.server.jobs import Jobs
from mcpd.server.listen import Streams
from mcpd.server.mcp_endpoint import McpEndpoint
from mcpd.server.methods import Methods
from mcpd.server.sessions import Sessions
from mcpd.server.site import Limits, Site
from mcpd.server.sse_endpoint import MESSAGES, SseEndpoint
from mcpd.server.tasks import Tasks
from mcpd.server.terminals_endpoint import Terminals
from mcpd.server.tool_list import ToolList
from mcpd.server.websockets import Websockets
from mcpd.server.work import Work
from mcpd.store import events, lists, settings
from mcpd.store.database import Database, store_errors
from mcpd.store.turn import Turn
from mcpd.terminals.fleet import Fleet
from mcpd.tools.registry import own_tools

Reply = HttpResponse | HttpStream | HttpLater
Handler = Callable[[HttpRequest, Work], Reply]
Refusal = Callable[[Work, Error], HttpResponse]


@dataclass(frozen=True, slots=True)
class Route:
    """A path: its handlers by HTTP method, how it tells an error, and whether anybody may ask it."""

    handlers: Mapping[str, Handler]
    refuse: Refusal
    open: bool = False


class Exchange(msgspec.Struct, frozen=True, gc=False):
    """A request and who sent it."""

    http: HttpRequest
    caller: Caller


class Answer(msgspec.Struct, frozen=True):
    """The answer to one request, what the journal says of it, and a fault of ours if there was one."""

    response: Reply
    work: Work
    duration_us: int
    fault: Exception | None = None


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
        self._site = self._made_site(config, plugin, loaded, fleet or Fleet(), websockets or Websockets())
        self._hub = Hub(db)
        self.jobs = Jobs()
        self.calls = Calls(self._site, db, self.jobs, StateSigner(key))
        self._routes = self._made_routes(config, Sessions(SessionSigner(key), db))

    def _made_site(
        self, config: Config, plugin: Plugin, loaded: Sequence[Loaded], fleet: Fleet, websockets: Websockets
    ) -> Site:
        exports = Path(config.database.path).with_name("exports")
        tools = {tool.name: tool for tool in (*own_tools(exports, fleet), *plugin.tools)}
        resources = Resources(
            Files(config.resources.roots, config.resources.max_file_bytes),
            lambda: openapi.document({path: route.handlers for path, route in self._routes.items()}),
            plugin.resources,
            (exported.template(exports, config.resources.max_file_bytes), *plugin.templates),
            fleet.names,
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
            agents_endpoint.orders(fleet),
            websockets,
        )

    def _made_routes(self, config: Config, sessions: Sessions) -> dict[str, Route]:
        streams = Streams(self._hub, self._db)
        handshake = {
            "resources/subscribe": streams.subscribe,
            "resources/unsubscribe": streams.unsubscribe,
            "logging/setLevel": in_session.set_level,
        }
        methods = Methods(handshake, Tasks(self.calls).methods)
        conversation = InSession(methods, self.calls)
        mcp = McpEndpoint(sessions, streams, methods, self.calls, conversation)
        sse = SseEndpoint(self._hub, self._db, conversation, self.calls)
        dialect = DialectEndpoint(sessions, self._site, methods, self.calls)
        terminals = Terminals(self._site.fleet)
        agents = AgentsEndpoint(self._site.fleet, self.calls)
        status = rest.Status(int(config.coordination.active_window_s * 1e6))
        return {
            "/mcp": Route({"POST": mcp.post, "GET": mcp.get, "DELETE": mcp.delete}, mcp_endpoint.refuse),
            "/sse": Route({"GET": sse.open}, mcp_endpoint.refuse),
            MESSAGES: Route({"POST": sse.post}, mcp_endpoint.refuse),
            "/jsonrpc": Route({"POST": dialect.post}, dialect_endpoint.refuse),
            "/api/mcp/status": Route({"GET": status.get}, rest.refuse),
            "/api/mcp/health": Route({"GET": rest.health}, rest.refuse, open=True),
            "/api/mcp/capabilities": Route({"GET": rest.capabilities}, rest.refuse),
            "/api/mcp/resources": Route({"GET": rest.resources}, rest.refuse),
            "/api/mcp/plugins": Route({"GET": rest.plugins}, rest.refuse),
            "/api/mcp/prompts": Route({"GET": rest.prompts}, rest.refuse),
            "/api/mcp/agent-states": Route({"GET": terminals.states}, rest.refuse),
            "/api/mcp/terminals": Route({"GET": terminals.terminals}, rest.refuse),
            **{path: Route({"GET": handler}, rest.refuse) for path, handler in records_endpoint.HANDLERS.items()},
            events_endpoint.PATH: Route({"GET": EventsEndpoint(self._hub, self._db).get}, rest.refuse),
            events_endpoint.SCHEMA_PATH: Route({"GET": events_endpoint.schema}, rest.refuse),
            "/api/mcp/performance/metrics": Route({"GET": performance.metrics}, rest.refuse),
            "/api/mcp/performance/report": Route({"GET": performance.report}, rest.refuse),
            "/api/mcp/hooks/{name}": Route({"POST": hooks_endpoint.post}, rest.refuse),
            "/api/mcp/heartbeat": Route({"POST": agents.heartbeat}, rest.refuse),
            **{path: Route({"POST": agents.post}, rest.refuse) for path in agents_endpoint.PATHS},
            "/api/mcp/prompts/{name}": Route(
                {"GET": prompts_endpoint.get, "PUT": prompts_endpoint.put, "DELETE": prompts_endpoint.delete},
                rest.refuse,
            ),
        }

    def answer_turn(self, exchanges: Sequence[Exchange], now_us: int) -> list[Answer]:
        """Return the answers to *exchanges*, in order, after everything they and waiting jobs changed was committed."""
        turn = Turn(self._db)
        answers = [self._answer(exchange, turn, now_us) for exchange in exchanges]
        settle = self.jobs.perform(turn, now_us) if self.jobs.waiting else None
        lost: StoreUnavailable | None = None
        try:
            turn.commit()
        except StoreUnavailable as error:
            lost = error
            answers = [
                self._take_back(exchange, answer, error) if answer.work.stored else answer
                for exchange, answer in zip(exchanges, answers, strict=True)
            ]
        else:
            self._hub.publish()
        if settle is not None:
            settle(lost)
        for answer in answers:
            if answer.work.then is not None:
                answer.work.then(lost if answer.work.stored else None)
        return answers

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
            self._hub.publish()

    async def close(self) -> None:
        """End what is under way and every stream, since the daemon stops."""
        await self.calls.close()
        self._hub.close()

    def _answer(self, exchange: Exchange, turn: Turn, now_us: int) -> Answer:
        started_ns = time.perf_counter_ns()
        http = exchange.http
        asked_id = http.headers.get(b"x-request-id")
        request_id = asked_id.decode() if asked_id and _REQUEST_ID.fullmatch(asked_id) else next(self._ids)
        route, target = self._find(http.path)
        caller = exchange.caller
        work = Work(turn, self._db, caller.name, now_us, request_id, self._site, target, caller.is_agent)
        fault = None
        response: Reply
        try:
            response = self._route(http, route, caller, work)
        except Exception as exc:  # noqa: BLE001 - a fault of ours must not take the daemon or the other requests along
            fault = exc
            response = self._refusal(http)(work, Error("internal error; the journal has the details"))
        response = self._with_headers(http, response, request_id)
        return Answer(response, work, (time.perf_counter_ns() - started_ns) // 1000, fault)

    def _find(self, path: str) -> tuple[Route | None, str]:
        """Return the route of *path*, and what its last segment says where the route has ``{name}`` there."""
        route = self._routes.get(path)
        if route is not None and "{" not in path:
            return route, ""
        folder, _, last = path.rpartition("/")
        return self._routes.get(f"{folder}/{{name}}"), unquote(last)

    def _route(self, http: HttpRequest, route: Route | None, caller: Caller, work: Work) -> Reply:
        try:
            self._guard.check(http.headers.get(b"host"), http.headers.get(b"origin"))
            if http.method == "OPTIONS":
                return HttpResponse(204, headers=_CORS)
            if route is None:
                raise InvalidRequest(f"there is no endpoint {http.path[:200]}", http_status=404)
            if not route.open:
                caller.require_admitted()
            handler = route.handlers.get("GET" if http.method == "HEAD" else http.method)
            if handler is None:
                return self._not_allowed(http, route, work)
        except (AccessDenied, InvalidRequest) as error:
            return self._refusal(http)(work, error)
        return handler(http, work)

    def _not_allowed(self, http: HttpRequest, route: Route, work: Work) -> HttpResponse:
        methods = ", ".join(route.handlers)
        error = InvalidRequest(f"{http.method} is not allowed on {http.path}; expected {methods}", http_status=405)
        refused = route.refuse(work, error)
        return HttpResponse(405, refused.body, f"Allow: {methods}\r\n".encode())

    def _refusal(self, http: HttpRequest) -> Refusal:
        route, _ = self._find(http.path)
        return rest.refuse if route is None else route.refuse

    def _take_back(self, exchange: Exchange, answer: Answer, error: StoreUnavailable) -> Answer:
        """Return the answer for a request whose changes were not kept after all."""
        if answer.work.then is not None:
            return answer  # it only said that the message was taken; what came of it is told behind it
        refused = self._refusal(exchange.http)(answer.work, error)
        response = self._with_headers(exchange.http, refused, answer.work.request_id)
        return Answer(response, answer.work, answer.duration_us)

    def _with_headers(self, http: HttpRequest, response: Reply, request_id: str) -> Reply:
        lines = b"%bX-Request-ID: %b\r\n" % (response.headers, request_id.encode())
        origin = http.headers.get(b"origin")
        if origin is not None and self._guard.allows(origin, (http.header(b"host") or "").lower()):
            lines += b"Access-Control-Allow-Origin: %b\r\nVary: Origin\r\n" % origin
            lines += b"Access-Control-Expose-Headers: Mcp-Session-Id, X-Request-ID, Idempotent-Replayed\r\n"
        if isinstance(response, HttpStream):
            return HttpStream(response.stream, lines)
        if isinstance(response, HttpLater):
            return HttpLater(response.waiter, lines)
        return HttpResponse(response.status, response.body, lines, response.content_type)


def _decoded(value: str | None) -> object:
    return None if value is None else msgspec.json.decode(value)
