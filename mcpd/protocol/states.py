"""``requestState`` of 2026-07-28: what was answered so far, in the client's hands (basic/patterns/mrtr).

The client only carries it, and is not believed: it is signed, expires, and is good for the caller and the request that
it was made for alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
import orjson

from mcpd.errors import InvalidParams
from mcpd.protocol.signing import Signer

TTL_US = 3_600_000_000
MAX_BYTES = 262_144
_OF_THE_ROUND = frozenset({"_meta", "inputResponses", "requestState"})


class _State(msgspec.Struct, frozen=True):
    caller: str
    request: str
    expires_us: int
    answers: dict[str, Any]


class StateSigner:
    """Issue and read request states with the secret *key*."""

    def __init__(self, key: bytes) -> None:
        self._signer = Signer(key, b"request state")
        self._decoder = msgspec.json.Decoder(_State)

    def issue(self, caller: str, request: str, answers: Mapping[str, Any], now_us: int) -> str:
        """Return the state in which *request* (``digest``) of *caller* has *answers*, by key."""
        state = _State(caller, request, now_us + TTL_US, dict(answers))
        return self._signer.seal(msgspec.json.encode(state))

    def read(self, text: object, caller: str, request: str, now_us: int) -> dict[str, Any]:
        """Return the answers in *text*; raises ``InvalidParams`` if it is not ours, not for this, or too old."""
        payload = self._signer.open(text) if isinstance(text, str) and len(text) <= MAX_BYTES else None
        if payload is None:
            raise InvalidParams('params "requestState": expected, unchanged, what the last result said')
        state = self._decoder.decode(payload)
        if state.caller != caller or state.request != request:
            raise InvalidParams('params "requestState": it belongs to another request')
        if state.expires_us < now_us:
            raise InvalidParams('params "requestState": it has expired; make the request again without it')
        return state.answers


def digest(method: str, params: Mapping[str, Any]) -> str:
    """Return what tells a request from others, and is the same in all its rounds."""
    salient = {name: value for name, value in params.items() if name not in _OF_THE_ROUND}
    encoded = orjson.dumps([method, salient], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(encoded).hexdigest()
