"""``mcpctl status``: what the running mcpd says of itself, the agents and what they did last."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from mcpd.ctl import client, output
from mcpd.ctl.client import Client

HELP = "show the system, the agents and what they did last"


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare nothing: the common options are all."""


def run(arguments: argparse.Namespace) -> int:
    """Ask the daemon and print its answer."""
    status = Client(client.endpoint(arguments.url)).get("/api/mcp/status")
    if arguments.json:
        output.print_json(status)
    else:
        now = datetime.now(UTC)
        output.print_tables(_system(status, arguments.url), _agents(status, now), _activities(status, now))
    return 0


def _system(status: dict[str, Any], url: str) -> Any:
    stats, totals = status.get("stats", {}), status.get("system_stats", {})
    return output.pairs(
        "System",
        {
            "mcpd": f"{status.get('server_version')}, {status.get('status')}, at {url}",
            "MCP": status.get("mcp_versions"),
            "transports": status.get("transports"),
            "WebSocket clients": status.get("websocket_clients"),
            "tools": stats.get("tools_available"),
            "plug-ins": f"{stats.get('plugins_loaded')}, {stats.get('plugins_broken')} broken",
            "active agents": stats.get("active_agents"),
            "activities": f"{stats.get('total_activities')}, {stats.get('recent_activities')} in the last hour",
            "components": totals.get("registered_components"),
            "pending decisions": totals.get("pending_decisions"),
            "waiting for consent": stats.get("consents_pending"),
        },
    )


def _agents(status: dict[str, Any], now: datetime) -> Any:
    rows = [
        (agent.get("agent"), agent.get("status"), agent.get("current_task"), ago(agent.get("last_seen"), now))
        for agent in status.get("agents", [])
    ]
    return output.table("Active agents", ("agent", "status", "task", "heard of"), rows)


def _activities(status: dict[str, Any], now: datetime) -> Any:
    rows = [
        (ago(entry.get("timestamp"), now), *map(entry.get, ("agent", "category", "status", "activity")))
        for entry in status.get("activities", [])
    ]
    return output.table("Last activities", ("when", "agent", "category", "status", "activity"), rows)


def ago(timestamp: object, now: datetime) -> str:
    """Return how long before *now* the RFC 3339 *timestamp* was, in its largest unit; itself if it is none."""
    try:
        passed_s = int((now - datetime.fromisoformat(str(timestamp))).total_seconds())
    except (ValueError, TypeError):
        return str(timestamp)
    for size_s, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if passed_s >= size_s:
            return f"{passed_s // size_s} {unit} ago"
    return f"{max(passed_s, 0)} s ago"
