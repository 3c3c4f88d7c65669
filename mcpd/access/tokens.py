"""Access tokens: signed JSON (RFC 9068's claims) that say which client calls and what it may do. No clock, no store.

HS256, under a key derived from the one that signs sessions: who verifies a token (mcpd-rpc, mcpd-ws) is who issues it,
so a public key would serve nobody. The algorithm and the type in a token's header are compared, never followed.
"""

from __future__ import annotations

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
_ALGORITHM = "HS256"
_TYPE = "at+jwt"
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
    import jwt  # not before it is needed: it takes 50 ms, and most daemons never see a token

    now_s = now_us // 1_000_000
    claims = Claims(authority.issuer, authority.resource, client, now_s + TTL_S, now_s, token_id, scopes.shown(granted))
    return jwt.encode(msgspec.to_builtins(claims), authority.key, _ALGORITHM, headers={"typ": _TYPE})


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
    return Caller(f"client:{claims.sub}", True, scopes=granted, is_client=True, token_id=claims.jti)


def _read(token: str, authority: Authority) -> Claims:
    import jwt  # as above

    if len(token) > MAX_CHARS or not token.isascii():
        raise _refused(f"it is longer than {MAX_CHARS} characters, or not ASCII", "malformed")
    try:
        header = jwt.get_unverified_header(token)
        if header.get("alg") != _ALGORITHM or header.get("typ") != _TYPE or "crit" in header:
            raise _refused("it was not made here", "bad_signature")
        # The signature alone: times, issuer and audience are compared above, where the clock is, and exactly.
        payload = jwt.api_jws.decode(token, authority.key, [_ALGORITHM])
        return msgspec.json.decode(payload, type=Claims)
    except jwt.InvalidSignatureError:
        raise _refused("it was not made here, or was changed", "bad_signature") from None
    except (jwt.InvalidTokenError, msgspec.DecodeError, RecursionError, ValueError):
        raise _refused("it is no token", "malformed") from None


def _refused(what: str, reason: str) -> Unauthorized:
    return Unauthorized(f"the access token does not hold: {what}", reason)


def bearer(authorization: bytes) -> str:
    """Return the token in the value of an ``Authorization`` header (RFC 6750 section 2.1); raises ``Unauthorized``."""
    scheme, _, token = authorization.decode("latin-1").partition(" ")
    token = token.strip(" ")
    if scheme.lower() != "bearer" or not token or any(character in token for character in " ,\t"):
        raise Unauthorized("header Authorization: expected Bearer and one token", "malformed")
    return token
