"""``mcpctl token``: the access tokens that have not expired, and their end."""

from __future__ import annotations

import argparse
from urllib.parse import quote

from mcpd.ctl import client, output
from mcpd.ctl.client import Client
from mcpd.errors import UsageError

HELP = "list the access tokens, or revoke one"

_PATH = "/api/mcp/tokens"
_COLUMNS = ("token", "client", "scopes", "issued", "expires", "state")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``token`` takes."""
    parser.add_argument("action", choices=("list", "revoke"), help="what to do")
    parser.add_argument("id", metavar="ID", nargs="?", help="for revoke: the token's id, as list shows it")


def run(arguments: argparse.Namespace) -> int:
    """Do it; the daemon says what came of it."""
    if (arguments.id is None) is not (arguments.action == "list"):
        raise UsageError("usage: mcpctl token list, or mcpctl token revoke ID")
    server = Client(client.endpoint(arguments.url))
    if arguments.action == "revoke":
        answer = server.change("DELETE", f"{_PATH}/{quote(arguments.id, safe='')}")
        if arguments.json:
            output.print_json(answer)
        else:
            output.write(f"{output.visible(answer['id'])}: {'revoked' if answer['revoked'] else 'had ended already'}\n")
        return 0
    tokens = server.get(_PATH)["tokens"]
    if arguments.json:
        output.print_json(tokens)
        return 0
    keys = ("id", "client_id", "scopes", "issued_at", "expires_at")
    rows = [[*(token[key] for key in keys), "revoked" if token["revoked"] else "holds"] for token in tokens]
    output.print_tables(output.table("", _COLUMNS, rows, "no tokens"))
    return 0
