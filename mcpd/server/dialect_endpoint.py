"""``POST /jsonrpc``: the dialect of the system that mcpd replaces, for the clients it left behind.

List methods answer bare arrays, ``tools/call`` the bare result, ``initialize`` snake_case keys beside the standard
ones; every JSON-RPC error is HTTP 200 with the request's id. Tools take their arguments by the names of every version
of that system (``legacy.arguments``), and ``Idempotency-Key`` is honoured. A request that speaks of an MCP version, in
``_meta``, by its session or in ``initialize``, gets the standard shapes here too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import orjson

from mcpd.access.scopes import ALL
from mcpd.errors import Error, InvalidParams, MethodNotFound, SessionNotFound
from mcpd.legacy import arguments
from mcpd.protocol import headers, jsonrpc, mcp, revisions
from mcpd.protocol.http import HttpLater, HttpRequest, HttpResponse
from mcpd.protocol.jsonrpc import Request
from mcpd.server import catalogue, idempotency, replies
from mcpd.server.calls import Calls
from mcpd.server.channel import HttpChannel
from mcpd.server.in_session import call_request
from mcpd.server.methods import Methods
from mcpd.server.sessions import Sessions
from mcpd.server.site import Site
from mcpd.server.work import Work, authorize, call_tool, fragment
from mcpd.store import agents
from mcpd.store.database import store_errors

DIALECT_VERSION = "2025-06-18"
"""What the old system called its protocol; its clients compare it."""

_STANDARD = revisions.REVISIONS[DIALECT_VERSION]
_OLD_SESSION = b"x-session-id"
_MAX_SESSION_CHARS = 128
_OF_SESSIONS = ("resources/subscribe", "resources/unsubscribe")

CAPABILITIES: dict[str, object] = {
    "protocol_version": DIALECT_VERSION,
    "supports": ["tools", "resources", "prompts"],
    "features": {"idempotency": True, "dry_run": True, "streaming": False, "batch": False},
}


class DialectEndpoint:
    """Answer the older dialect; *sessions* are those of ``/mcp``."""

    def __init__(self, sessions: Sessions, site: Site, methods: Methods, calls: Calls) -> None:
        self._sessions = sessions
        self._standard = methods
        self._calls = calls
        tools = fragment(
            [
                {"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema}
                for tool in site.tools.values()
            ]
        )
        self._methods: dict[str, Callable[[Work, dict[str, Any]], object]] = {
            "initialize": self._initialize,
            "tools/list": lambda _work, _params: tools,
            "tools/call": _call,
            "resources/list": lambda work, _params: catalogue.resources(work),
            "resources/read": catalogue.read_resource,
            "prompts/list": lambda work, _params: catalogue.prompts(work),
            "resources/templates/list": self._templates,
            "resources/subscribe": self._subscribe,
            "resources/unsubscribe": self._subscribe,
            "prompts/execute": catalogue.execute_prompt,
            "prompts/run": catalogue.execute_prompt,
            "prompts/get": lambda work, params: methods.answer(work, _request("prompts/get", params), _STANDARD),
            "capabilities": lambda _work, _params: CAPABILITIES,
            "initialized": lambda _work, _params: {},
            "shutdown": lambda _work, _params: {},
            "ping": lambda _work, _params: {},
        }

    def post(self, http: HttpRequest, work: Work) -> HttpResponse | HttpLater:
        """Answer one posted message; a notification is carried out and gets 204."""
        try:
            value = jsonrpc.decode(http.body)
            work.message_id = jsonrpc.readable_id(value)
            request = jsonrpc.receive(value)
            work.method = request.method
            work.site.rates.take(work.caller, request.method, work.now_us)
            if request.method.startswith("notifications/"):
                return HttpResponse(204)
            self._find_revision(http, request, work)
            key = idempotency.key_of(http) if request.method == "tools/call" else None
            if self._calls.takes(work, request.method, request.params):
                return self._begin(request, work, key)
            if key is None:
                result, replayed = self._answer(request, work), False
            else:
                authorize(work, request.method, request.params)
                result, replayed = idempotency.once(work, key, request, lambda: self._answer(request, work))
            if request.is_notification:
                return HttpResponse(204)
            extra = idempotency.REPLAYED if replayed else b""
            return HttpResponse(200, jsonrpc.encode_result(request.id, result), extra)
        except Error as error:
            return refuse(work, error)

    def _find_revision(self, http: HttpRequest, request: Request, work: Work) -> None:
        """Note in *work* the revision that *request* speaks of, if it does."""
        meta = request.params.get("_meta")
        session_id = http.header(headers.SESSION)
        if isinstance(meta, dict) and revisions.PROTOCOL_VERSION in meta:
            work.revision = mcp.stateless_revision(mcp.modern_version(request))
            declared = meta.get(revisions.CLIENT_CAPABILITIES)
            work.capabilities = declared if isinstance(declared, dict) else {}  # a notification need not declare any
        elif session_id is not None and request.method != "initialize":
            work.revision = revisions.REVISIONS[self._sessions.find(work, session_id).version]
        else:
            named = http.header(_OLD_SESSION) or request.params.get("session_id")
            if request.method in _OF_SESSIONS:
                self._sessions.find(work, named if isinstance(named, str) else "")
            self._note_session(named, work)

    def _note_session(self, named: object, work: Work) -> None:
        """Note the session for the audit: one of ours, or what the client calls its own."""
        if not isinstance(named, str) or not named:
            return
        try:
            self._sessions.find(work, named)
        except SessionNotFound:
            work.session_id = named[:_MAX_SESSION_CHARS]

    def _begin(self, request: Request, work: Work, key: str | None) -> HttpLater:
        """Run what takes longer; what has to ask its client cannot be done here, where nothing can be asked."""
        if key is not None:
            name = request.params.get("name")
            raise InvalidParams(f"{name} takes its time and keeps no results; call it without Idempotency-Key")
        form: replies.Form = "dialect" if work.revision is None else "mcp"
        work.revision = work.revision or _STANDARD
        work.session_id = None
        channel = HttpChannel(takes_stream=False)
        asked = msgspec.structs.replace(call_request(work, request, None), form=form)
        self._calls.begin(asked, channel)
        return HttpLater(channel)

    def _answer(self, request: Request, work: Work) -> object:
        if work.revision is not None:
            return self._standard.answer(work, request, work.revision)
        method = self._methods.get(request.method)
        if method is None:
            raise MethodNotFound(f"method {request.method!r} is not known at /jsonrpc")
        if work.scopes is not ALL:
            work.require_method(request.method)
        return method(work, request.params)

    def _templates(self, work: Work, params: dict[str, Any]) -> object:
        """Return the templates, an array as the other lists; there are few, so the first page has them all."""
        page = self._standard.answer(work, _request("resources/templates/list", params), _STANDARD)
        assert isinstance(page, dict)
        return page["resourceTemplates"]

    def _subscribe(self, work: Work, params: dict[str, Any]) -> object:
        """Have the session's stream (``GET /mcp``) tell of a resource, or no longer; the session is one of ours."""
        method = work.method or ""
        self._standard.answer(work, _request(method, params), _STANDARD)
        uri, is_subscribed = params["uri"], method == "resources/subscribe"
        return {"subscribed": is_subscribed, "uri": uri, "subscription_id": f"{work.session_id}:{uri}"}

    def _initialize(self, work: Work, params: dict[str, Any]) -> object:
        asked = params.get("protocolVersion", revisions.HANDSHAKE.version)
        revision, standard = mcp.initialize({**params, "protocolVersion": asked})
        session_id = self._sessions.open(work, revision.version, {})
        if "protocolVersion" in params:
            return {**standard, "sessionId": session_id}
        return {
            **standard,
            "protocol_version": DIALECT_VERSION,
            "server_name": "MCP Multi-Agent System",
            "capabilities": CAPABILITIES,
            "tools_count": len(work.site.tools),
            **catalogue.counts(work),
            "session_id": session_id,
            "sessionId": session_id,
        }


