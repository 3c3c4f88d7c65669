"""The requests that are measured: three operations, in both eras of MCP."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

MODERN, HANDSHAKE = "2026-07-28", "2025-11-25"
TIMEOUT_S = 30.0
_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass(frozen=True)
class Request:
    """One POST, the same for every request of a run."""

    body: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Operation:
    """What is asked: an MCP method and, for ``tools/call``, which tool with which arguments."""

    label: str
    method: str
    tool: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict, hash=False)

    def request(self, era: str, session: str | None = None) -> Request:
        """Return the request in the form of *era*; *session* is the id that ``initialize`` gave, if it gave one."""
        params: dict[str, Any] = {} if self.tool is None else {"name": self.tool, "arguments": self.arguments}
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        headers["MCP-Protocol-Version"] = era
        if era == MODERN:
            params["_meta"] = _META
            headers["Mcp-Method"] = self.method
            if self.tool is not None:
                headers["Mcp-Name"] = self.tool
        if session is not None:
            headers["Mcp-Session-Id"] = session
        return Request(json.dumps({"jsonrpc": "2.0", "id": 1, "method": self.method, "params": params}), headers)


HEARTBEAT = Operation("heartbeat (write)", "tools/call", "heartbeat", {"agent": "bench"})
FIND_OWNER = Operation("find_component_owner", "tools/call", "find_component_owner", {"component": "bench"})
TOOLS_LIST = Operation("tools/list", "tools/list")
OPERATIONS = (HEARTBEAT, FIND_OWNER, TOOLS_LIST)

REGISTER = Operation("", "tools/call", "register_component", {"name": "bench", "owner": "bench"})
ECHO = Operation("echo", "tools/call", "echo", {"text": "bench"})


def post(url: str, request: Request) -> tuple[bytes, str | None]:
    """Send *request* once; return the body of the answer and its ``Mcp-Session-Id``, and insist on a result."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT_S)
    try:
        connection.request("POST", parts.path, request.body, request.headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != 200 or json.loads(body).get("result", {}).get("isError"):
        raise RuntimeError(f"{url}: {request.body} was answered with {response.status} {body[:500]!r}")
    return body, response.getheader("Mcp-Session-Id")


def initialize(url: str) -> str | None:
    """Open a session of the handshake era; return its id, None if the server keeps no sessions."""
    client = {"name": "bench", "version": "0"}
    params = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": client}
    body = json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    return post(url, Request(body, headers))[1]
