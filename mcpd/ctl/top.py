"""``mcpctl top``: what agents do and consume, live."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mcpd.ctl import client, output
from mcpd.ctl.client import Client
from mcpd.ctl.status import ago

if TYPE_CHECKING:
    from rich.console import RenderableType

HELP = "show what the agents do and consume, live"

_EVERY_S = 2.0
_WINDOW_S = 10.0  # over which processor time is averaged; the daemon samples less often than we ask
_COLUMNS = ("agent", "state", "since", "cpu", "memory", "tasks", "read", "written", "last line")
_STYLES = {
    "working": "green",
    "idle": "cyan",
    "waiting_for_permission": "bold yellow",
    "waiting_for_input": "bold yellow",
    "stalled": "bold red",
    "exited": "red",
    "absent": "dim",
}
_UNITS = ("B", "kB", "MB", "GB", "TB")

States = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``top`` takes."""
    parser.add_argument("--once", action="store_true", help="print the table once")


def run(arguments: argparse.Namespace) -> int:
    """Show the table, again and again on a terminal."""
    where = Client(client.endpoint(arguments.url))
    states = where.get("/api/mcp/agent-states")
    if arguments.json:
        output.print_json(states)
    elif arguments.once or not sys.stdout.isatty():
        output.print_tables(table(states, {}, datetime.now(UTC)))
    else:
        _live(where, states)
    return 0


def _live(where: Client, states: States) -> None:
    from rich.live import Live

    samples = [(time.monotonic(), states)]
    with Live(table(states, {}, datetime.now(UTC)), screen=True, auto_refresh=False) as live:
        while True:
            time.sleep(_EVERY_S)
            now_s, states = time.monotonic(), where.get("/api/mcp/agent-states")
            samples = [sample for sample in samples if now_s - sample[0] <= _WINDOW_S] + [(now_s, states)]
            live.update(table(states, shares(*samples[0], now_s, states), datetime.now(UTC)), refresh=True)


def shares(then_s: float, before: States, now_s: float, states: States) -> dict[str, float]:
    """Return each agent's share of a core between two answers of the daemon, where both know it."""
    found = {}
    for name, state in states.items():
        used, known = state["cpu_us"], before.get(name, {}).get("cpu_us")
        if used is not None and known is not None and used >= known and now_s > then_s:
            found[name] = (used - known) / 1e6 / (now_s - then_s)
    return found


def table(states: States, cpu: dict[str, float], now: datetime) -> RenderableType:
    """Return *states* as a table; without its share of *cpu* an agent's processor time so far stands there."""
    rows = [
        (
            name,
            output.coloured(state["status"], _STYLES.get(state["status"], "")),
            ago(state["since"], now) if state["since"] else None,
            f"{cpu[name]:.0%}" if name in cpu else _seconds(state["cpu_us"]),
            size(state["memory_bytes"]),
            state["tasks"],
            size(state["io_read_bytes"]),
            size(state["io_write_bytes"]),
            state["last_line"],
        )
        for name, state in states.items()
        if state["connected"] or state["port"] is not None  # others were heard of once, perhaps years ago
    ]
    return output.table("", _COLUMNS, rows, "no agents")


def size(value_bytes: int | None) -> str | None:
    """Return *value_bytes* in its largest unit."""
    if value_bytes is None:
        return None
    value, unit = float(value_bytes), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {_UNITS[unit]}"


def _seconds(cpu_us: int | None) -> str | None:
    return None if cpu_us is None else f"{cpu_us / 1e6:.1f} s"
