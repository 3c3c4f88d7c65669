"""``/api/mcp/clients`` and ``/api/mcp/tokens``: who may get access tokens, and which there are; for administrators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from mcpd.access import credentials, scopes
from mcpd.errors import AccessDenied, Error, InvalidRequest
from mcpd.protocol import jsonrpc
from mcpd.protocol.http import HttpRequest, HttpResponse
from mcpd.server import changes, rest
from mcpd.server.work import Work
from mcpd.store import clients, events
from mcpd.store.clients import Client, Token
from mcpd.store.database import store_errors
from mcpd.times import rfc3339, stated

Handler = Callable[[HttpRequest, Work], HttpResponse]
MAX_ITEMS = 1000


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body that registers a client."""

    name: str
    scopes: list[str]


def _listing(_http: HttpRequest, work: Work) -> HttpResponse:
    return _read(work, lambda: {"clients": [_shown(found) for found in clients.listing(work.db, MAX_ITEMS)]})


def _get(_http: HttpRequest, work: Work) -> HttpResponse:
    return _read(work, lambda: _shown(_find(work)) | {"tokens": _live(work)})


def _tokens(_http: HttpRequest, work: Work) -> HttpResponse:
    return _read(work, lambda: {"tokens": [_token(kept) for kept in clients.tokens(work.db, work.now_us, MAX_ITEMS)]})


def _add(http: HttpRequest, work: Work) -> HttpResponse:
    """Register a client; the answer has its secret, which nobody is told again."""
    try:
        wanted = _wanted(http, work)
    except Error as error:
        return rest.refuse(work, error)

    def change() -> HttpResponse:
        if clients.find(work.db, wanted.name) is not None:
            raise InvalidRequest(f"there is a client {wanted.name} already", http_status=409)
        granted = scopes.shown(frozenset(wanted.scopes))
        salt, digest, secret = _made_secret()
        client = Client(wanted.name, salt, digest, granted, work.now_us, work.caller, None)
        clients.add(work.db, client)
        _tell(work, "client.added", wanted.name)
        return rest.answer(_shown(client) | {"client_secret": secret}, 201)

    return changes.audited(work, "clients/add", wanted.name, {"scopes": wanted.scopes}, change)


def _rotate(_http: HttpRequest, work: Work) -> HttpResponse:
    """Give a client another secret, as ``_add`` does; its tokens end."""

    def change() -> HttpResponse:
        _for_people(work)
        client = _find(work)
        salt, digest, secret = _made_secret()
        clients.rotate(work.db, client.name, salt, digest, work.now_us)
        _tell(work, "client.rotated", client.name)
        return rest.answer(_shown(_find(work)) | {"client_secret": secret})

    return changes.audited(work, "clients/rotate", _name(work), {}, change)


def _remove(_http: HttpRequest, work: Work) -> HttpResponse:
    def change() -> HttpResponse:
        _for_people(work)
        client = _find(work)
        clients.remove(work.db, client.name, work.now_us)
        _tell(work, "client.removed", client.name)
        return rest.answer({"name": client.name, "removed": True})

    return changes.audited(work, "clients/remove", _name(work), {}, change)


def _revoke(_http: HttpRequest, work: Work) -> HttpResponse:
    def change() -> HttpResponse:
        if clients.find_token(work.db, work.target) is None:
            raise InvalidRequest("there is no token of that id; mcpctl token list shows them", http_status=404)
        revoked = clients.revoke(work.db, work.target, work.now_us)
        return rest.answer({"id": work.target, "revoked": revoked})

    return changes.audited(work, "tokens/revoke", work.target[:64], {}, change)


def _wanted(http: HttpRequest, work: Work) -> Wanted:
    _for_people(work)
    try:
        wanted = msgspec.convert(jsonrpc.decode(http.body), Wanted)
    except msgspec.ValidationError as exc:
        raise InvalidRequest(f"the body is no client: {exc}") from exc
    if not credentials.CLIENT_NAME.fullmatch(wanted.name):
        raise InvalidRequest("name: expected 1 to 64 of a-z 0-9 . _ -, the first a letter or digit")
    unknown = [scope for scope in wanted.scopes if scope not in scopes.ALL]
    if unknown or not wanted.scopes:
        raise InvalidRequest(f"scopes: expected some of {', '.join(scopes.SCOPES)}")
    return wanted


def _for_people(work: Work) -> None:
    """Raise ``AccessDenied`` for a program: whoever has a token must not get more of them than it was given."""
    if work.by_client or work.by_agent:
        raise AccessDenied("clients are registered by people on this machine, not by those who have a token")


def _find(work: Work) -> Client:
    client = clients.find(work.db, work.target)
    if client is None:
        raise InvalidRequest("there is no such client; mcpctl client list shows them", http_status=404)
    return client


def _name(work: Work) -> str:
    return work.target[:64]


def _made_secret() -> tuple[bytes, bytes, str]:
    secret = credentials.new_secret()
    return (*credentials.hashed(secret), secret)


def _tell(work: Work, topic: str, name: str) -> None:
    events.add(work.db, work.now_us, topic, None, {"client": name, "by": work.caller})


def _live(work: Work) -> list[dict[str, Any]]:
    found = clients.tokens(work.db, work.now_us, MAX_ITEMS)
    return [_token(token) for token in found if token.client == work.target]


def _shown(client: Client) -> dict[str, Any]:
    rotated = client.rotated_us
    return {
        "client_id": client.name,
        "scopes": client.scopes.split(),
        "created_at": rfc3339(client.created_us),
        "created_by": client.created_by,
        "rotated_at": stated(rotated),
    }


def _token(token: Token) -> dict[str, Any]:
    return {
        "id": token.id,
        "client_id": token.client,
        "scopes": token.scopes.split(),
        "issued_at": rfc3339(token.issued_us),
        "expires_at": rfc3339(token.expires_us),
        "revoked": token.revoked_us is not None,
    }


def _read(work: Work, read: Callable[[], dict[str, Any]]) -> HttpResponse:
    try:
        with store_errors():
            return rest.answer(read())
    except Error as error:
        return rest.refuse(work, error)


HANDLERS: Mapping[str, Mapping[str, Handler]] = {
    "/api/mcp/clients": {"GET": _listing, "POST": _add},
    "/api/mcp/clients/{name}": {"GET": _get, "POST": _rotate, "DELETE": _remove},
    "/api/mcp/tokens": {"GET": _tokens},
    "/api/mcp/tokens/{name}": {"DELETE": _revoke},
}
"""Path → what answers there, by HTTP method."""
