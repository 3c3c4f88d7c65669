"""Errors, failures and questions as messages, the same wherever they are sent from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import msgspec
import orjson

from mcpd.errors import DIALECT_CODES, ConsentRequired, Error, InvalidRequest, PromptNotFound, RateLimited
from mcpd.protocol import jsonrpc, mcp, revisions
from mcpd.protocol.asks import Ask
from mcpd.protocol.jsonrpc import Id
from mcpd.protocol.revisions import Revision

Form = Literal["mcp", "dialect", "rest"]
"""In what an answer is told: MCP's messages, those of ``/jsonrpc``, or the bodies of ``/api/mcp/*``."""

CONSENT = "mcpd/consent"
"""What holds, in the ``_meta`` of a result, where a person can allow the call."""


def error(message_id: Id, fault: Error, *, handshake: bool) -> tuple[int, bytes]:
    """Return the HTTP status and the response with which MCP tells *fault*.

    The handshake era answers -32601 with HTTP 200, the stateless one with 404; what the transport refuses keeps its
    status in both. Codes of the older dialect never leave here (2026-07-28 basic/index, error codes).
    """
    status = fault.http_status
    if status == 503 or (handshake and fault.code == -32601):
        status = 200
    ours = fault.code in DIALECT_CODES or isinstance(fault, RateLimited)
    shown = InvalidRequest(fault.message, fault.data) if ours else fault
    return status, jsonrpc.encode_error(message_id, shown)


def _as_mcp(message_id: Id, came: dict[str, Any] | Error, handshake: bool) -> tuple[int, bytes]:
    if isinstance(came, Error):
        return error(message_id, came, handshake=handshake)
    return 200, jsonrpc.encode_result(message_id, came)


def _as_dialect(message_id: Id, came: dict[str, Any] | Error, _handshake: bool) -> tuple[int, bytes]:
    if isinstance(came, Error):
        return 200, jsonrpc.encode_error(message_id, came, null_id=True)
    return 200, jsonrpc.encode_result(message_id, came)


def _as_rest(_message_id: Id, came: dict[str, Any] | Error, _handshake: bool) -> tuple[int, bytes]:
    if isinstance(came, Error):
        return rest_status(came), rest_error(came)
    return 200, orjson.dumps(came)


FORMS: Mapping[Form, Callable[[Id, dict[str, Any] | Error, bool], tuple[int, bytes]]] = {
    "mcp": _as_mcp, "dialect": _as_dialect, "rest": _as_rest,
}  # fmt: skip
"""How a result or an error becomes the status and the body of an answer, where a call may come from."""


def rest_status(fault: Error) -> int:
    """Return the status that tells *fault* at the REST endpoints; what MCP answers inside a 200 is a 400 or 404."""
    if isinstance(fault, PromptNotFound):
        return 404
    return 400 if fault.http_status == 200 else fault.http_status


def rest_error(fault: Error) -> bytes:
    """Return the body that tells *fault* at the REST endpoints, or where no endpoint has read the request yet."""
    return orjson.dumps({"error": fault.message})


def tool_failure(revision: Revision, message: str) -> dict[str, Any]:
    """Return the result of a tool that says no: what the model can mend, it gets to read (server/tools)."""
    return mcp.complete(revision, {"content": [{"type": "text", "text": message}], "isError": True})


def consent(revision: Revision, fault: ConsentRequired) -> dict[str, Any]:
    """Return the result of a tool that a person must allow first: in words for the model, as data for programs."""
    meta = {CONSENT: fault.data} | ({revisions.SERVER_INFO: mcp.SERVER_INFO} if revision.result_type else {})
    return tool_failure(revision, fault.message) | {"_meta": meta}


def questions(revision: Revision, asked: Mapping[str, Mapping[str, Any]]) -> dict[int, bytes]:
    """Return the requests to the client that *asked* holds (rows of a session's call), by number of their event."""
    messages = {}
    for request_id, entry in asked.items():
        shown = ask(entry).shown(revision, request_id)
        messages[entry["number"]] = jsonrpc.encode_request(request_id, shown["method"], shown["params"])
    return messages


def ask(entry: Mapping[str, Any]) -> Ask:
    """Return the question that *entry* keeps."""
    return msgspec.convert({name: entry[name] for name in ("method", "params", "needs")}, Ask)
