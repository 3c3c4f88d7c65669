"""The messages of the event dialect: JSON objects with a ``type``, as the old system's clients read and write them."""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from mcpd.errors import InvalidParams, ParseError
from mcpd.times import rfc3339

VERSION = "2025-06-18"
"""What the old system called its protocol; its clients compare it."""

FEATURES = {"streaming": True, "subscriptions": True, "heartbeat": True, "reconnect": True, "replay": True}
_MAX_ID_BYTES = 256


class Message(msgspec.Struct, frozen=True):
    """What a client sent: its ``type``, the ``id`` that the answer repeats, and all its ``fields``."""

    type: str
    id: str | int | float
    fields: dict[str, Any]


def read(data: bytes, new_id: str) -> Message:
    """Return the message that *data* holds, with *new_id* if it has no id; raises ``ParseError``, ``InvalidParams``."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise ParseError(f"Invalid JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise InvalidParams("Invalid message: expected an object with a type")
    kind = value.get("type")
    if not isinstance(kind, str):
        raise InvalidParams("Invalid message: expected a string as its type")
    given = value.get("id")
    if isinstance(given, bool) or not isinstance(given, str | int | float) or len(str(given)) > _MAX_ID_BYTES:
        given = new_id
    return Message(kind, given, value)


def encode(kind: str, **fields: object) -> bytes:
    """Return the message of type *kind* with *fields*."""
    return orjson.dumps({"type": kind, **fields})


def reply(message: Message, kind: str, **fields: object) -> bytes:
    """Return the answer of type *kind* to *message*."""
    return orjson.dumps({"type": kind, "id": message.id, **fields})


def error(request_id: str | int | float | None, text: str, now_us: int, **also: object) -> bytes:
    """Return the message that tells an error."""
    return orjson.dumps({"type": "error", "id": request_id, "error": text, "timestamp": rfc3339(now_us), **also})


def connection(client_id: str, seq: int) -> bytes:
    """Return the first message on a connection; *seq* is the number of the newest event."""
    return encode("connection", client_id=client_id, protocol_version=VERSION, features=FEATURES, seq=seq)


def heartbeat(now_s: float) -> bytes:
    """Return the message that shows that the server lives."""
    return encode("heartbeat", timestamp=now_s)


def lagged(first: int | None, last: int, lost: int | None) -> bytes:
    """Return the message that says that the events from number *first* to *last* will not be told.

    *lost* is how many of them the client listens to, None where that is not known.
    *first* is None where an older database has taken the other's place, by which what was told before may not hold.
    """
    return encode("lagged", **{"from": first, "to": last, "lost": lost})
