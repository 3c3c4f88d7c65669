"""Pagination with opaque cursors (2026-07-28 server/utilities/pagination; the same in every revision).

A cursor says behind which item of which list the next page begins, so that a page stays right when items come and go.
It carries a checksum: what we did not give out, or gave out for another list, is refused and never guessed at.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from mcpd.errors import InvalidParams

PAGE_SIZE = 100
"""How many items of a list one answer holds."""

MAX_CURSOR = 4096
_SUM_BYTES = 8

Position = list[str]
"""What identifies the last item of a page within its list."""

_DECODER = msgspec.json.Decoder(list[str])


def encode(listing: str, position: Position) -> str:
    """Return the cursor that continues the list *listing* (its method) behind *position*."""
    payload = msgspec.json.encode([listing, *position])
    return base64.urlsafe_b64encode(_checksum(payload) + payload).rstrip(b"=").decode("ascii")


def position(listing: str, params: Mapping[str, Any]) -> Position | None:
    """Return the position that ``cursor`` in *params* stands for, None for the first page; raises ``InvalidParams``.

    The empty string is a cursor, and none of ours.
    """
    cursor = params.get("cursor")
    if cursor is None:
        return None
    if not isinstance(cursor, str):
        raise InvalidParams(f'params "cursor": expected a string, got {type(cursor).__name__}')
    try:
        kind, *found = _decode(cursor)
    except ValueError as exc:
        raise unknown(listing) from exc
    if kind != listing or not found:
        raise unknown(listing)
    return found


def unknown(listing: str) -> InvalidParams:
    """Return the error for a cursor that *listing* cannot continue from."""
    return InvalidParams(f'params "cursor": not a cursor that {listing} gave out; leave it out for the first page')


def _decode(cursor: str) -> list[str]:
    if len(cursor) > MAX_CURSOR:
        raise ValueError(len(cursor))
    sent = cursor.encode("ascii")
    try:
        raw = base64.b64decode(sent + b"=" * (-len(sent) % 4), altchars=b"-_", validate=True)
        if base64.urlsafe_b64encode(raw).rstrip(b"=") != sent:
            raise ValueError(cursor)  # a second spelling of the same bytes
        checksum, payload = raw[:_SUM_BYTES], raw[_SUM_BYTES:]
        if checksum != _checksum(payload):
            raise ValueError(cursor)
        return _DECODER.decode(payload)
    except (binascii.Error, msgspec.DecodeError) as exc:
        raise ValueError(cursor) from exc


def _checksum(payload: bytes) -> bytes:
    return hashlib.blake2s(payload, digest_size=_SUM_BYTES, person=b"mcpd cur").digest()
