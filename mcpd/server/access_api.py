"""The description of the endpoints for tokens, clients, consent and the database's performance."""

from __future__ import annotations

from mcpd.access.scopes import SCOPES
from mcpd.server.api import Operation, Schema, list_of, object_of

_TEXT: Schema = {"type": "string"}
_OPTIONAL_TEXT: Schema = {"type": ["string", "null"]}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_FIGURE: Schema = {"type": ["number", "null"]}
_TIME: Schema = {"type": "string", "format": "date-time"}
_YES: Schema = {"type": "boolean"}
_SCOPES = list_of({"enum": list(SCOPES)})
_FORM = ("application/x-www-form-urlencoded",)
_STORE = {503: "The database cannot be used for now."}
_NO_CLIENT = {404: "There is no such client."}

_CREDENTIALS: Schema = {
    "type": "object",
    "properties": {"grant_type": {"const": "client_credentials"}, "client_id": _TEXT, "client_secret": _TEXT,
                   "scope": _TEXT},
    "required": ["grant_type"],
}  # fmt: skip
_REVOCATION: Schema = {
    "type": "object",
    "properties": {"token": _TEXT, "client_id": _TEXT, "client_secret": _TEXT},
    "required": ["token"],
}
_REFUSED = {
    400: "What RFC 6749 section 5.2 names.",
    401: "invalid_client",
    429: "Too many tries; Retry-After.",
} | _STORE
_TOKEN = object_of(
    access_token=_TEXT, token_type={"const": "Bearer"}, expires_in=_COUNT, scope=_TEXT
)  # fmt: skip
_CLIENT = object_of(
    client_id=_TEXT, scopes=_SCOPES, created_at=_TIME, created_by=_TEXT, rotated_at=_OPTIONAL_TEXT
)  # fmt: skip
_ISSUED = object_of(
    id=_TEXT, client_id=_TEXT, scopes=_SCOPES, issued_at=_TIME, expires_at=_TIME, revoked=_YES
)  # fmt: skip
_SECRET: Schema = {"allOf": [_CLIENT, object_of(client_secret=_TEXT)]}
_CONSENT = object_of(
    consent_id=_TEXT, status={"enum": ["pending", "approved", "denied", "used", "expired"]}, operation=_TEXT,
    caller=_TEXT, message=_TEXT, arguments={}, via={"enum": ["elicitation", "administrator"]}, created_at=_TIME,
    expires_at=_TIME, decided_by=_OPTIONAL_TEXT, reason=_OPTIONAL_TEXT,
)  # fmt: skip
_DECISION: Schema = {
    "type": "object",
    "properties": {"decision": {"enum": ["approved", "denied"]}, "approved": _YES, "reason": _TEXT},
}
_METADATA = object_of(
    resource=_TEXT, authorization_servers=list_of(_TEXT), scopes_supported=list_of(_TEXT),
    bearer_methods_supported=list_of(_TEXT),
)  # fmt: skip
_FIGURES = object_of(
    timestamp=_TIME, request_count=_COUNT, avg_response_time=_FIGURE, p95_response_time=_FIGURE,
    p99_response_time=_FIGURE, error_rate=_FIGURE, cpu_usage=_FIGURE, memory_usage=_FIGURE, cache_hit_rate=_FIGURE,
    db_query_time=_FIGURE, concurrent_connections=_FIGURE,
)  # fmt: skip
_SLOW = list_of(
    object_of(query_hash=_TEXT, query=_TEXT, avg_time=_FIGURE, max_time=_FIGURE, execution_count=_COUNT,
              last_seen=_TIME, suggestions=list_of(_TEXT))
)  # fmt: skip
_REPORT = object_of(
    report_time=_TIME, duration_minutes=_COUNT, metrics={"type": "object"},
    cache_performance=object_of(average_hit_rate=_FIGURE, total_hits=_COUNT, total_misses=_COUNT),
    slow_queries=_SLOW, recommendations=list_of(_TEXT),
)  # fmt: skip
_ANALYZED = object_of(query_hash=_TEXT, query=_TEXT, suggestions=list_of(_TEXT))

