"""``mcpctl rollback``: back to the system before mcpd, and forward again; or to the version of mcpd before."""

from __future__ import annotations

import argparse
from pathlib import Path

from mcpd import config
from mcpd.ctl import cutting_over, downgrading
from mcpd.errors import UsageError

HELP = "go back to the old system, or before an upgrade"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``rollback`` takes."""
    parser.add_argument("--to", metavar="SNAPSHOT", type=Path, help="give the old system this database of its own back")
    parser.add_argument("--reason", metavar="TEXT", help="why, for the record")
    parser.add_argument("--forward", action="store_true", help="go to mcpd again, with what was written meanwhile")
    parser.add_argument("--timezone", metavar="ZONE", help="for --forward: of the old system's local times")
    parser.add_argument("--upgrade", action="store_true", help="take the last upgrade of mcpd itself back")
    parser.add_argument("--plan", action="store_true", help="for --upgrade: say what would be done; change nothing")
    parser.add_argument("--package", metavar="FILE", type=Path, help="for --upgrade: the package to go back to")


def run(arguments: argparse.Namespace) -> int:
    """Switch, or take an upgrade back."""
    settings = config.load(arguments.config)
    if arguments.upgrade:
        if arguments.forward or arguments.to or arguments.reason or arguments.timezone:
            raise UsageError("mcpctl rollback --upgrade takes no --forward, --to, --reason and --timezone")
        downgrading.run(settings, arguments.package, only_plan=arguments.plan, as_json=arguments.json)
        return 0
    if arguments.plan or arguments.package:
        raise UsageError("--plan and --package go with --upgrade")
    if arguments.forward:
        if arguments.to or arguments.reason:
            raise UsageError("mcpctl rollback --forward takes no --to and no --reason")
        return cutting_over.forward(settings, arguments.timezone, as_json=arguments.json)
    if arguments.timezone:
        raise UsageError("--timezone goes with --forward")
    cutting_over.back(settings, arguments.to, arguments.reason, as_json=arguments.json)
    return 0
