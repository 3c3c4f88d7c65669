"""What the requests do that take longer than a turn: tools and prompts whose functions wait, REST orders."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from mcpd.errors import InvalidParams, PromptNotFound, ToolFailed
from mcpd.protocol import asks, content, mcp
from mcpd.protocol.revisions import REVISIONS
from mcpd.server import approvals
from mcpd.server.site import Site
from mcpd.tools.asynchronous import AsyncTool, Outcome, outcome_of
from mcpd.tools.base import Tool
from mcpd.tools.context import Context

if TYPE_CHECKING:
    from mcpd.server.run import CallRequest

Operation = Callable[[Context], Awaitable[dict[str, Any]]]


class Operations:
    """Find what does the work of a request on *site*."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._tools = {name: tool for name, tool in site.tools.items() if isinstance(tool, AsyncTool)}
        self._guarded = {name for name, tool in site.tools.items() if tool.destructive and isinstance(tool, Tool)}
        self._prompts = site.prompts
        self._orders = site.orders
        self._names: dict[str, Mapping[str, object]] = {"tools/call": self._tools, "prompts/get": self._prompts}

    def takes(self, method: str, params: Mapping[str, Any], capabilities: Mapping[str, Any]) -> bool:
        """Say whether a request of *method* with *params* is one of ours.

        So is a call that would be answered at once, were there not a client with *capabilities* to be asked first.
        """
        names: Mapping[str, object] | None = self._names.get(method)
        if names is None:
            return False
        name = params.get("name")
        if not isinstance(name, str):
            return False
        return name in names or (name in self._guarded and method == "tools/call" and self._asks(params, capabilities))

    def _asks(self, params: Mapping[str, Any], capabilities: Mapping[str, Any]) -> bool:
        arguments = params.get("arguments")
        is_dry = isinstance(arguments, dict) and arguments.get("dry_run") is True
        return self._site.asks_clients and not is_dry and asks.declares(capabilities, approvals.ELICITATION)

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
        tool = self._site.tools.get(request.name or "")
        if tool is None:
            raise InvalidParams(f"unknown tool {request.name!r}; tools/list names them")
        asks_clients = self._site.asks_clients
        arguments = request.params.get("arguments", {})

        async def operation(context: Context) -> dict[str, Any]:
            try:
                converted = tool.convert(arguments)
            except InvalidParams as error:
                raise ToolFailed(f"Invalid arguments for {tool.name}: {error.message}") from None
            if tool.destructive:
                await approvals.obtain(context, tool, converted, arguments, asks_clients=asks_clients)
            if isinstance(tool, Tool):
                made = await context.store(lambda call: tool.call(call, converted))
                return _result(request, outcome_of(made))
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
