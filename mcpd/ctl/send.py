"""``mcpctl send``: text typed into an agent's terminal, and Enter."""

from __future__ import annotations

import argparse
import sys

from mcpd.agents.agent import Agent
from mcpd.ctl import client, output, terminal
from mcpd.ctl.client import Client, Endpoint, NoAnswer
from mcpd.errors import Error, UsageError
from mcpd.terminals import keys, typing
from mcpd.terminals.typing import Typed

HELP = "type text into an agent's terminal"
_TELL_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``send`` takes."""
    parser.add_argument("name", metavar="NAME", help="the agent")
    parser.add_argument("text", metavar="TEXT", help="what to type; - reads it from standard input")
    parser.add_argument("--no-enter", action="store_true", help="type only, do not press Enter")
    parser.add_argument("--control", action="store_true", help="let the text contain control characters")


def run(arguments: argparse.Namespace) -> int:
    """Type it, and say what the screen showed."""
    where = client.endpoint(arguments.url)
    text = _stdin() if arguments.text == "-" else arguments.text
    agent, tmux = terminal.named(arguments.name)
    with terminal.advising(agent):
        typed = typing.type_text(tmux, text, enter=not arguments.no_enter, control=arguments.control)
    if not typed.was_seen:
        output.warn(f"{agent.name}: the screen changed, but does not show the text")
    _tell(where, agent, text, typed)
    if arguments.json:
        attempts = {"text_attempts": typed.text_attempts, "enter_attempts": typed.enter_attempts}
        output.print_json({"name": agent.name, "was_seen": typed.was_seen, **attempts})
    else:
        output.write(f"{agent.name}: {'typed' if arguments.no_enter else 'sent'}\n")
    return 0


def _tell(where: Endpoint, agent: Agent, text: str, typed: Typed) -> None:
    """Have mcpd tell of it. The terminal needs no mcpd, so the text has arrived all the same where there is none."""
    told = {"size_bytes": len(text.encode()), "entered": typed.enter_attempts > 0, "was_seen": typed.was_seen}
    try:
        Client(where, _TELL_S).change("POST", "/api/mcp/messages", {"agent_name": agent.name, **told})
    except Error as error:
        why = error.what if isinstance(error, NoAnswer) else error.message
        output.warn(f"{agent.name}: it arrived, but no event tells of it: {why}")


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read(keys.MAX_TEXT_BYTES + 2).decode().removesuffix("\n")
    except UnicodeDecodeError as exc:
        raise UsageError("standard input is not valid UTF-8") from exc
