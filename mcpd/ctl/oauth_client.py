"""``mcpctl client``: the clients that get access tokens, registered, shown and removed by the daemon."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from mcpd.access.scopes import SCOPES
from mcpd.ctl import client, output
from mcpd.ctl.client import Client
from mcpd.errors import UsageError

HELP = "register, list, show and remove the clients that get tokens"

_PATH = "/api/mcp/clients"
_ACTIONS = ("add", "list", "show", "rotate", "remove")
_COLUMNS = ("client", "scopes", "registered", "by", "secret changed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``client`` takes."""
    parser.add_argument("action", choices=_ACTIONS, help="what to do")
    parser.add_argument("name", metavar="NAME", nargs="?", help="the client's name")
    parser.add_argument(
        "--scope", metavar="SCOPE", action="append", choices=SCOPES, default=[], help="for add: what it may do, each"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do it; the daemon says what came of it."""
    action, name = arguments.action, arguments.name
    if (name is None) is not (action == "list"):
        raise UsageError(f"usage: mcpctl client {action}{'' if action == 'list' else ' NAME'}")
    if bool(arguments.scope) is not (action == "add"):
        raise UsageError("usage: mcpctl client add NAME --scope SCOPE ...; other actions take no --scope")
    server = Client(client.endpoint(arguments.url))
    if action == "list":
        _print_list(server.get(_PATH)["clients"], as_json=arguments.json)
        return 0
    if action == "add":
        found = server.change("POST", _PATH, {"name": name, "scopes": arguments.scope})
    else:
        method = {"show": "GET", "rotate": "POST", "remove": "DELETE"}[action]
        found = server.change(method, f"{_PATH}/{quote(name, safe='')}", {} if method == "POST" else None)
    _print(found, as_json=arguments.json)
    return 0


def _print_list(clients: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        output.print_json(clients)
        return
    keys = ("client_id", "scopes", "created_at", "created_by", "rotated_at")
    rows = [[found[key] for key in keys] for found in clients]
    output.print_tables(output.table("", _COLUMNS, rows, "no clients"))


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.print_json(found)
        return
    if found.get("removed"):
        output.write(f"{output.visible(found['name'])}: removed, its tokens have ended\n")
        return
    output.print_tables(output.pairs("", found))
    if "client_secret" in found:
        output.warn("this is the only time that the secret is shown; mcpd keeps a hash of it")
