"""Session ids that describe themselves: signed, so that any process with the key can tell who opened what.

A restart forgets nothing, since nothing is kept: ``Mcp-Session-Id`` holds the negotiated version, the caller and the
time, under an HMAC (2025-11-25 basic/transports, session management: ids of visible ASCII, cryptographically secure).
Key, clock and randomness are arguments.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets

import msgspec

from mcpd.errors import SessionNotFound

_CACHE_SIZE = 4096
KEY_BYTES = 32


class Session(msgspec.Struct, frozen=True, gc=False):
    """What an id says: the negotiated ``version``, the ``caller`` it is bound to, when it was issued, a nonce."""

    version: str
    caller: str
    issued_us: int
    nonce: str


class SessionSigner:
    """Issue and read session ids with one secret *key* (at least ``KEY_BYTES`` random bytes)."""

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise ValueError(f"session key of {len(key)} bytes; expected at least {KEY_BYTES}")
        self._key = key
        self._known: dict[str, Session] = {}
        self._decoder = msgspec.json.Decoder(Session)

    def issue(self, version: str, caller: str, now_us: int) -> str:
        """Return a new id for *caller* (its name) who negotiated *version* at *now_us* (µs since the epoch)."""
        session = Session(version, caller, now_us, secrets.token_hex(8))
        payload = _b64(msgspec.json.encode(session))
        return f"{payload}.{self._sign(payload)}"

    def read(self, session_id: str, caller: str) -> Session:
        """Return what *session_id* says; raises ``SessionNotFound`` if it is not ours or not *caller*'s."""
        session = self._known.get(session_id) or self._verify(session_id)
        if session.caller != caller:
            raise SessionNotFound("no such session; start a new one with initialize")
        return session

    def _verify(self, session_id: str) -> Session:
        payload, _, signature = session_id.partition(".")
        if not hmac.compare_digest(self._sign(payload).encode(), signature.encode("utf-8", "replace")):
            raise SessionNotFound("no such session; start a new one with initialize")
        try:
            session = self._decoder.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (binascii.Error, msgspec.DecodeError) as exc:
            raise SessionNotFound("no such session; start a new one with initialize") from exc
        if len(self._known) >= _CACHE_SIZE:
            self._known.clear()
        self._known[session_id] = session
        return session

    def _sign(self, payload: str) -> str:
        return _b64(hmac.digest(self._key, payload.encode("utf-8", "replace"), "sha256"))


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
