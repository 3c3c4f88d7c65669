"""``mcpctl waiting``: which agents wait for a human, the longest first."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from mcpd.ctl import client, output
from mcpd.ctl.client import Client
from mcpd.ctl.status import ago
from mcpd.terminals.states import WAITING

HELP = "list the agents that wait for a human, the longest first"


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare nothing: the common options are all."""


def run(arguments: argparse.Namespace) -> int:
    """Ask the daemon and print who waits."""
    found = queue(Client(client.endpoint(arguments.url)).get("/api/mcp/agent-states"))
    if arguments.json:
        output.print_json({"waiting": found})
        return 0
    now = datetime.now(UTC)
    rows = [(entry["agent"], entry["for"], ago(entry["since"], now), entry["last_line"]) for entry in found]
    output.print_tables(output.table("", ("agent", "waits for", "since", "last line"), rows, "no agent waits"))
    return 0


def queue(states: dict[str, Any]) -> list[dict[str, Any]]:
    """Return those of *states* that wait for a human: agent, what for, since when and the last line, oldest first."""
    found = [
        {
            "agent": name,
            "for": state["status"].removeprefix("waiting_for_"),
            "since": state["since"],
            "last_line": state["last_line"],
            "port": state["port"],
        }
        for name, state in states.items()
        if state["status"] in WAITING
    ]
    return sorted(found, key=lambda entry: str(entry["since"]))
