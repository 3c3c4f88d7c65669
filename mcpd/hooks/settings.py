"""Claude Code's settings with our hooks in them, and without; and its list of MCP servers with ours. Pure.

Sources: Claude Code's documentation of ``settings.json`` (hooks), of ``~/.claude.json`` and of ``.mcp.json``.
Everything else in those files stays as it is. Functions return a new document and raise ``ValueError`` for one that is
not of the form that Claude Code itself takes.
"""

from __future__ import annotations

import re
import shlex
from pathlib import PurePath
from typing import Any

from mcpd.hooks.events import EVENTS

Document = dict[str, Any]

PROGRAM = "mcpd-hook"
SERVER = "mcpd"
_OUR_URL = re.compile(r"http://localhost:[0-9]+/mcp")
_TIMEOUT_S = 10
_OF_TOOLS = ("PreToolUse", "PostToolUse")


def with_hooks(document: Document, program: str = PROGRAM) -> Document:
    """Return *document* with *program* as hook of every event, in the place of what stood there of ours."""
    result = without_hooks(document)
    hooks = dict(_hooks(result))
    for event in EVENTS:
        entry: Document = {"matcher": "*"} if event in _OF_TOOLS else {}
        entry["hooks"] = [{"type": "command", "command": f"{shlex.quote(program)} {event}", "timeout": _TIMEOUT_S}]
        hooks[event] = [*hooks.get(event, []), entry]
    return {**result, "hooks": hooks}


def without_hooks(document: Document) -> Document:
    """Return *document* without our hooks, and without what is empty since they are gone."""
    hooks = {}
    for event, entries in _hooks(document).items():
        kept = [stripped for entry in entries for stripped in _without_ours(entry)]
        if kept or not entries:
            hooks[event] = kept
    if hooks or "hooks" not in document or not document["hooks"]:
        return {**document, **({"hooks": hooks} if "hooks" in document else {})}
    return {key: value for key, value in document.items() if key != "hooks"}


def installed_events(document: Document) -> set[str]:
    """Return the events that have a hook of ours."""
    return {event for event, entries in _hooks(document).items() if any(_has_ours(entry) for entry in entries)}


def with_server(document: Document, url: str) -> Document:
    """Return *document* with the mcpd at *url* among its MCP servers; one of that name not of ours stays as it is."""
    servers = _servers(document)
    if SERVER in servers and not _is_our_server(servers[SERVER]):
        return document
    return {**document, "mcpServers": servers | {SERVER: {"type": "http", "url": f"{url}/mcp"}}}


def without_server(document: Document) -> Document:
    """Return *document* without mcpd, unless somebody gave it another entry than ours."""
    servers = _servers(document)
    if not _is_our_server(servers.get(SERVER)):
        return document
    left = {name: entry for name, entry in servers.items() if name != SERVER}
    if left:
        return {**document, "mcpServers": left}
    return {key: value for key, value in document.items() if key != "mcpServers"}


def has_server(document: Document) -> bool:
    """Say whether mcpd is among the MCP servers."""
    return SERVER in _servers(document)


def _is_our_server(entry: object) -> bool:
    """Say whether *entry* is ours, whatever the port was then."""
    if not isinstance(entry, dict) or entry.keys() != {"type", "url"}:
        return False
    return entry["type"] == "http" and isinstance(entry["url"], str) and _OUR_URL.fullmatch(entry["url"]) is not None


def _hooks(document: Document) -> dict[str, list[Any]]:
    hooks = document.get("hooks", {})
    if not isinstance(hooks, dict):
        raise ValueError("'hooks': expected an object")
    for event, entries in hooks.items():
        if not isinstance(entries, list):
            raise ValueError(f"'hooks.{event}': expected an array")
    return hooks


def _servers(document: Document) -> Document:
    servers = document.get("mcpServers", {})
    if not isinstance(servers, dict):
        raise ValueError("'mcpServers': expected an object")
    return servers


def _without_ours(entry: Any) -> list[Any]:
    """Return *entry* without our handlers, alone in a list; nothing if it has no others."""
    if not _has_ours(entry):
        return [entry]
    kept = [handler for handler in entry["hooks"] if not _is_ours(handler)]
    return [{**entry, "hooks": kept}] if kept else []


def _has_ours(entry: Any) -> bool:
    handlers = entry.get("hooks") if isinstance(entry, dict) else None
    return isinstance(handlers, list) and any(map(_is_ours, handlers))


def _is_ours(handler: Any) -> bool:
    command = handler.get("command") if isinstance(handler, dict) else None
    try:
        words = shlex.split(command) if isinstance(command, str) else []
    except ValueError:
        return False
    return bool(words) and PurePath(words[0]).name == PROGRAM
