"""The client of the official Python SDK 1.x, driven as ``driver`` says; a URL ending in /sse takes that transport."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import anyio  # type: ignore[import-not-found, unused-ignore]
import driver  # type: ignore[import-not-found, unused-ignore]
from mcp import ClientSession, McpError, StdioServerParameters  # type: ignore[import-not-found, unused-ignore]
from mcp.client.sse import sse_client  # type: ignore[import-not-found, unused-ignore]
from mcp.client.stdio import stdio_client  # type: ignore[import-not-found, unused-ignore]
from pydantic import AnyUrl  # type: ignore[import-not-found, unused-ignore]


async def main(wanted: driver.Wanted) -> None:
    options = {"elicitation_callback": answer} if wanted.elicit else {}
    async with AsyncExitStack() as stack:
        read, write, *_ = await stack.enter_async_context(transport(wanted))
        session = await stack.enter_async_context(ClientSession(read, write, **options))
        await session.initialize()
        calls = {
            "tools/list": session.list_tools,
            "tools/call": session.call_tool,
            "resources/list": session.list_resources,
            "resources/read": lambda uri: session.read_resource(AnyUrl(uri)),
            "prompts/list": session.list_prompts,
            "prompts/get": session.get_prompt,
        }
        await driver.serve(calls, McpError)


def transport(wanted: driver.Wanted) -> Any:
    if wanted.command:
        return stdio_client(StdioServerParameters(command=wanted.command[0], args=wanted.command[1:]))
    if wanted.url.startswith("ws:"):
        from mcp.client.websocket import websocket_client  # type: ignore[import-not-found, unused-ignore]

        return websocket_client(wanted.url)
    if wanted.url.endswith("/sse"):
        return sse_client(wanted.url)
    from mcp.client import streamable_http  # type: ignore[import-not-found, unused-ignore] # from 1.8 on

    # The name that it got in 1.24, or the one from before.
    connect = getattr(streamable_http, "streamable_http_client", None) or streamable_http.streamablehttp_client
    return connect(wanted.url)


async def answer(_context: object, params: Any) -> Any:
    from mcp.types import ElicitResult  # type: ignore[import-not-found, unused-ignore] # from 1.10 on

    return ElicitResult(action="accept", content=await driver.form(params.requestedSchema))


if __name__ == "__main__":
    anyio.run(main, driver.wanted())
