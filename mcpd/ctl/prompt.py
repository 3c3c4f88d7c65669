"""``mcpctl prompt``: the prompts that clients offer, listed, shown, set and removed by the daemon."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mcpd.ctl import client, output
from mcpd.ctl.client import Client
from mcpd.errors import UsageError

HELP = "list, show, set or remove prompts"

_PATH = "/api/mcp/prompts"
_WANTED = {"list": (), "show": ("NAME",), "set": ("NAME", "FILE"), "remove": ("NAME",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``prompt`` takes."""
    parser.add_argument("action", choices=_WANTED, help="what to do")
    parser.add_argument("name", metavar="NAME", nargs="?", help="the prompt's name")
    parser.add_argument("file", metavar="FILE", nargs="?", help="for set: its JSON, - for standard input")


def run(arguments: argparse.Namespace) -> int:
    """Do it; the daemon says what came of it."""
    given = [word for word in (arguments.name, arguments.file) if word is not None]
    wanted = _WANTED[arguments.action]
    if len(given) != len(wanted):
        raise UsageError(f"usage: {' '.join(('mcpctl prompt', arguments.action, *wanted))}")
    server = Client(client.endpoint(arguments.url))
    if arguments.action == "list":
        _print_list(server.get(_PATH)["prompts"], as_json=arguments.json)
        return 0
    path = f"{_PATH}/{quote(arguments.name, safe='')}"
    if arguments.action == "show":
        _print(server.get(path), as_json=arguments.json)
    elif arguments.action == "set":
        _print_done(_changed(server, "PUT", path, _read(arguments.file)), "set", as_json=arguments.json)
    else:
        _print_done(_changed(server, "DELETE", path), "removed", as_json=arguments.json)
    return 0


def _changed(server: Client, method: str, path: str, body: bytes = b"") -> dict[str, Any]:
    answer = server.request(method, path, body, {"Content-Type": "application/json"})
    if answer.status not in (200, 201):
        raise client.refusal(answer)
    return answer.body


def _read(name: str) -> bytes:
    try:
        body = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as exc:
        raise UsageError(f"{name}: cannot be read: {exc.strerror}") from exc
    try:
        json.loads(body)
    except ValueError as exc:
        raise UsageError(f"{name}: is not JSON: {exc}") from exc
    return body


def _print_list(prompts: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        output.print_json(prompts)
        return
    rows = [(prompt["name"], _signature(prompt["arguments"]), prompt["description"]) for prompt in prompts]
    output.print_tables(output.table("", ("prompt", "arguments", "description"), rows, "no prompts"))


def _print(prompt: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.print_json(prompt)
        return
    arguments = _signature(prompt["arguments"]) or None
    shown = {key: value for key, value in prompt.items() if key not in ("template", "arguments")}
    output.print_tables(output.pairs("", shown | {"arguments": arguments}))
    output.write("".join(f"\n{output.visible(line)}" for line in prompt["template"].splitlines()) + "\n")


def _print_done(answer: dict[str, Any], done: str, *, as_json: bool) -> None:
    if as_json:
        output.print_json(answer)
    else:
        output.write(f"{output.visible(answer['name'])}: {done}\n")


def _signature(arguments: list[dict[str, Any]]) -> str:
    return " ".join(a["name"] if a.get("required") else f"[{a['name']}]" for a in arguments)
