"""Access tokens: signed JSON (RFC 9068's claims) that say which client calls and what it may do. No clock, no store.

A JWT that any library reads, under HS256 with a key derived from the one that signs sessions: who verifies a token
(mcpd-rpc, mcpd-ws) is who issues it, so a public key would serve nobody. There is one algorithm and one header, which
is compared as text and never followed; so nothing that a token says of itself can choose how it is checked.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from mcpd.access import scopes
from mcpd.access.callers import Caller
from mcpd.access.scopes import Scopes
from mcpd.errors import Unauthorized

TTL_S = 86_400
MAX_CHARS = 4096
_SKEW_S = 60
_PURPOSE = b"access token"


@dataclass(frozen=True, slots=True)
class Authority:
    """Who issues tokens (``issuer``, a URL), for what (``resource``, the URL of ``/mcp``), and under which ``key``."""

    key: bytes
    issuer: str
    resource: str

    @staticmethod
    def of(secret: bytes, public_url: str) -> Authority:
        """Return the authority of the daemon whose *secret* signs and whose clients reach it under *public_url*."""
        issuer = public_url.rstrip("/")
        return Authority(hmac.digest(secret, _PURPOSE, "sha256"), issuer, f"{issuer}/mcp")


class Claims(msgspec.Struct, frozen=True):
    """What a token says; ``sub`` is the client, ``scope`` words between spaces, times in seconds since the epoch."""

    iss: str
    aud: str
    sub: str
    exp: int
    iat: int
    jti: str
    scope: str


Standing = Callable[[str, str], bool]
"""Say whether the token (``jti``) of the client (``sub``) still stands: issued, and not revoked since."""


def issue(authority: Authority, client: str, granted: Scopes, token_id: str, now_us: int) -> str:
    """Return a new token for *client* with the scopes *granted*, known by *token_id*."""
    now_s = now_us // 1_000_000
    claims = Claims(authority.issuer, authority.resource, client, now_s + TTL_S, now_s, token_id, scopes.shown(granted))
    text = f"{_HEADER}.{_b64(msgspec.json.encode(claims))}"
    return f"{text}.{_signature(text, authority)}"


def verify(token: str, authority: Authority, now_us: int, standing: Standing) -> Caller:
    """Return the client that *token* names, as a caller; raises ``Unauthorized``.

    Its reason is ``malformed``, ``bad_signature``, ``wrong_issuer``, ``wrong_audience``, ``not_yet_valid``,
    ``expired`` or ``revoked``. The signature is checked before anything else that the token says is believed.
    """
    claims = _read(token, authority)
    now_s = now_us // 1_000_000
    if claims.iss != authority.issuer:
        raise _refused("it was issued by somebody else", "wrong_issuer")
    if claims.aud != authority.resource:
        raise _refused("it is for another server", "wrong_audience")
    if claims.iat > now_s + _SKEW_S:
        raise _refused("it is from the future; do the clocks agree?", "not_yet_valid")
    if claims.exp <= now_s:
        raise _refused("it has expired; get a new one", "expired")
    if not standing(claims.jti, claims.sub):
        raise _refused("it was revoked", "revoked")
    granted = scopes.parse(claims.scope)
    if granted is None:
        raise _refused("its scopes are none of ours", "malformed")
    return Caller(f"client:{claims.sub}", True, scopes=granted, is_client=True)


def _read(token: str, authority: Authority) -> Claims:
    if len(token) > MAX_CHARS or not token.isascii() or token.count(".") != 2:
        raise _refused("it is no token", "malformed")
    head, body, signature = token.split(".")
    if head != _HEADER or not hmac.compare_digest(_signature(f"{head}.{body}", authority), signature):
        raise _refused("it was not made here, or was changed", "bad_signature")
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=Claims)
    except (msgspec.DecodeError, binascii.Error, UnicodeDecodeError, RecursionError):
        raise _refused("it does not say what a token says", "malformed") from None


def _signature(text: str, authority: Authority) -> str:
    return _b64(hmac.digest(authority.key, text.encode("ascii"), "sha256"))


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


_HEADER = _b64(b'{"alg":"HS256","typ":"at+jwt"}')


def _refused(what: str, reason: str) -> Unauthorized:
    return Unauthorized(f"the access token does not hold: {what}", reason)


def bearer(authorization: bytes) -> str:
    """Return the token in the value of an ``Authorization`` header (RFC 6750 section 2.1); raises ``Unauthorized``."""
    scheme, _, token = authorization.decode("latin-1").partition(" ")
    token = token.strip(" ")
    if scheme.lower() != "bearer" or not token or any(character in token for character in " ,\t"):
        raise Unauthorized("header Authorization: expected Bearer and one token", "malformed")
    return token
