"""Prompts that are made by a function instead of a template; plug-ins bring them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from mcpd.prompts.base import Argument, given, listing
from mcpd.protocol.content import Content, Icon, Text
from mcpd.tools.context import Context


class Message(msgspec.Struct, frozen=True):
    """One message of a prompt."""

    content: Content
    role: Literal["user", "assistant"] = "user"


@dataclass(frozen=True, kw_only=True)
class FunctionPrompt:
    """One prompt; *function* gets the values of the arguments that were given, all of them strings."""

    name: str
    title: str | None = None
    description: str
    arguments: tuple[Argument, ...] = ()
    function: Callable[[Context, Mapping[str, str]], Awaitable[str | Sequence[Message]]]
    icons: tuple[Icon, ...] = ()

    def listing(self) -> dict[str, Any]:
        """Return the prompt as ``prompts/list`` shows it."""
        shown = listing(self)
        return shown | {"icons": msgspec.to_builtins(self.icons)} if self.icons else shown

    def convert(self, values: object) -> dict[str, str]:
        """Return *values* (decoded JSON) as the function takes them; raises ``InvalidParams`` naming the fault."""
        return given(self, {} if values is None else values)

    async def run(self, context: Context, values: Mapping[str, str]) -> Sequence[Message]:
        """Return the messages that the function makes of *values* (from ``convert``)."""
        made = await self.function(context, values)
        return (Message(Text(made)),) if isinstance(made, str) else made