def _request(method: str, params: dict[str, Any]) -> Request:
    return Request(method, {name: value for name, value in params.items() if name != "session_id"}, None, False)


def _call(work: Work, params: dict[str, Any]) -> object:
    """Run the tool, its arguments brought up to date; a request for the help of several agents is one for each."""
    name, given = params.get("name"), params.get("arguments", {})
    if not isinstance(name, str):
        return orjson.Fragment(call_tool(work, params))
    asked = arguments.modern(name, given)
    wanted = arguments.targets(given) if name == "request_collaboration" else None
    if wanted is None or not isinstance(asked, dict) or "to_agent" in asked:
        return orjson.Fragment(call_tool(work, {"name": name, "arguments": asked}))
    if arguments.EVERYBODY in wanted:
        with store_errors():
            wanted = [
                agent for agent in agents.names(work.db, arguments.MAX_TARGETS) if agent != asked.get("from_agent")
            ]
    results = [
        orjson.loads(call_tool(work, {"name": name, "arguments": {**asked, "to_agent": agent}}))
        for agent in wanted[: arguments.MAX_TARGETS]
    ]
    if not results:
        raise InvalidParams("argument 'target_agents': no other agent is known; expected the name of one")
    return results[0] | {"request_ids": [result["request_id"] for result in results if "request_id" in result]}


def refuse(work: Work, error: Error) -> HttpResponse:
    """Return *error* as the dialect tells it; only who may not call (so, or so often) gets another status than 200."""
    work.refused(error)
    status = error.http_status if error.http_status in (401, 403, 405, 413, 429) else 200
    return HttpResponse(status, jsonrpc.encode_error(work.message_id, error, null_id=True))
