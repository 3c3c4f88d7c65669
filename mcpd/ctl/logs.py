"""``mcpctl logs``: mcpd's part of the journal, shown by journalctl."""

from __future__ import annotations

import argparse
import os
import sys

from mcpd.errors import Unreachable, UsageError

HELP = "show the journal of mcpd's units"

_FIELDS = {"tool": "MCPD_TOOL", "caller": "MCPD_CALLER", "request": "MCPD_REQUEST_ID"}
_SUFFIXES = (".service", ".socket", ".target", ".timer", ".slice")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``logs`` takes."""
    parser.add_argument("unit", metavar="UNIT", nargs="?", help="only this unit; rpc is mcpd-rpc.service")
    parser.add_argument("--follow", action="store_true", help="go on with what comes")
    parser.add_argument("--lines", metavar="N", type=_count, help="only the last N lines")
    parser.add_argument("--since", metavar="TIME", help="only what is newer, as journalctl takes it")
    parser.add_argument("--tool", metavar="NAME", help="only calls of this tool")
    parser.add_argument("--caller", metavar="NAME", help="only requests of this caller")
    parser.add_argument("--request", metavar="ID", help="only this request")


def run(arguments: argparse.Namespace) -> int:
    """Become journalctl; its exit status is ours."""
    command = journalctl(arguments)
    sys.stdout.flush()
    try:
        os.execvp(command[0], command)  # noqa: S606 - a fixed program, and no shell to misread its arguments
    except FileNotFoundError as exc:
        raise Unreachable("journalctl is not installed; the logs are in systemd's journal") from exc


def journalctl(arguments: argparse.Namespace) -> list[str]:
    """Return the command line of journalctl that shows what *arguments* ask for."""
    command = ["journalctl", f"--unit={unit_name(arguments.unit) if arguments.unit else 'mcpd-*'}"]
    if arguments.follow:
        command.append("--follow")
    if arguments.lines is not None:
        command.append(f"--lines={arguments.lines}")
    if arguments.since is not None:
        command.append(f"--since={arguments.since}")
    if arguments.json:
        command.append("--output=json")
    wanted = ((field, getattr(arguments, option)) for option, field in _FIELDS.items())
    return command + [f"{field}={value}" for field, value in wanted if value is not None]


def unit_name(name: str) -> str:
    """Return the unit that *name* stands for: ``rpc`` and ``mcpd-rpc`` are mcpd-rpc.service."""
    if name.endswith(_SUFFIXES):
        return name
    return f"{name}.service" if name.startswith(("mcpd-", "mcp-")) else f"mcpd-{name}.service"


def _count(text: str) -> int:
    if not text.isdecimal():
        raise UsageError(f"--lines {text}: expected a number of lines")
    return int(text)
