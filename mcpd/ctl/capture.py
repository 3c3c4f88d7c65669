"""``mcpctl capture``: what an agent's terminal shows."""

from __future__ import annotations

import argparse

from mcpd.ctl import output, terminal
from mcpd.errors import UsageError

HELP = "print the screen of an agent's terminal"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``capture`` takes."""
    parser.add_argument("name", metavar="NAME", help="the agent")
    parser.add_argument("--history", metavar="N", type=int, default=0, help="N lines above the screen too")


def run(arguments: argparse.Namespace) -> int:
    """Print it."""
    if arguments.history < 0:
        raise UsageError(f"--history {arguments.history}: expected a number of lines")
    agent, tmux = terminal.named(arguments.name)
    with terminal.advising(agent):
        screen = tmux.screen()
        # The words about its end have moved the screen up by a line.
        lines = tmux.capture(max(arguments.history, 1) if screen.ended else arguments.history)
    if arguments.json:
        column, row = screen.cursor
        cursor = {"column": column, "row": row}
        output.print_json({"name": agent.name, "lines": lines, "cursor": cursor, "ended": screen.ended})
    else:
        output.write("".join(f"{output.visible(line)}\n" for line in lines))
    return 0
