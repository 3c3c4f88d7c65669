"""What plug-ins' tools return, held to what they announced: a client may check it against ``outputSchema``.

mcpd's own are held to it by their types, before they run.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec

from mcpd.tools.asynchronous import AsyncTool, Outcome, outcome_of
from mcpd.tools.base import Arguments, Call, Result, Tool
from mcpd.tools.context import Context
from mcpd.tools.registry import AnyTool


def held(tool: AnyTool) -> AnyTool:
    """Return *tool* with a function that raises ``TypeError`` where it returned something else than it announced.

    Where the result is announced by a JSON Schema, ``AsyncTool`` looks itself.
    """
    if isinstance(tool, Tool):
        return _held_at_once(tool)
    return _held_later(tool, tool.result) if isinstance(tool.result, type) else tool


def _held_at_once(tool: Tool[Any, Any]) -> Tool[Any, Any]:
    kind: type[Result] = tool.result

    def function(call: Call, arguments: Arguments) -> Result:
        result: object = tool.function(call, arguments)
        if not isinstance(result, kind):
            raise TypeError(f"tool {tool.name} returned {type(result).__name__}; expected {kind.__name__}")
        _check(tool, msgspec.to_builtins(result), kind)
        return result

    return dataclasses.replace(tool, function=function)


def _held_later(tool: AsyncTool, kind: type[msgspec.Struct]) -> AsyncTool:
    async def function(context: Context, arguments: object) -> Outcome:
        outcome = outcome_of(await tool.function(context, arguments))
        if outcome.structured is not msgspec.UNSET and not outcome.is_error:
            _check(tool, outcome.structured, kind)
        return outcome

    return dataclasses.replace(tool, function=function)


def _check(tool: AnyTool, made: object, kind: type[msgspec.Struct]) -> None:
    try:
        msgspec.convert(made, kind)
    except msgspec.ValidationError as exc:
        raise TypeError(f"tool {tool.name} returned what {kind.__name__} does not allow: {exc}") from exc
