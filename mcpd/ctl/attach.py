"""``mcpctl attach``: an agent's terminal in this one."""

from __future__ import annotations

import argparse
import os
import sys

from mcpd.agents import units
from mcpd.ctl import terminal
from mcpd.errors import AgentNotRunning, Unreachable, UsageError

HELP = "show an agent's terminal in this one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``attach`` takes."""
    parser.add_argument("name", metavar="NAME", help="the agent")


def run(arguments: argparse.Namespace) -> int:
    """Start the agent if need be, and become tmux, which Ctrl-b d leaves."""
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        raise UsageError("attach needs a terminal; mcpctl capture shows the screen without one")
    agent, tmux = terminal.named(arguments.name)
    with terminal.advising(agent):
        try:
            tmux.screen()
        except AgentNotRunning:
            units.systemctl("start", agent.unit)
    command = tmux.command("attach-session", "-t", f"={tmux.session}")
    # Within another tmux, this one is meant all the same.
    environment = {name: value for name, value in os.environ.items() if name not in ("TMUX", "TMUX_PANE")}
    sys.stdout.flush()
    try:
        os.execvpe(command[0], command, environment)  # noqa: S606 - a fixed program, and no shell
    except FileNotFoundError as exc:
        raise Unreachable("tmux is not installed: apt install tmux") from exc
