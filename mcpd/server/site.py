"""What one daemon serves: tools, prompts and resources, its own and those of plug-ins, and the limits on using them."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
import orjson

from mcpd.access.rates import Rates
from mcpd.access.tokens import Authority
from mcpd.plugins.base import Loaded
from mcpd.prompts.functions import FunctionPrompt
from mcpd.resources.registry import Resources
from mcpd.server.tool_list import ToolList
from mcpd.server.websockets import Websockets
from mcpd.terminals.fleet import Fleet
from mcpd.tools.context import Context
from mcpd.tools.registry import AnyTool

RestOrder = Callable[[Context, dict[str, Any]], Awaitable[dict[str, Any]]]
"""What a REST endpoint does that takes longer than a turn: from its arguments to the answer."""


class Limits(msgspec.Struct, frozen=True):
    """How many calls may be under way, how long one may take, how long a task is kept."""

    max_calls: int = 256
    timeout_s: float = 3600.0
    task_ttl_s: float = 86400.0


class Site(msgspec.Struct, frozen=True):
    """All that requests are answered from, besides the database; *logs_accesses*: to what is declared sensitive."""

    tools: Mapping[str, AnyTool]
    tool_list: ToolList
    prompts: Mapping[str, FunctionPrompt]
    resources: Resources
    claim_ttl_us: int
    fleet: Fleet
    limits: Limits = Limits()
    plugins: Sequence[Loaded] = ()
    orders: Mapping[str, RestOrder] = {}
    logs_accesses: bool = True
    rates: Rates = Rates(0)
    authority: Authority = Authority(b"", "http://localhost", "http://localhost/mcp")
    asks_clients: bool = True
    websockets: Websockets = Websockets()

    def digests(self) -> dict[str, str]:
        """Return, by list, what changes when that does which code brings to it, ours or a plug-in's."""
        prompts = [prompt.listing() for prompt in self.prompts.values()]
        resources = [*self.resources.uris, *(template.uri_template for template in self.resources.templates)]
        return {"tools": self.tool_list.digest(), "prompts": _digest(prompts), "resources": _digest(resources)}


def _digest(listed: object) -> str:
    return hashlib.sha256(orjson.dumps(listed)).hexdigest()
