"""Session ids that describe themselves: signed, so that any process with the key can tell who opened what.

A restart forgets nothing, since nothing is kept: ``Mcp-Session-Id`` holds the negotiated version, the caller, what the
client can do and the time (2025-11-25 basic/transports, session management: ids of visible ASCII, cryptographically
secure). Key, clock and randomness are arguments.
"""

from __future__ import annotations

import secrets
from typing import Any

import msgspec

from mcpd.errors import SessionNotFound
from mcpd.protocol.signing import Signer

_CACHE_SIZE = 4096


class Session(msgspec.Struct, frozen=True, gc=False):
    """What an id says.

    The negotiated ``version``, the ``caller`` it is bound to, when it was issued, a nonce, and what the client can do
    (``capabilities`` of ``initialize``, those that we make use of).
    """

    version: str
    caller: str
    issued_us: int
    nonce: str
    capabilities: dict[str, Any] = {}


class SessionSigner:
    """Issue and read session ids with one secret *key* (at least ``signing.KEY_BYTES`` random bytes)."""

    def __init__(self, key: bytes) -> None:
        self._signer = Signer(key, b"session")
        self._known: dict[str, Session] = {}
        self._decoder = msgspec.json.Decoder(Session)

    def issue(self, version: str, caller: str, now_us: int, capabilities: dict[str, Any] | None = None) -> str:
        """Return a new id for *caller* (its name) who negotiated *version* at *now_us* (µs since the epoch)."""
        session = Session(version, caller, now_us, secrets.token_hex(8), capabilities or {})
        return self._signer.seal(msgspec.json.encode(session))

    def read(self, session_id: str, caller: str) -> Session:
        """Return what *session_id* says; raises ``SessionNotFound`` if it is not ours or not *caller*'s."""
        session = self._known.get(session_id) or self._verify(session_id)
        if session.caller != caller:
            raise SessionNotFound("no such session; start a new one with initialize")
        return session

    def _verify(self, session_id: str) -> Session:
        payload = self._signer.open(session_id)
        if payload is None:
            raise SessionNotFound("no such session; start a new one with initialize")
        try:
            session = self._decoder.decode(payload)
        except msgspec.DecodeError as exc:
            raise SessionNotFound("no such session; start a new one with initialize") from exc
        if len(self._known) >= _CACHE_SIZE:
            self._known.clear()
        self._known[session_id] = session
        return session
