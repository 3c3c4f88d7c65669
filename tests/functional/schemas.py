"""The specification's JSON schemas, and what of the messages that we send breaks them.

They come out of the conformance suite's bundle. 2024-11-05 is not among them: its messages are held against those of
2025-03-26, which knows all of them, and by the models of the SDKs of its time.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from jsonschema.validators import validator_for

from tests.conformance.suite import PACKAGE
from tests.functional.foreign import CLIENTS, installed, node
from tests.functional.wire import Exchange

Json = dict[str, Any]
NEXT = {"2024-11-05": "2025-03-26"}
ENVELOPES = {"result": ("JSONRPCResultResponse", "JSONRPCResponse"), "error": ("JSONRPCErrorResponse", "JSONRPCError")}


@cache
def published() -> Mapping[str, Json]:
    """Return the schemas by revision."""
    command = [node(), str(CLIENTS / "schemas.mjs"), str(installed(PACKAGE))]
    found: dict[str, Json] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


class Schema:
    """The schema of one revision."""

    def __init__(self, revision: str) -> None:
        self._document = published()[NEXT.get(revision, revision)]
        self._root = "definitions" if "definitions" in self._document else "$defs"
        self._types: Json = self._document[self._root]
        self._of_method = {
            schema["properties"]["method"]["const"]: name
            for name, schema in self._types.items()
            if "const" in schema.get("properties", {}).get("method", {}) and name != "ClientNotification"
        }

    def violations(self, message: Json, method: str | None) -> Iterator[str]:
        """Yield what is wrong with *message*, an answer to a request of *method* if it has no method of its own."""
        if "method" in message:
            yield from self._breaks(self._of_method[message["method"]], message)
            return
        kind = "result" if "result" in message else "error"
        yield from self._breaks(next(name for name in ENVELOPES[kind] if name in self._types), message)
        if kind == "result":
            # Beside XRequest stands XResult, unless it is empty, or asks something first.
            name = self._of_method[method or ""].replace("Request", "Result")
            if message["result"].get("resultType") == "input_required":
                name = "InputRequiredResult"
            yield from self._breaks(name if name in self._types else "EmptyResult", message["result"])

    def _breaks(self, name: str, value: Json) -> Iterator[str]:
        schema = {**self._document, "$ref": f"#/{self._root}/{name}"}
        kind = validator_for(schema)
        for error in kind(schema, format_checker=kind.FORMAT_CHECKER).iter_errors(value):
            yield f"{name}: {error.json_path}: {error.message[:300]}"


def violations(exchanges: Iterable[Exchange]) -> Iterator[str]:
    """Yield what is wrong with the messages that came in *exchanges*."""
    found = list(exchanges)
    methods = {id_: method for exchange in found for id_, method in _asked(exchange)}
    schemas: dict[str, Schema] = {}
    for exchange in found:
        here = dict(_asked(exchange))
        for message in exchange.received:
            schema = schemas.setdefault(exchange.revision, Schema(exchange.revision))
            answered = message.get("id")
            for wrong in schema.violations(message, here.get(answered) or methods.get(answered)):
                yield f"{exchange.revision}: {wrong} in {json.dumps(message)[:500]}"


def _asked(exchange: Exchange) -> Iterator[tuple[Any, str]]:
    """Yield id and method of the requests in *exchange*; what else has an id answers one of the server's."""
    for message in exchange.sent:
        if "id" in message and "method" in message:
            yield message["id"], message["method"]
