"""``mcpctl send``: text typed into an agent's terminal, and Enter."""

from __future__ import annotations

import argparse
import sys

from mcpd.ctl import output, terminal
from mcpd.errors import UsageError
from mcpd.terminals import keys, typing

HELP = "type text into an agent's terminal"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``send`` takes."""
    parser.add_argument("name", metavar="NAME", help="the agent")
    parser.add_argument("text", metavar="TEXT", help="what to type; - reads it from standard input")
    parser.add_argument("--no-enter", action="store_true", help="type only, do not press Enter")
    parser.add_argument("--control", action="store_true", help="let the text contain control characters")


def run(arguments: argparse.Namespace) -> int:
    """Type it, and say what the screen showed."""
    text = _stdin() if arguments.text == "-" else arguments.text
    agent, tmux = terminal.named(arguments.name)
    with terminal.advising(agent):
        typed = typing.type_text(tmux, text, enter=not arguments.no_enter, control=arguments.control)
    if not typed.was_seen:
        output.warn(f"{agent.name}: the screen changed, but does not show the text")
    if arguments.json:
        attempts = {"text_attempts": typed.text_attempts, "enter_attempts": typed.enter_attempts}
        output.print_json({"name": agent.name, "was_seen": typed.was_seen, **attempts})
    else:
        output.write(f"{agent.name}: {'typed' if arguments.no_enter else 'sent'}\n")
    return 0


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read(keys.MAX_TEXT_BYTES + 2).decode().removesuffix("\n")
    except UnicodeDecodeError as exc:
        raise UsageError("standard input is not valid UTF-8") from exc
