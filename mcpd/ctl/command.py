"""What a subcommand of mcpctl is, and the options that all of them take."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NoReturn, Protocol

from mcpd.ctl import client
from mcpd.errors import UsageError


class Command(Protocol):
    """A module with one subcommand: its line in the help, its options, and what it does."""

    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options of this subcommand alone."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; return the exit status or raise ``Error``."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are a ``UsageError`` and whose options have no abbreviations."""

    def __init__(self, **more: Any) -> None:  # what argparse gives a subcommand's parser differs by Python's version
        super().__init__(**{"allow_abbrev": False, **more})

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see {self.prog} --help")


def add_common(parser: argparse.ArgumentParser, *, nested: bool) -> None:
    """Declare the options of every subcommand; they may stand before it or, *nested*, behind it.

    A nested parser gets no defaults, so that it does not undo what was said before the subcommand.
    """
    missing = argparse.SUPPRESS
    parser.add_argument("--json", action="store_true", default=missing if nested else False, help="print JSON")
    parser.add_argument(
        "--url", default=missing if nested else client.DEFAULT_URL, help="http://HOST:PORT or unix:PATH of mcpd-rpc"
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        action="append",
        default=missing if nested else None,
        help="read this file instead of the system's",
    )
