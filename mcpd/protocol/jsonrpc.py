"""JSON-RPC 2.0 messages: bytes to values and back, with every fault of the form named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from mcpd.errors import Error, InvalidRequest, ParseError

Id = int | str | None
MAX_BATCH = 100


class Request(msgspec.Struct, frozen=True, gc=False):
    """One request, or a notification when ``is_notification`` (no ``id`` member, JSON-RPC 2.0 section 4.1)."""

    method: str
    params: dict[str, Any]
    id: Id
    is_notification: bool


class Response(msgspec.Struct, frozen=True):
    """A client's answer to a request of ours: what it has for ``result``, or its ``error`` in words."""

    id: str
    result: object = None
    error: str | None = None


def decode(body: bytes) -> Any:
    """Return the JSON value that *body* holds (UTF-8, RFC 8259); raises ``ParseError``."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise ParseError(f"the body is not JSON: {exc}") from exc


def receive(value: object) -> Request:
    """Return the request that *value* is; raises ``InvalidRequest`` naming the member at fault.

    MCP narrows JSON-RPC: an id is a string or a whole number, params are an object.
    """
    if not isinstance(value, dict):
        kind = "an array (batches are not part of this protocol version)" if isinstance(value, list) else "no object"
        raise InvalidRequest(f"expected one JSON-RPC request object, got {kind}")
    if value.get("jsonrpc") != "2.0":
        raise InvalidRequest(f'member "jsonrpc": expected "2.0", got {_show(value.get("jsonrpc"))}')
    method = value.get("method")
    if not isinstance(method, str) or not method:
        if "result" in value or "error" in value:
            raise InvalidRequest("expected a request, got a response; the server has sent no request to answer")
        raise InvalidRequest(f'member "method": expected a non-empty string, got {_show(method)}')
    params = value.get("params", {})
    if not isinstance(params, dict):
        raise InvalidRequest(f'member "params": expected an object, got {_show(params)}')
    if "id" not in value:
        return Request(method, params, None, True)
    request_id = value["id"]
    if not is_id(request_id):
        raise InvalidRequest(f'member "id": expected a string or a whole number, got {_show(request_id)}')
    return Request(method, params, request_id, False)


def response(value: object) -> Response | None:
    """Return the response that *value* is, None if it is something else; ids of ours are strings."""
    if not isinstance(value, dict) or "method" in value or not isinstance(value.get("id"), str):
        return None
    if "error" in value:
        error = value["error"]
        message = error.get("message") if isinstance(error, dict) else None
        words = message if isinstance(message, str) else f"an error without a message, {_show(error)}"
        return Response(value["id"], error=words[:1000])
    return Response(value["id"], value["result"]) if "result" in value else None


def encode_request(request_id: str, method: str, params: Mapping[str, object]) -> bytes:
    """Return a request of ours to the client."""
    return orjson.dumps({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})


def encode_notification(method: str, params: Mapping[str, object]) -> bytes:
    """Return a notification to the client."""
    return orjson.dumps({"jsonrpc": "2.0", "method": method, "params": params})


def split_batch(value: object) -> list[object]:
    """Return the messages of the batch *value* (JSON-RPC 2.0 section 6); raises ``InvalidRequest`` for an empty one."""
    if not isinstance(value, list) or not value:
        raise InvalidRequest("expected a batch of at least one message, got an empty array")
    if len(value) > MAX_BATCH:
        raise InvalidRequest(f"expected a batch of at most {MAX_BATCH} messages, got {len(value)}")
    return value


def join_batch(responses: list[bytes]) -> bytes:
    """Return the encoded *responses* as the answer to a batch."""
    return b"[" + b",".join(responses) + b"]"


def is_id(value: object) -> bool:
    """Say whether *value* may be a request's id (MCP: string or integer, never null)."""
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


def readable_id(value: object) -> Id:
    """Return the id of a message that may otherwise be malformed, None if it has no usable one."""
    request_id = value.get("id") if isinstance(value, dict) else None
    return request_id if is_id(request_id) else None


def encode_result(request_id: Id, result: object) -> bytes:
    """Return the response that carries *result* (a value, or JSON made before as ``orjson.Fragment``)."""
    return orjson.dumps({"jsonrpc": "2.0", "id": request_id, "result": result})


def encode_error(request_id: Id, error: Error, *, null_id: bool = False) -> bytes:
    """Return the response that carries *error*.

    Without a readable id the member is left out (MCP 2026-07-28 types it string or integer), or null with *null_id*
    (JSON-RPC 2.0 section 5).
    """
    answer: dict[str, object] = {"jsonrpc": "2.0"}
    if request_id is not None or null_id:
        answer["id"] = request_id
    answer["error"] = error_object(error)
    return orjson.dumps(answer)


def error_object(error: Error) -> dict[str, object]:
    """Return the ``error`` member for *error* (JSON-RPC 2.0 section 5.1)."""
    body: dict[str, object] = {"code": error.code, "message": error.message}
    if error.data is not None:
        body["data"] = error.data
    return body


def _show(value: object) -> str:
    text = orjson.dumps(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."
