"""The methods of MCP in their standard shapes, for whichever transport brought the request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from mcpd.access.scopes import ALL
from mcpd.errors import ConsentRequired, MethodNotFound, StoreUnavailable, ToolFailed
from mcpd.protocol import cursors, mcp
from mcpd.protocol.jsonrpc import Request
from mcpd.protocol.revisions import Revision
from mcpd.server import primitives, replies
from mcpd.server.work import ArgumentsRefused, Work, call_tool

Method = Callable[[Work, dict[str, Any], Revision], object]


class Methods:
    """The methods of each era; *handshake* and *stateless* are those that need more than their ``Work``."""

    def __init__(self, handshake: Mapping[str, Method], stateless: Mapping[str, Method]) -> None:
        both: dict[str, Method] = {"tools/list": _tools_list, "tools/call": _tools_call, **primitives.METHODS}
        self._handshake = {"ping": _ping, **both, **handshake}
        self._stateless = {"server/discover": _discover, **both, **stateless}
        self._requests = {*self._handshake, *self._stateless, "initialize", "subscriptions/listen"}

    def answer(self, work: Work, request: Request, revision: Revision) -> object:
        """Return the result of *request* in the shape of *revision*; raises ``MethodNotFound``, or what it raises."""
        method = (self._handshake if revision.handshake else self._stateless).get(request.method)
        if method is None:
            raise MethodNotFound(f"method {request.method!r} is not known in MCP {revision.version}")
        if work.scopes is not ALL:
            work.require_method(request.method)
        return method(work, request.params, revision)

    def is_request(self, method: str) -> bool:
        """Say whether *method* is one that wants an answer, so that it cannot come as a notification."""
        return method in self._requests


def _ping(_work: Work, _params: dict[str, Any], _revision: Revision) -> object:
    return {}


def _discover(_work: Work, _params: dict[str, Any], revision: Revision) -> object:
    return mcp.complete(revision, mcp.discover(), mcp.LISTS)


def _tools_list(work: Work, params: dict[str, Any], revision: Revision) -> object:
    position = cursors.position("tools/list", params)
    return work.site.tool_list.page(revision, None if position is None else position[-1])


def _tools_call(work: Work, params: dict[str, Any], revision: Revision) -> object:
    try:
        structured = call_tool(work, params)
    except ConsentRequired as error:
        work.refusal = error.message
        return replies.consent(revision, error)
    except (ArgumentsRefused, ToolFailed, StoreUnavailable) as error:
        work.refusal = error.message
        return replies.tool_failure(revision, error.message)
    result: dict[str, Any] = {"content": [{"type": "text", "text": structured.decode()}], "isError": False}
    if revision.structure:
        result["structuredContent"] = orjson.Fragment(structured)
    return mcp.complete(revision, result)
