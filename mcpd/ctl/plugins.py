"""``mcpctl plugins``: which plug-ins the daemon has loaded, what they bring, and why one was left out."""

from __future__ import annotations

import argparse
from typing import Any

from mcpd.ctl import client, output
from mcpd.ctl.client import Client
from mcpd.errors import EX_REFUSED

HELP = "show the plug-ins, what they bring and which are broken"

_PARTS = ("tools", "prompts", "resources", "templates")
_STYLES = {"loaded": "green", "disabled": "dim", "broken": "bold red"}


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare nothing: the common options are all."""


def run(arguments: argparse.Namespace) -> int:
    """Ask the daemon and print its answer; 1 if a plug-in is broken."""
    plugins: list[dict[str, Any]] = Client(client.endpoint(arguments.url)).get("/api/mcp/plugins")["plugins"]
    if arguments.json:
        output.print_json(plugins)
    else:
        columns = ("plug-in", "version", "source", "state", "what it brings, or what is wrong")
        output.print_tables(output.table("", columns, map(_row, plugins), "no plug-ins"))
    return EX_REFUSED if any(plugin["state"] == "broken" for plugin in plugins) else 0


def _row(plugin: dict[str, Any]) -> tuple[object, ...]:
    state = plugin["state"]
    brings = "; ".join(f"{part}: {', '.join(plugin[part])}" for part in _PARTS if plugin[part])
    shown = output.coloured(state, _STYLES.get(state, ""))
    return plugin["name"], plugin["version"], plugin["source"], shown, plugin["error"] or brings or None
