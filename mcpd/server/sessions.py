"""Sessions of the handshake era: opened by ``initialize``, found by their signed id, ended by ``DELETE``.

Nothing is kept of a session that lives, so a restart cannot lose one and a flood of them costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mcpd.errors import SessionNotFound
from mcpd.protocol.sessions import Session, SessionSigner
from mcpd.server.work import Work
from mcpd.store import sessions
from mcpd.store.database import Database

MAX_AGE_US = 30 * 86_400 * 1_000_000


class Sessions:
    """Open, find and end sessions whose ids *signer* signs; those ended before are read from *db*."""

    def __init__(self, signer: SessionSigner, db: Database) -> None:
        self._signer = signer
        self._ended = sessions.ended(db)

    def open(self, work: Work, version: str, capabilities: dict[str, Any]) -> str:
        """Return the id of a new session of the caller, who negotiated *version* and has *capabilities*."""
        return self._signer.issue(version, work.caller, work.now_us, capabilities)

    def find(self, work: Work, session_id: str) -> Session:
        """Return the session *session_id*; raises ``SessionNotFound`` unless it is the caller's and still open."""
        session = self._signer.read(session_id, work.caller)
        if session.nonce in self._ended or session.issued_us < work.now_us - MAX_AGE_US:
            raise SessionNotFound("this session has ended; start a new one with initialize")
        work.session_id, work.capabilities = session.nonce, session.capabilities
        return session

    def end(self, work: Work, session_id: str, stop: Callable[[Work], None]) -> None:
        """End the session *session_id* for good, also over restarts; *stop* ends what it has under way."""
        nonce = self.find(work, session_id).nonce

        def forget() -> None:
            stop(work)
            sessions.end(work.db, nonce, work.now_us)
            sessions.forget_before(work.db, work.now_us - MAX_AGE_US)

        work.stored = True
        work.turn.run(forget)
        self._ended.add(nonce)
