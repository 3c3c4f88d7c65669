"""``mcpctl rollback``: back to the system before mcpd, and forward again."""

from __future__ import annotations

import argparse
from pathlib import Path

from mcpd import config
from mcpd.ctl import cutting_over
from mcpd.errors import UsageError

HELP = "go back to the old system, or forward again"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``rollback`` takes."""
    parser.add_argument("--to", metavar="SNAPSHOT", type=Path, help="give the old system this database of its own back")
    parser.add_argument("--reason", metavar="TEXT", help="why, for the record")
    parser.add_argument("--forward", action="store_true", help="go to mcpd again, with what was written meanwhile")
    parser.add_argument("--timezone", metavar="ZONE", help="for --forward: of the old system's local times")


def run(arguments: argparse.Namespace) -> int:
    """Switch."""
    settings = config.load(arguments.config)
    if arguments.forward:
        if arguments.to or arguments.reason:
            raise UsageError("mcpctl rollback --forward takes no --to and no --reason")
        cutting_over.forward(settings, arguments.timezone, as_json=arguments.json)
        return 0
    if arguments.timezone:
        raise UsageError("--timezone goes with --forward")
    cutting_over.back(settings, arguments.to, arguments.reason, as_json=arguments.json)
    return 0
