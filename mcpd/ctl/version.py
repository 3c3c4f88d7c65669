"""``mcpctl version``: mcpd, what it stands on, and whether the running mcpd is the installed one."""

from __future__ import annotations

import argparse
import platform
import subprocess

from mcpd import __version__
from mcpd.ctl import client, output
from mcpd.ctl.client import Client
from mcpd.errors import Error
from mcpd.protocol import revisions

HELP = "show the versions of mcpd and of what it stands on"
_TIMEOUT_S = 5.0


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare nothing: the common options are all."""


def run(arguments: argparse.Namespace) -> int:
    """Print the versions; a daemon that does not answer is no error here."""
    running, reason = _running(client.endpoint(arguments.url))
    versions = {"mcpd": __version__, "running": running, **_foundations(), "mcp": list(revisions.SUPPORTED)}
    if running not in (None, __version__):
        output.warn(f"mcpd {running} is running, {__version__} is installed; systemctl restart mcpd-rpc.service")
    if arguments.json:
        output.print_json(versions)
    else:
        output.print_tables(output.pairs("", {**versions, "running": running or f"no answer: {reason}"}))
    return 0


def _running(where: client.Endpoint) -> tuple[str | None, str]:
    """Return the version of the daemon at *where*; if it gives none, None and why."""
    try:
        health = Client(where, _TIMEOUT_S).request("GET", "/api/mcp/health")
    except Error as error:
        return None, error.message
    version = health.body.get("version")
    return (version, "") if isinstance(version, str) else (None, health.reason)


def _foundations() -> dict[str, object]:
    import apsw

    from mcpd.store import schema

    return {
        "schema": schema.migrations()[-1].version,
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "systemd": _systemd(),
    }


def _systemd() -> str | None:
    try:
        said = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=True)  # noqa: S607
    except (OSError, subprocess.CalledProcessError):
        return None
    return said.stdout.splitlines()[0].removeprefix("systemd ")
