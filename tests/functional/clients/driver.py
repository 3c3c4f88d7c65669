"""What the scripts that drive a Python client share: requests in, answers out, a line of JSON each.

``{"method": "tools/call", "params": {…}}`` comes in; out goes what the SDK made of the answer, or ``{"error": {…}}`` if
it raised its exception for that.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio  # type: ignore[import-not-found, unused-ignore]

Calls = Mapping[str, Callable[..., Awaitable[Any]]]


@dataclass(frozen=True)
class Wanted:
    """What the command line asks for: a server by ``url`` or by ``command``, ``mode`` if the SDK has such."""

    url: str
    command: list[str]
    mode: str
    elicit: bool


def wanted() -> Wanted:
    """Read the command line: ``SERVER [MODE] [--elicit]``, SERVER a URL or a command as an array in JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("server")
    parser.add_argument("mode", nargs="?", default="")
    parser.add_argument("--elicit", action="store_true", help="declare that questions to the user are answered")
    found = parser.parse_args()
    command = json.loads(found.server) if found.server.startswith("[") else []
    return Wanted("" if command else found.server, command, found.mode, found.elicit)


async def serve(calls: Calls, error: type[Exception]) -> None:
    """Carry out what comes in by *calls*, until there is no more; *error* is the SDK's for an answer that is one."""
    print("{}", flush=True)
    while line := await anyio.to_thread.run_sync(sys.stdin.readline):
        request = json.loads(line)
        try:
            result = await calls[request["method"]](**request["params"])
            shown = result.model_dump(mode="json", by_alias=True, exclude_none=True)
        except error as raised:
            said: Any = raised
            shown = {"error": {"code": said.error.code, "message": said.error.message}}
        print(json.dumps(shown), flush=True)


async def form(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the form that *schema* describes, as an agreeable user would.

    A user who is to take his time does so until there is the file that the environment names; that he was asked, he
    says by another one.
    """
    place = os.environ.get("MCPD_TEST_USER")
    if place is not None:
        await anyio.Path(f"{place}.asked").touch()
        while not await anyio.Path(place).exists():  # noqa: ASYNC110 - somebody outside makes it
            await anyio.sleep(0.02)
    return {name: _answer(field) for name, field in schema["properties"].items()}


def _answer(field: Mapping[str, Any]) -> Any:
    if "enum" in field:
        return field["enum"][0]
    return {"boolean": True, "integer": 1, "number": 1.5}.get(field.get("type", "string"), "yes")
