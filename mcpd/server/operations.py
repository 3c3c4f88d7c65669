"""What the requests do that take longer than a turn: tools and prompts whose functions wait, REST orders."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from mcpd.errors import InvalidParams, PromptNotFound, ToolFailed
from mcpd.protocol import content, mcp
from mcpd.protocol.revisions import REVISIONS
from mcpd.server.site import Site
from mcpd.tools.asynchronous import AsyncTool, Outcome
from mcpd.tools.context import Context

if TYPE_CHECKING:
    from mcpd.server.run import CallRequest

Operation = Callable[[Context], Awaitable[dict[str, Any]]]


class Operations:
    """Find what does the work of a request on *site*."""

    def __init__(self, site: Site) -> None:
        self._tools = {name: tool for name, tool in site.tools.items() if isinstance(tool, AsyncTool)}
        self._prompts = site.prompts
        self._orders = site.orders
        self._names: dict[str, Mapping[str, object]] = {"tools/call": self._tools, "prompts/get": self._prompts}

    def takes(self, method: str, params: Mapping[str, Any]) -> bool:
        """Say whether a request of *method* with *params* is one of ours."""
        names: Mapping[str, object] | None = self._names.get(method)
        if names is None:
            return False
        name = params.get("name")
        return isinstance(name, str) and name in names

    def is_idempotent(self, request: Mapping[str, Any]) -> bool:
        """Say whether the stored *request* may be run a second time."""
        tool = self._tools.get(request["params"].get("name"))
        return tool is not None and tool.idempotent

    def find(self, request: CallRequest) -> Operation:
        """Return what does the work of *request*, which may have gone since it was made.

        No message of a client's has a REST order's method; ``server.agents_endpoint`` makes those requests.
        """
        order = self._orders.get(request.method)
        if order is not None:
            return lambda context: order(context, request.params["arguments"])
        return self._tool(request) if request.method == "tools/call" else self._prompt(request)

    def _tool(self, request: CallRequest) -> Operation:
        tool = self._tools.get(request.name or "")
        if tool is None:
            raise InvalidParams(f"unknown tool {request.name!r}; tools/list names them")
        arguments = request.params.get("arguments", {})

        async def operation(context: Context) -> dict[str, Any]:
            try:
                converted = tool.convert(arguments)
            except InvalidParams as error:
                raise ToolFailed(f"Invalid arguments for {tool.name}: {error.message}") from None
            return _result(request, await tool.run(context, converted))

        return operation

    def _prompt(self, request: CallRequest) -> Operation:
        prompt = self._prompts.get(request.name or "")
        if prompt is None:
            raise PromptNotFound(f"unknown prompt {request.name!r}; prompts/list names them")
        revision = REVISIONS[request.version]

        async def operation(context: Context) -> dict[str, Any]:
            made = await prompt.run(context, prompt.convert(request.params.get("arguments")))
            shown = [
                {"role": message.role, "content": content.shape(revision, [message.content])[0]} for message in made
            ]
            return mcp.complete(revision, {"description": prompt.description, "messages": shown})

        return operation


def _result(request: CallRequest, outcome: Outcome) -> dict[str, Any]:
    revision, structured = REVISIONS[request.version], outcome.structured
    result: dict[str, Any] = {"content": content.shape(revision, outcome.content), "isError": outcome.is_error}
    known = revision.structure and (revision.any_structure or isinstance(structured, dict))
    if structured is not msgspec.UNSET and known:
        result["structuredContent"] = orjson.Fragment(msgspec.json.encode(structured))
    return mcp.complete(revision, result)
