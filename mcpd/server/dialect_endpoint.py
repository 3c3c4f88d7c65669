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
from mcpd.protocol.http import HttpRequest, HttpResponse
from mcpd.protocol.jsonrpc import Request
from mcpd.server import catalogue, methods
from mcpd.server.sessions import Sessions
from mcpd.server.work import Work, call_tool, fragment
from mcpd.tools.registry import TOOLS

DIALECT_VERSION = "2025-06-18"
"""What the old system called its protocol; its clients compare it."""

CAPABILITIES: dict[str, object] = {
    "protocol_version": DIALECT_VERSION,
    "supports": ["tools", "resources", "prompts"],
    "features": {"idempotency": False, "dry_run": True, "streaming": False, "batch": False},
}

_TOOLS = fragment(
    [{"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema} for tool in TOOLS.values()]
)


class DialectEndpoint:
    """Answer the older dialect; *sessions* are those of ``/mcp``."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._methods: dict[str, Callable[[Work, dict[str, Any]], object]] = {
            "initialize": self._initialize,
            "tools/list": lambda _work, _params: _TOOLS,
            "tools/call": lambda work, params: orjson.Fragment(call_tool(work, params)),
            "resources/list": lambda work, _params: catalogue.resources(work),
            "resources/read": catalogue.read_resource,
            "prompts/list": lambda work, _params: catalogue.prompts(work),
            "prompts/execute": catalogue.execute_prompt,
            "capabilities": lambda _work, _params: CAPABILITIES,
            "ping": lambda _work, _params: {},
        }

    def post(self, http: HttpRequest, work: Work) -> HttpResponse:
        """Answer one posted message; a notification is carried out and gets 204."""
        try:
            value = jsonrpc.decode(http.body)
            work.message_id = jsonrpc.readable_id(value)
            request = jsonrpc.receive(value)
            work.method = request.method
            if request.method.startswith("notifications/"):
                return HttpResponse(204)
            result = self._answer(http, request, work)
            if request.is_notification:
                return HttpResponse(204)
            return HttpResponse(200, jsonrpc.encode_result(request.id, result))
        except Error as error:
            return refuse(work, error)

    def _answer(self, http: HttpRequest, request: Request, work: Work) -> object:
        meta = request.params.get("_meta")
        if isinstance(meta, dict) and revisions.PROTOCOL_VERSION in meta:
            return methods.answer(work, request, mcp.stateless_revision(mcp.modern_version(request)))
        session_id = http.header(headers.SESSION)
        if session_id is not None and request.method != "initialize":
            session = self._sessions.find(work, session_id)
            return methods.answer(work, request, revisions.REVISIONS[session.version])
        method = self._methods.get(request.method)
        if method is None:
            raise MethodNotFound(f"method {request.method!r} is not known at /jsonrpc")
        return method(work, request.params)

    def _initialize(self, work: Work, params: dict[str, Any]) -> object:
        asked = params.get("protocolVersion", revisions.HANDSHAKE.version)
        revision, standard = mcp.initialize({**params, "protocolVersion": asked})
        session_id = self._sessions.open(work, revision.version)
        if "protocolVersion" in params:
            return {**standard, "sessionId": session_id}
        return {
            **standard,
            "protocol_version": DIALECT_VERSION,
            "server_name": "MCP Multi-Agent System",
            "capabilities": CAPABILITIES,
            "tools_count": len(TOOLS),
            **catalogue.counts(work),
            "session_id": session_id,
            "sessionId": session_id,
        }


def refuse(work: Work, error: Error) -> HttpResponse:
    """Return *error* as the dialect tells it; only who may not call at all gets another HTTP status than 200."""
    work.refusal = error.message
    status = error.http_status if error.http_status in (403, 405, 413) else 200
    return HttpResponse(status, jsonrpc.encode_error(work.message_id, error, null_id=True))
