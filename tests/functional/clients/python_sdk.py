"""The official Python SDK's client, unmodified, driven over pipes: ``python python_sdk.py SERVER MODE``.

SERVER is a URL, or the command line of a server on stdio as a JSON array.

First it prints what it negotiated; then it reads one command a line and prints one answer a line, all JSON (see
``test_clients.Client``). MODE is the SDK's: ``auto`` asks ``server/discover``, ``legacy`` sends ``initialize``.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import anyio  # type: ignore[import-not-found, unused-ignore]
from mcp.client import Client  # type: ignore[import-not-found, unused-ignore]
from mcp.client.stdio import StdioServerParameters  # type: ignore[import-not-found, unused-ignore]
from mcp.shared.exceptions import MCPError  # type: ignore[import-not-found, unused-ignore]


async def main(where: str, mode: str) -> None:
    server: Any = where
    if where.startswith("["):
        command, *arguments = json.loads(where)
        tree = {"PYTHONPATH": os.environ.get("MCPD_TREE", "")}
        server = StdioServerParameters(command=command, args=arguments, env=tree)
    async with Client(server, mode=mode) as client:
        say({"protocol": client.protocol_version})
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            try:
                say(await obey(client, json.loads(line)))
            except MCPError as error:
                say({"error": {"code": error.error.code, "message": error.error.message}})


async def obey(client: Any, command: dict[str, Any]) -> dict[str, Any]:
    if command["do"] == "list":
        result = await client.list_tools()
    else:
        result = await client.call_tool(command["name"], command["arguments"])
    shown: dict[str, Any] = result.model_dump(mode="json", by_alias=True, exclude_none=True)
    return shown


def say(value: object) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
