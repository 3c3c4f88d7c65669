"""Text that we hand out and get back, under an HMAC, so that nobody can have changed it on the way.

A *purpose* goes into the signature: what was signed as a session is no request state.
"""

from __future__ import annotations

import base64
import binascii
import hmac

KEY_BYTES = 32


class Signer:
    """Seal and open texts for one *purpose* with one secret *key* (at least ``KEY_BYTES`` random bytes)."""

    def __init__(self, key: bytes, purpose: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise ValueError(f"signing key of {len(key)} bytes; expected at least {KEY_BYTES}")
        self._key = hmac.digest(key, purpose, "sha256")

    def seal(self, payload: bytes) -> str:
        """Return *payload*, readable by everybody, with its signature; the text is URL-safe."""
        text = _b64(payload)
        return f"{text}.{self._sign(text)}"

    def open(self, sealed: str) -> bytes | None:
        """Return the payload of *sealed*, None if we did not seal it for this purpose."""
        text, _, signature = sealed.partition(".")
        if not hmac.compare_digest(self._sign(text).encode(), signature.encode("utf-8", "replace")):
            return None
        try:
            return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except binascii.Error:  # pragma: no cover - what we signed is Base64
            return None

    def _sign(self, text: str) -> str:
        return _b64(hmac.digest(self._key, text.encode("utf-8", "replace"), "sha256"))


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
