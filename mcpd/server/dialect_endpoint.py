"""``POST /jsonrpc``: the dialect of the system that mcpd replaces, for the clients it left behind.

List methods answer bare arrays, ``tools/call`` the bare result, ``initialize`` snake_case keys beside the standard
ones; every JSON-RPC error is HTTP 200 with the request's id. A request that speaks of an MCP version, in ``_meta``, by
its session or in ``initialize``, gets the standard shapes here too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from mcpd.errors import Error, MethodNotFound
from mcpd.protocol import headers, jsonrpc, mcp, revisions
from mcpd.protocol.http import HttpLater, HttpRequest, HttpResponse
from mcpd.protocol.jsonrpc import Request
from mcpd.server import catalogue
from mcpd.server.calls import Calls
from mcpd.server.channel import HttpChannel
from mcpd.server.in_session import call_request
from mcpd.server.methods import Methods
from mcpd.server.sessions import Sessions
from mcpd.server.site import Site
from mcpd.server.work import Work, call_tool, fragment

DIALECT_VERSION = "2025-06-18"
"""What the old system called its protocol; its clients compare it."""

CAPABILITIES: dict[str, object] = {
    "protocol_version": DIALECT_VERSION,
    "supports": ["tools", "resources", "prompts"],
    "features": {"idempotency": False, "dry_run": True, "streaming": False, "batch": False},
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
            "tools/call": lambda work, params: orjson.Fragment(call_tool(work, params)),
            "resources/list": lambda work, _params: catalogue.resources(work),
            "resources/read": catalogue.read_resource,
            "prompts/list": lambda work, _params: catalogue.prompts(work),
            "prompts/execute": catalogue.execute_prompt,
            "capabilities": lambda _work, _params: CAPABILITIES,
            "ping": lambda _work, _params: {},
        }

    def post(self, http: HttpRequest, work: Work) -> HttpResponse | HttpLater:
        """Answer one posted message; a notification is carried out and gets 204."""
        try:
            value = jsonrpc.decode(http.body)
            work.message_id = jsonrpc.readable_id(value)
            request = jsonrpc.receive(value)
            work.method = request.method
            if request.method.startswith("notifications/"):
                return HttpResponse(204)
            self._find_revision(http, request, work)
            if self._calls.takes(request.method, request.params):
                return self._begin(request, work)
            result = self._answer(request, work)
            if request.is_notification:
                return HttpResponse(204)
            return HttpResponse(200, jsonrpc.encode_result(request.id, result))
        except Error as error:
            return refuse(work, error)

    def _find_revision(self, http: HttpRequest, request: Request, work: Work) -> None:
        """Note in *work* the revision that *request* speaks of, if it does."""
        meta = request.params.get("_meta")
        session_id = http.header(headers.SESSION)
        if isinstance(meta, dict) and revisions.PROTOCOL_VERSION in meta:
            work.revision = mcp.stateless_revision(mcp.modern_version(request))
            work.capabilities = meta[revisions.CLIENT_CAPABILITIES]
        elif session_id is not None and request.method != "initialize":
            work.revision = revisions.REVISIONS[self._sessions.find(work, session_id).version]

    def _begin(self, request: Request, work: Work) -> HttpLater:
        """Run what takes longer; what has to ask its client cannot be done here, where nothing can be asked."""
        work.revision = work.revision or revisions.REVISIONS[DIALECT_VERSION]
        work.session_id = None
        channel = HttpChannel(takes_stream=False)
        self._calls.begin(call_request(work, request, None), channel, call_id="", answers={})
        return HttpLater(channel)

    def _answer(self, request: Request, work: Work) -> object:
        if work.revision is not None:
            return self._standard.answer(work, request, work.revision)
        method = self._methods.get(request.method)
        if method is None:
            raise MethodNotFound(f"method {request.method!r} is not known at /jsonrpc")
        return method(work, request.params)

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


def refuse(work: Work, error: Error) -> HttpResponse:
    """Return *error* as the dialect tells it; only who may not call at all gets another HTTP status than 200."""
    work.refusal = error.message
    status = error.http_status if error.http_status in (403, 405, 413) else 200
    return HttpResponse(status, jsonrpc.encode_error(work.message_id, error, null_id=True))
