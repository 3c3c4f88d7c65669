"""``/oauth/token`` and ``…/revoke`` (RFC 6749 section 4.4, RFC 7009), and where clients learn of them (RFC 9728, 8414).

Who asks is a client that an administrator registered (``mcpctl client``); there is no user to ask, so no other grant.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import secrets
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, unquote_plus

from mcpd.access import credentials, scopes, tokens
from mcpd.access.rates import Rates
from mcpd.access.scopes import SCOPES
from mcpd.errors import Error, RateLimited, Unauthorized
from mcpd.protocol import jsonrpc
from mcpd.protocol.http import HttpRequest, HttpResponse
from mcpd.server import changes, rest
from mcpd.server.work import Work
from mcpd.store import clients
from mcpd.store.clients import Client, Token
from mcpd.store.database import store_errors

Handler = Callable[[HttpRequest, Work], HttpResponse]
Given = Mapping[str, str]

TRIES_PER_MIN = 30
"""How often one place may ask as one client; ten times that as whichever client it names."""

MAX_TOKENS = 10_000
_GRANT = "client_credentials"
_METADATA = "/.well-known/oauth-protected-resource"
PATHS = ("/oauth/token", "/oauth/revoke", _METADATA, f"{_METADATA}/mcp", "/.well-known/oauth-authorization-server")
_PRIVATE = b"Cache-Control: no-store\r\nPragma: no-cache\r\n"
_BASIC = b'WWW-Authenticate: Basic realm="mcpd", charset="UTF-8"\r\n'


class OauthError(Error):
    """A refusal in the words of RFC 6749 section 5.2: its ``error`` code, and a description."""

    http_status = 400

    def __init__(self, error: str, message: str, http_status: int = 400) -> None:
        super().__init__(message, http_status=http_status)
        self.error = error


def refuse(work: Work, error: Error) -> HttpResponse:
    """Return *error* as RFC 6749 section 5.2 tells it."""
    work.refusal = error.message
    code = error.error if isinstance(error, OauthError) else _CODES.get(error.http_status, "invalid_request")
    status = 400 if error.http_status == 200 else error.http_status
    answer = rest.answer({"error": code, "error_description": error.message}, status)
    return HttpResponse(status, answer.body, _PRIVATE + (_BASIC if code == "invalid_client" else b""))


_CODES = {403: "access_denied", 429: "temporarily_unavailable", 500: "server_error", 503: "temporarily_unavailable"}


class OauthEndpoint:
    """Issue and revoke tokens; tries are counted, so that nobody has us hash secrets all day."""

    def __init__(self) -> None:
        self._by_client = Rates(TRIES_PER_MIN)
        self._by_place = Rates(10 * TRIES_PER_MIN)
        self._by_path: dict[str, dict[str, Handler]] = {
            "/oauth/token": {"POST": self.token},
            "/oauth/revoke": {"POST": self.revoke},
            "/.well-known/oauth-authorization-server": {"GET": _authorization_server},
        }

    def handlers(self, path: str) -> dict[str, Handler]:
        """Return the handlers of *path*, by HTTP method."""
        return self._by_path.get(path, {"GET": _protected_resource})

    def token(self, http: HttpRequest, work: Work) -> HttpResponse:
        """Give a client that shows its secret a token for some of what it may do."""
        return self._as_client(http, work, "oauth/token", _issued)

    def revoke(self, http: HttpRequest, work: Work) -> HttpResponse:
        """End a token of the client's own; one that is none, or another's, is answered alike (RFC 7009 section 2.2)."""
        return self._as_client(http, work, "oauth/revoke", _revoked)

    def _as_client(
        self, http: HttpRequest, work: Work, operation: str, change: Callable[[Work, Client, Given], HttpResponse]
    ) -> HttpResponse:
        try:
            given = _read(http)
            if operation == "oauth/token":
                _check_grant(given)
            name, secret = _credentials(http, given)
            self._count(work, name)
            with store_errors():
                client = clients.find(work.db, name)
        except Error as error:
            return refuse(work, error)
        known = client if _proves(client, secret) else None
        asked = {"scope": given.get("scope", "")[:100]} if operation == "oauth/token" else {}

        def make() -> HttpResponse:
            if known is None:
                raise OauthError("invalid_client", "no such client, or another secret", 401)
            work.caller = f"client:{known.name}"
            return change(work, known, given)

        return changes.audited(work, operation, None if client is None else client.name, asked, make, refuse)

    def _count(self, work: Work, name: str) -> None:
        try:
            self._by_place.take(work.caller, "tokens", work.now_us)
            self._by_client.take(work.caller, name[:64], work.now_us)
        except RateLimited as error:
            work.headers = b"Retry-After: %d\r\n" % error.retry_after
            words = f"rate limit: try again in {error.retry_after} s"
            raise OauthError("temporarily_unavailable", words, 429) from None


def _proves(client: Client | None, secret: str) -> bool:
    if client is None:
        return credentials.matches(secret, None, None)
    return credentials.matches(secret, client.salt, client.digest)


def _issued(work: Work, client: Client, given: Given) -> HttpResponse:
    allowed = scopes.parse(client.scopes) or frozenset()
    wanted = scopes.parse(given.get("scope", "").strip(" "))
    if wanted is None or not wanted <= allowed:
        raise OauthError("invalid_scope", f"this client may have: {client.scopes}")
    authority = work.site.authority
    if given.get("resource", authority.resource).rstrip("/") not in (authority.resource, authority.issuer):
        raise OauthError("invalid_target", f"tokens from here are for {authority.resource}")  # RFC 8707 section 2
    granted = wanted or allowed
    if clients.count_tokens(work.db, client.name, work.now_us) >= MAX_TOKENS:
        raise OauthError("invalid_request", f"{MAX_TOKENS} tokens of this client stand; use or revoke one")
    token_id = secrets.token_hex(12)
    expires_us = work.now_us + tokens.TTL_S * 1_000_000
    clients.add_token(work.db, Token(token_id, client.name, scopes.shown(granted), work.now_us, expires_us, None))
    made = tokens.issue(authority, client.name, granted, token_id, work.now_us)
    shown = {
        "access_token": made,
        "token_type": "Bearer",
        "expires_in": tokens.TTL_S,
        "scope": scopes.shown(granted),
    }
    return HttpResponse(200, rest.answer(shown).body, _PRIVATE)


def _revoked(work: Work, client: Client, given: Given) -> HttpResponse:
    token = given.get("token")
    if not token:
        raise OauthError("invalid_request", "parameter token is missing")
    found: list[str] = []

    def standing(token_id: str, owner: str) -> bool:
        found.extend([token_id] if owner == client.name else [])
        return True

    with contextlib.suppress(Unauthorized):  # it is worth nothing, which is what was wanted
        tokens.verify(token, work.site.authority, work.now_us, standing)
    for token_id in found:
        clients.revoke(work.db, token_id, work.now_us)
    return HttpResponse(200, rest.answer({}).body, _PRIVATE)


def _check_grant(given: Given) -> None:
    grant = given.get("grant_type")
    if not grant:
        raise OauthError("invalid_request", "parameter grant_type is missing")
    if grant != _GRANT:
        raise OauthError("unsupported_grant_type", f"expected {_GRANT}")


def _read(http: HttpRequest) -> Given:
    """Return the parameters: a form (RFC 6749), or a JSON object as the old system's clients send."""
    kind = (http.header(b"content-type") or "").partition(";")[0].strip().lower()
    if kind == "application/json":
        value = jsonrpc.decode(http.body)
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise OauthError("invalid_request", "expected a JSON object of strings")
        return value
    if kind != "application/x-www-form-urlencoded":
        raise OauthError("invalid_request", "expected application/x-www-form-urlencoded or application/json")
    try:
        pairs = parse_qsl(http.body.decode("ascii"), keep_blank_values=True, strict_parsing=True, max_num_fields=20)
    except ValueError:
        raise OauthError("invalid_request", "the form is malformed") from None
    if len(dict(pairs)) != len(pairs):
        raise OauthError("invalid_request", "a parameter is there twice")
    return dict(pairs)