OPERATIONS: dict[str, Operation] = {
    "POST /oauth/token": Operation(
        "Get an access token, as a registered client (RFC 6749 section 4.4)",
        {200: ("The token; it holds for a day.", _TOKEN)},
        _CREDENTIALS,
        _REFUSED,
        other_bodies=_FORM,
    ),
    "POST /oauth/revoke": Operation(
        "End an access token (RFC 7009)",
        {200: ("It does not hold, whatever it was.", {"type": "object"})},
        _REVOCATION,
        _REFUSED,
        other_bodies=_FORM,
    ),
    **{
        f"GET {path}": Operation("Which tokens are taken here (RFC 9728)", {200: ("It.", _METADATA)})
        for path in ("/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp")
    },
    "GET /.well-known/oauth-authorization-server": Operation(
        "Where and how tokens are given (RFC 8414)",
        {200: ("It.", object_of(issuer=_TEXT, token_endpoint=_TEXT, grant_types_supported=list_of(_TEXT)))},
    ),
    "GET /api/mcp/clients": Operation(
        "The registered clients", {200: ("They.", object_of(clients=list_of(_CLIENT)))}, refusals=_STORE
    ),
    "POST /api/mcp/clients": Operation(
        "Register a client",
        {201: ("Registered; its secret is not shown again.", _SECRET)},
        object_of(name=_TEXT, scopes=_SCOPES),
        {400: "The body is no client.", 409: "There is one of that name."} | _STORE,
    ),
    "GET /api/mcp/clients/{name}": Operation(
        "One client and its tokens",
        {200: ("It.", {"allOf": [_CLIENT, object_of(tokens=list_of(_ISSUED))]})},
        refusals=_NO_CLIENT | _STORE,
    ),
    "POST /api/mcp/clients/{name}": Operation(
        "Give a client another secret; its tokens end", {200: ("Done.", _SECRET)}, refusals=_NO_CLIENT | _STORE
    ),
    "DELETE /api/mcp/clients/{name}": Operation(
        "Remove a client; its tokens end",
        {200: ("Removed.", object_of(name=_TEXT, removed={"const": True}))},
        refusals=_NO_CLIENT | _STORE,
    ),
    "GET /api/mcp/tokens": Operation(
        "The tokens that have not expired, newest first",
        {200: ("They.", object_of(tokens=list_of(_ISSUED)))},
        refusals=_STORE,
    ),
    "DELETE /api/mcp/tokens/{name}": Operation(
        "Revoke a token, by its id",
        {200: ("It does not hold any more.", object_of(id=_TEXT, revoked=_YES))},
        refusals={404: "There is no such token."} | _STORE,
    ),
    "GET /api/mcp/consent": Operation(
        "What waits, or waited, for consent, newest first; the caller's own unless it is an administrator",
        {200: ("They.", object_of(consents=list_of(_CONSENT)))},
        refusals=_STORE,
    ),
    "GET /api/mcp/consent/{name}": Operation(
        "One request for consent, by its id",
        {200: ("It.", _CONSENT)},
        refusals={404: "There is none, or it is another caller's."} | _STORE,
    ),
    "POST /api/mcp/consent/{name}": Operation(
        "Approve or deny it; administrators only",
        {200: ("Decided.", object_of(consent_id=_TEXT, decision=_TEXT, success={"const": True}))},
        _DECISION,
        {400: "No decision.", 404: "There is none.", 409: "It was decided, or has expired.", 415: "Content-Type."}
        | _STORE,
    ),
    "GET /api/mcp/performance/metrics": Operation(
        "How long the audited requests of the last hour took, in seconds; null is not measured",
        {200: ("The figures.", _FIGURES)},
        refusals=_STORE,
    ),
    "GET /api/mcp/performance/report": Operation(
        "The last hour summed up, times in seconds", {200: ("The report.", _REPORT)}, refusals=_STORE
    ),
    "GET /api/mcp/performance/slow-queries": Operation(
        "The slowest queries of the last hour, times in seconds",
        {200: ("They.", object_of(slow_queries=_SLOW, duration_minutes=_COUNT, timestamp=_TIME))},
        refusals=_STORE,
    ),
    "GET /api/mcp/performance/cache-stats": Operation(
        "The caches of the database, counted since the daemon started; memory in bytes",
        {
            200: (
                "They.",
                object_of(
                    caches=list_of(
                        object_of(cache_type=_TEXT, hits=_COUNT, misses=_COUNT, hit_rate=_FIGURE, memory_usage=_COUNT)
                    ),
                    timestamp=_TIME,
                ),
            )
        },
        refusals=_STORE,
    ),
    "POST /api/mcp/performance/analyze": Operation(
        "What the database would do for a query, which is not run; without one, what strikes one in the slow ones",
        {200: ("It.", object_of(queries=list_of(_ANALYZED), timestamp=_TIME))},
        {"type": "object", "properties": {"query": _TEXT}},
        {400: "It is not one query that only reads."} | _STORE,
        body_optional=True,
    ),
}
