"""MCP requests as a client would send them, era by era."""

from __future__ import annotations

import base64
from typing import Any

from tests.functional.daemon import Daemon, Reply

MODERN = "2026-07-28"
HANDSHAKE = "2025-11-25"
ALL = [MODERN, HANDSHAKE, "2025-06-18", "2025-03-26", "2024-11-05"]
ACCEPT = {"Accept": "application/json, text/event-stream"}
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}


def header_value(text: str) -> str:
    """Return *text* as a header carries it."""
    if text.isascii() and text.isprintable() and text == text.strip() and not text.startswith("=?"):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


def in_revision(rpc: Daemon, version: str, method: str, params: dict[str, Any] | None = None) -> Any:
    """Send one request as a client of revision *version* does; return the answer's JSON."""
    if version == MODERN:
        return modern(rpc, method, params).json
    session_id = initialize(rpc, version).headers["Mcp-Session-Id"]
    return in_session(rpc, session_id, method, params, headers={"MCP-Protocol-Version": version}).json


def modern(
    rpc: Daemon,
    method: str,
    params: dict[str, Any] | None = None,
    *,
    headers: dict[str, str] | None = None,
    **message: Any,
) -> Reply:
    """Send one stateless request; *headers* and members of *message* override what a right one has."""
    params = {"_meta": META, **(params or {})}
    sent = ACCEPT | {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
    for key in ("name", "uri"):
        if isinstance(params.get(key), str):
            sent["Mcp-Name"] = header_value(params[key])
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params} | message
    return rpc.post("/mcp", body, sent | (headers or {}))


def initialize(rpc: Daemon, version: str = HANDSHAKE) -> Reply:
    """Open a session."""
    params = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}
    return rpc.post("/mcp", {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}, ACCEPT)


def in_session(rpc: Daemon, session_id: str, method: str, params: dict[str, Any] | None = None, **more: Any) -> Reply:
    """Send one request in the session *session_id*."""
    headers = ACCEPT | {"Mcp-Session-Id": session_id, "MCP-Protocol-Version": HANDSHAKE} | more.pop("headers", {})
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}} | more
    return rpc.post("/mcp", body, headers)


def call(rpc: Daemon, name: str, /, **arguments: Any) -> dict[str, Any]:
    """Call a tool in the stateless era; return its structured content."""
    result = modern(rpc, "tools/call", {"name": name, "arguments": arguments}).json["result"]
    assert result["isError"] is False, result
    structured: dict[str, Any] = result["structuredContent"]
    return structured