def _credentials(http: HttpRequest, given: Given) -> tuple[str, str]:
    """Return the client's name and secret, from the header or the body (RFC 6749 section 2.3.1)."""
    header = http.header(b"authorization")
    if header is None:
        name, secret = given.get("client_id", ""), given.get("client_secret", "")
    elif "client_secret" in given:
        raise OauthError("invalid_request", "the secret is there twice, as header and as parameter")
    else:
        name, secret = _basic(header)
    if not name or not secret:
        raise OauthError("invalid_client", "client_id and client_secret are missing", 401)
    return name, secret


def _basic(header: str) -> tuple[str, str]:
    scheme, _, encoded = header.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError
        name, _, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        raise OauthError("invalid_client", "header Authorization: expected Basic and name:secret in Base64", 401) from (
            None
        )
    return unquote_plus(name), unquote_plus(secret)


def _protected_resource(_http: HttpRequest, work: Work) -> HttpResponse:
    authority = work.site.authority
    return rest.answer(
        {
            "resource": authority.resource,
            "authorization_servers": [authority.issuer],
            "scopes_supported": SCOPES,
            "bearer_methods_supported": ["header"],
            "resource_name": "mcpd",
        }
    )


def _authorization_server(_http: HttpRequest, work: Work) -> HttpResponse:
    issuer = work.site.authority.issuer
    methods = ["client_secret_basic", "client_secret_post"]
    return rest.answer(
        {
            "issuer": issuer,
            "token_endpoint": f"{issuer}/oauth/token",
            "revocation_endpoint": f"{issuer}/oauth/revoke",
            "token_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_methods_supported": methods,
            "grant_types_supported": [_GRANT],
            "response_types_supported": [],
            "scopes_supported": SCOPES,
        }
    )
