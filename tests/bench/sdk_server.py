"""The official Python SDK's server, as its documentation sets it up for speed: stateless, JSON answers, uvicorn.

``python sdk_server.py FD`` serves on the listening socket FD. The tools do nothing.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

import uvicorn  # type: ignore[import-not-found, unused-ignore]
from mcp.server.mcpserver import MCPServer  # type: ignore[import-not-found, unused-ignore]

TOOLS = 8


def echo(text: str) -> dict[str, Any]:
    """Return the text. The description is about as long as that of a tool that a model is to choose among others."""
    return {"success": True, "text": text}


def main() -> None:
    server = MCPServer("peer")
    server.add_tool(echo, title="Echo")
    for number in range(2, TOOLS + 1):
        server.add_tool(echo, name=f"echo_{number}", title="Echo")
    app = server.streamable_http_app(json_response=True, stateless_http=True)
    config = uvicorn.Config(app, log_level="error", access_log=False)
    uvicorn.Server(config).run(sockets=[socket.socket(fileno=int(sys.argv[1]))])


if __name__ == "__main__":
    main()
