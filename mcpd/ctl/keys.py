"""``mcpctl keys``: keys pressed in an agent's terminal."""

from __future__ import annotations

import argparse

from mcpd.ctl import output, terminal
from mcpd.terminals import typing

HELP = "press keys in an agent's terminal"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``keys`` takes."""
    parser.add_argument("name", metavar="NAME", help="the agent")
    parser.add_argument("words", metavar="KEY", nargs="+", help="such as Enter, Escape, Up, C-c, M-x, F1, y")


def run(arguments: argparse.Namespace) -> int:
    """Press them."""
    agent, tmux = terminal.named(arguments.name)
    with terminal.advising(agent):
        typing.press_keys(tmux, arguments.words)
    if arguments.json:
        output.print_json({"name": agent.name, "keys": arguments.words})
    else:
        output.write(f"{agent.name}: pressed\n")
    return 0
