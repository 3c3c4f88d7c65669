"""MCP 2026-07-28 as a client speaks it: what mcpctl exercises is what agents use."""

from __future__ import annotations

import json
from typing import Any

from mcpd import __version__
from mcpd.ctl.client import Client, Refused, refusal
from mcpd.errors import Unreachable
from mcpd.protocol import revisions

_VERSION = revisions.MODERN.version
_META = {
    revisions.PROTOCOL_VERSION: _VERSION,
    revisions.CLIENT_CAPABILITIES: {},
    revisions.CLIENT_INFO: {"name": "mcpctl", "version": __version__},
}
_MAX_PAGES = 100


class McpClient:
    """Ask the MCP server behind *client*; raises what ``Client.get`` raises."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._id = 0

    def tools(self) -> dict[str, dict[str, Any]]:
        """Return every tool's listing by name (2026-07-28 server/tools, listing tools)."""
        found: dict[str, dict[str, Any]] = {}
        cursor: dict[str, Any] = {}
        for _ in range(_MAX_PAGES):
            page = self._ask("tools/list", cursor)
            found.update((tool["name"], tool) for tool in page.get("tools", []))
            if not page.get("nextCursor"):
                break
            cursor = {"cursor": page["nextCursor"]}
        return found

    def call(self, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the result of the tool; raises ``Refused`` with its words when it says no (``isError``)."""
        result = self._ask("tools/call", {"name": name, "arguments": arguments}, {"Mcp-Name": name})
        if result.get("isError"):
            raise Refused(text(result) or f"{name} failed without saying why")
        return result

    def _ask(self, method: str, params: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
        self._id += 1
        message = {"jsonrpc": "2.0", "id": self._id, "method": method, "params": {**params, "_meta": _META}}
        answer = self._client.request(
            "POST",
            "/mcp",
            json.dumps(message).encode(),
            {
                "Content-Type": "application/json",
                "Accept": "application/json, text/event-stream",
                "MCP-Protocol-Version": _VERSION,
                "Mcp-Method": method,
                **(headers or {}),
            },
        )
        if answer.status != 200 or "error" in answer.body:
            raise refusal(answer)
        result = answer.body.get("result")
        if not isinstance(result, dict) or result.get("resultType", "complete") != "complete":
            raise Unreachable(f"{method} was answered with something that is not a complete MCP {_VERSION} result")
        return result


def text(result: dict[str, Any]) -> str:
    """Return the text parts of a tool's result."""
    parts = result.get("content", [])
    return "\n".join(str(part["text"]) for part in parts if part.get("type") == "text")
