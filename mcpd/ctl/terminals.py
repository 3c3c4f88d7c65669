"""``mcpctl terminals``: the agents' terminals in the browser, and who has one open."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from mcpd.ctl import client, output
from mcpd.ctl.client import Client
from mcpd.ctl.status import ago

HELP = "list the terminals in the browser and who looks"


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare nothing: the common options are all."""


def run(arguments: argparse.Namespace) -> int:
    """Ask the daemon and print its answer."""
    found = Client(client.endpoint(arguments.url)).get("/api/mcp/terminals")
    if arguments.json:
        output.print_json(found)
        return 0
    now = datetime.now(UTC)
    rows = [(name, terminal["url"], terminal["running"], _viewers(terminal, now)) for name, terminal in found.items()]
    output.print_tables(output.table("", ("agent", "terminal", "runs", "viewers"), rows, "no agents"))
    return 0


def _viewers(terminal: dict[str, Any], now: datetime) -> str:
    return ", ".join(f"{viewer['caller']} (since {ago(viewer['since'], now)})" for viewer in terminal["viewers"]) or "–"
