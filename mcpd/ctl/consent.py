"""``mcpctl consent``: what waits for an administrator's consent, and the decision."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from mcpd.ctl import client, output
from mcpd.ctl.client import Client
from mcpd.errors import UsageError

HELP = "list what waits for consent; approve or deny it"

_PATH = "/api/mcp/consent"
_STYLES = {"pending": "bold yellow", "approved": "green", "denied": "red"}
_COLUMNS = ("id", "state", "asked by", "what", "until", "decided by")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``consent`` takes."""
    parser.add_argument("action", choices=("list", "show", "approve", "deny"), help="what to do")
    parser.add_argument("id", metavar="ID", nargs="?", help="the request's id")
    parser.add_argument("--all", action="store_true", help="for list: those that are over too")
    parser.add_argument("--reason", metavar="TEXT", help="for approve and deny: why")


def run(arguments: argparse.Namespace) -> int:
    """Do it; the daemon says what came of it."""
    action = arguments.action
    if (arguments.id is None) is not (action == "list"):
        raise UsageError(f"usage: mcpctl consent {action}{'' if action == 'list' else ' ID'}")
    if arguments.reason is not None and action not in ("approve", "deny"):
        raise UsageError("--reason goes with approve or deny")
    server = Client(client.endpoint(arguments.url))
    if action == "list":
        found = server.get(_PATH)["consents"]
        _print_list([item for item in found if arguments.all or item["status"] == "pending"], as_json=arguments.json)
        return 0
    path = f"{_PATH}/{quote(arguments.id, safe='')}"
    if action == "show":
        _print(server.get(path), as_json=arguments.json)
        return 0
    verdict = "approved" if action == "approve" else "denied"
    answer = server.change("POST", path, {"decision": verdict, "reason": arguments.reason})
    if arguments.json:
        output.print_json(answer)
    else:
        output.write(f"{output.visible(answer['consent_id'])}: {verdict}\n")
    return 0


def _print_list(found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        output.print_json(found)
        return
    rows = [
        (
            item["consent_id"],
            output.coloured(item["status"], _STYLES.get(item["status"], "")),
            item["caller"],
            item["message"],
            item["expires_at"],
            item["decided_by"],
        )
        for item in found
    ]
    output.print_tables(output.table("", _COLUMNS, rows, "nothing waits for consent"))


def _print(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.print_json(found)
    else:
        output.print_tables(output.pairs("", found))
