"""FastMCP's client, driven as ``driver`` says."""

from __future__ import annotations

from typing import Any

import anyio  # type: ignore[import-not-found, unused-ignore]
import driver  # type: ignore[import-not-found, unused-ignore]
from fastmcp import Client  # type: ignore[import-not-found, unused-ignore]
from fastmcp.client.transports import StdioTransport  # type: ignore[import-not-found, unused-ignore]
from mcp import MCPError  # type: ignore[import-not-found, unused-ignore]


async def main(wanted: driver.Wanted) -> None:
    server = StdioTransport(wanted.command[0], wanted.command[1:]) if wanted.command else wanted.url
    options = {"elicitation_handler": answer} if wanted.elicit else {}
    async with Client(server, **options) as client:
        calls = {
            "tools/list": client.list_tools_mcp,
            "tools/call": client.call_tool_mcp,
            "resources/list": client.list_resources_mcp,
            "resources/read": client.read_resource_mcp,
            "prompts/list": client.list_prompts_mcp,
            "prompts/get": client.get_prompt_mcp,
        }
        await driver.serve(calls, MCPError)


async def answer(_message: str, _type: object, params: Any, _context: object) -> Any:
    return await driver.form(params.requested_schema)


if __name__ == "__main__":
    anyio.run(main, driver.wanted())
