"""The methods of MCP in their standard shapes, for whichever transport brought the request."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import orjson

from mcpd.errors import MethodNotFound, StoreUnavailable, ToolFailed
from mcpd.protocol import cursors, mcp, revisions
from mcpd.protocol.jsonrpc import Request
from mcpd.protocol.revisions import Revision
from mcpd.server import primitives
from mcpd.server.work import ArgumentsRefused, Work, call_tool, fragment
from mcpd.tools.registry import TOOLS

Method = Callable[[Work, dict[str, Any], Revision], object]


def answer(work: Work, request: Request, revision: Revision) -> object:
    """Return the result of *request* in the shape of *revision*; raises ``MethodNotFound`` or what the method does."""
    table = _HANDSHAKE if revision.handshake else _STATELESS
    method = table.get(request.method)
    if method is None:
        raise MethodNotFound(f"method {request.method!r} is not known in MCP {revision.version}")
    return method(work, request.params, revision)


def is_request(method: str) -> bool:
    """Say whether *method* is one that wants an answer, so that it cannot come as a notification."""
    return method in _HANDSHAKE or method in _STATELESS or method in ("initialize", "subscriptions/listen")


def _ping(_work: Work, _params: dict[str, Any], _revision: Revision) -> object:
    return {}


def _discover(_work: Work, _params: dict[str, Any], revision: Revision) -> object:
    return mcp.complete(revision, mcp.discover(), mcp.LISTS)


def _tools_list(_work: Work, params: dict[str, Any], revision: Revision) -> object:
    position = cursors.position("tools/list", params)
    return _tool_page(revision.version, None if position is None else position[-1], cursors.PAGE_SIZE)


def _tools_call(work: Work, params: dict[str, Any], revision: Revision) -> object:
    try:
        structured = call_tool(work, params)
    except (ArgumentsRefused, ToolFailed, StoreUnavailable) as error:
        # server/tools: what the model can mend goes into the result, so that it gets to read it.
        work.refusal = error.message
        content = [{"type": "text", "text": error.message}]
        return mcp.complete(revision, {"content": content, "isError": True})
    result: dict[str, Any] = {"content": [{"type": "text", "text": structured.decode()}], "isError": False}
    if revision.structure:
        result["structuredContent"] = orjson.Fragment(structured)
    return mcp.complete(revision, result)


@lru_cache(maxsize=64)
def _tool_page(version: str, after: str | None, size: int) -> orjson.Fragment:
    revision, names = revisions.REVISIONS[version], list(TOOLS)
    if after is not None and after not in TOOLS:
        raise cursors.unknown("tools/list")
    start = 0 if after is None else names.index(after) + 1
    page = names[start : start + size]
    result: dict[str, Any] = {"tools": [mcp.shape_tool(revision, TOOLS[name].listing) for name in page]}
    if start + size < len(names):
        result["nextCursor"] = cursors.encode("tools/list", [page[-1]])
    return fragment(mcp.complete(revision, result, mcp.LISTS))


_BOTH: dict[str, Method] = {"tools/list": _tools_list, "tools/call": _tools_call, **primitives.METHODS}
_HANDSHAKE: dict[str, Method] = {"ping": _ping, **_BOTH}
_STATELESS: dict[str, Method] = {"server/discover": _discover, **_BOTH}
