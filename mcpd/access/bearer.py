"""Bearer tokens: the one place where they are verified, for the handshake of a WebSocket and ``authenticate``."""

from __future__ import annotations

from mcpd.access.callers import Caller
from mcpd.errors import AccessDenied


def verify(_token: str) -> Caller:
    """Return whose token this is; raises ``AccessDenied``."""
    raise AccessDenied(
        "Invalid token: mcpd has no verifier of tokens yet; callers on this machine need none, the kernel tells who"
        " they are",
        http_status=401,
    )
