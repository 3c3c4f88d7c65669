"""``/api/mcp/``'s ``activities``, ``components``, ``conflicts``, ``audit``, ``security``, ``ws-config``: only read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from mcpd.access.scopes import SCOPES
from mcpd.access.tokens import TTL_S
from mcpd.errors import Error, InvalidRequest
from mcpd.legacy import names
from mcpd.protocol.http import HttpRequest, HttpResponse
from mcpd.resources import files
from mcpd.server import records, rest
from mcpd.server.work import Work
from mcpd.store.approvals import TTL_US
from mcpd.store.database import store_errors

MAX_ITEMS = 1000
_LIMIT = 20
_AUDIT_LIMIT = 100
_MAX_OFFSET = 1_000_000_000
_POLL_MS = 10_000
_RECONNECT_MS = 5_000

Query = Mapping[str, str]
Read = Callable[[Work, Query], object]


def _answer(read: Read, known: frozenset[str], http: HttpRequest, work: Work) -> HttpResponse:
    try:
        with store_errors():
            return rest.answer(read(work, _query(http, known)))
    except Error as error:
        return rest.refuse(work, error)


def _query(http: HttpRequest, known: frozenset[str]) -> Query:
    """Return the query's parameters; those of the old system's clients that mean nothing here (``_t``) are let pass."""
    try:
        return {name: value for name, value in parse_qsl(http.query, max_num_fields=50) if name in known}
    except ValueError as exc:
        raise InvalidRequest(f"the query is malformed: {exc}") from exc


def _number(query: Query, name: str, default: int, most: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise InvalidRequest(f"parameter '{name}': expected a whole number from 0, got {text[:40]!r}")
    return min(int(text), most)


def _activities(work: Work, query: Query) -> object:
    limit, offset = _number(query, "limit", _LIMIT, MAX_ITEMS), _number(query, "offset", 0, _MAX_OFFSET)
    agent = query.get("agent")
    items, total = records.activity_items(
        work.db, None if agent is None else names.agent(agent), query.get("category"), limit, offset
    )
    has_more = offset + len(items) < total
    return {"activities": items, "total": total, "limit": limit, "offset": offset, "has_more": has_more}


def _components(work: Work, query: Query) -> object:
    return records.component_items(work.db, _number(query, "limit", MAX_ITEMS, MAX_ITEMS))


def _conflicts(work: Work, query: Query) -> object:
    return records.conflict_items(work.db, work.now_us, _number(query, "limit", MAX_ITEMS, MAX_ITEMS))


def _audit(work: Work, query: Query) -> object:
    limit, offset = _number(query, "limit", _AUDIT_LIMIT, MAX_ITEMS), _number(query, "offset", 0, _MAX_OFFSET)
    logs = records.audit_items(work.db, query.get("session_id"), limit, offset)
    return {"logs": logs, "count": len(logs), "limit": limit, "offset": offset}


def _security(work: Work, _query: Query) -> object:
    per_min = work.site.rates.per_min
    policies = {
        "token_expiry_hours": TTL_S / 3600,
        "consent_expiry_minutes": TTL_US / 60e6,
        "rate_limit_per_minute": per_min or None,
    }
    return {
        "security": {
            "oauth_enabled": True,
            "consent_flow": True,
            "path_protection": True,
            "rate_limiting": bool(per_min),
            "audit_logging": True,
            "dangerous_operations": [tool.name for tool in work.site.tools.values() if tool.destructive],
        },
        "policies": {
            **policies,
            "consent_by": "elicitation" if work.site.asks_clients else "administrator",
            "scopes": SCOPES,
            "token_audience": work.site.authority.resource,
            "path_blacklist": files.FORBIDDEN,
        },
    }


def _ws_config(http: HttpRequest, work: Work) -> HttpResponse:
    """Say where mcpd-ws is: under the name by which the client reached us, on its own port."""
    websockets = work.site.websockets
    listens = websockets.listens()
    name = urlsplit(f"//{http.header(b'host') or 'localhost'}").hostname or "localhost"
    host = f"[{name}]" if ":" in name else name
    return rest.answer(
        {
            "ws_enabled": listens,
            "ws_url": f"ws://{host}:{websockets.port}" if listens else None,
            "polling_fallback": True,
            "polling_interval": _POLL_MS,
            "reconnect_interval": _RECONNECT_MS,
        }
    )


def _handler(read: Read, *known: str) -> Callable[[HttpRequest, Work], HttpResponse]:
    return partial(_answer, read, frozenset(known))


HANDLERS: Mapping[str, Callable[[HttpRequest, Work], HttpResponse]] = {
    "/api/mcp/activities": _handler(_activities, "limit", "offset", "agent", "category"),
    "/api/mcp/components": _handler(_components, "limit"),
    "/api/mcp/conflicts": _handler(_conflicts, "limit"),
    "/api/mcp/audit": _handler(_audit, "limit", "offset", "session_id"),
    "/api/mcp/security": _handler(_security),
    "/api/mcp/ws-config": _ws_config,
}
"""Path → what answers ``GET`` there."""


def parameters(path: str) -> tuple[str, ...]:
    """Return the query parameters that *path* knows."""
    handler: Any = HANDLERS.get(path)
    return tuple(sorted(handler.args[1])) if isinstance(handler, partial) else ()
