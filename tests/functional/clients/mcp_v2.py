"""The client of the official Python SDK 2.x, driven as ``driver`` says; MODE is its own: auto or legacy."""

from __future__ import annotations

from typing import Any

import anyio  # type: ignore[import-not-found, unused-ignore]
import driver  # type: ignore[import-not-found, unused-ignore]
from mcp.client import Client  # type: ignore[import-not-found, unused-ignore]
from mcp.client.stdio import StdioServerParameters  # type: ignore[import-not-found, unused-ignore]
from mcp.shared.exceptions import MCPError  # type: ignore[import-not-found, unused-ignore]
from mcp.types import ElicitResult  # type: ignore[import-not-found, unused-ignore]


async def main(wanted: driver.Wanted) -> None:
    server: Any = wanted.url
    if wanted.command:
        server = StdioServerParameters(command=wanted.command[0], args=wanted.command[1:])
    options = {"elicitation_callback": answer} if wanted.elicit else {}
    async with Client(server, mode=wanted.mode, **options) as client:
        calls = {
            "tools/list": client.list_tools,
            "tools/call": client.call_tool,
            "resources/list": client.list_resources,
            "resources/read": client.read_resource,
            "prompts/list": client.list_prompts,
            "prompts/get": client.get_prompt,
        }
        await driver.serve(calls, MCPError)


async def answer(_context: object, params: Any) -> Any:
    return ElicitResult(action="accept", content=await driver.form(params.requested_schema))


if __name__ == "__main__":
    anyio.run(main, driver.wanted())
