"""Clients' names and secrets: made at random, shown once, kept as a salted hash alone."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

CLIENT_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
MAX_SECRET_CHARS = 256
_SALT_BYTES = 16
_COST = 1 << 10
"""Milliseconds, on the event loop. A secret is 256 random bits: no cost could make guessing it any harder."""


def new_secret() -> str:
    """Return a new secret."""
    return f"mcpd_{secrets.token_urlsafe(32)}"


def hashed(secret: str) -> tuple[bytes, bytes]:
    """Return a new salt, and the hash of *secret* under it."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return salt, _hash(secret, salt)


def matches(secret: str, salt: bytes | None, digest: bytes | None) -> bool:
    """Say whether *secret* is the one behind *salt* and *digest*.

    It takes the same time for a client that does not exist (None), so that nobody learns which do.
    """
    found = _hash(secret[:MAX_SECRET_CHARS], salt or bytes(_SALT_BYTES))
    is_it = hmac.compare_digest(found, digest or bytes(len(found)))
    return is_it and digest is not None and len(secret) <= MAX_SECRET_CHARS


def _hash(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode("utf-8", "replace"), salt=salt, n=_COST, r=8, p=1)
