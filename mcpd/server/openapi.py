"""The OpenAPI 3.1 document of our HTTP endpoints, made from the routes that are served."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from mcpd import __version__
from mcpd.plugins.base import Loaded
from mcpd.prompts.base import Prompt
from mcpd.server import access_api, events_endpoint, records_endpoint
from mcpd.server.api import Operation, Schema
from mcpd.server.api import list_of as _list
from mcpd.server.api import object_of as _object
from mcpd.server.api import ref as _ref

_TEXT: Schema = {"type": "string"}
_REFUSED: Schema = {"type": "object", "required": ["error"]}  # words here, a JSON-RPC error there
_OPTIONAL_TEXT: Schema = {"type": ["string", "null"]}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TIME: Schema = {"type": "string", "format": "date-time"}
_TIME_OR_NULL: Schema = {"type": ["string", "null"], "format": "date-time"}


_AGENT = _object(agent=_TEXT, status=_TEXT, current_task=_OPTIONAL_TEXT, last_seen=_TIME)
_ACTIVITY = _object(id=_COUNT, agent=_TEXT, timestamp=_TIME, activity=_TEXT, category=_TEXT, status=_TEXT)
_RESOURCE = _object(uri=_TEXT, name=_TEXT, type=_OPTIONAL_TEXT, description=_TEXT)
_PROMPT_ITEM = _object(
    name=_TEXT,
    description=_TEXT,
    category=_TEXT,
    arguments=_list(_object(name=_TEXT, type=_TEXT, required={"type": "boolean"})),
    template=_OPTIONAL_TEXT,
)
_FEATURES = _object(**{key: {"type": "boolean"} for key in ("idempotency", "dry_run", "streaming", "batch")})
_CAPABILITIES = _object(protocol_version=_TEXT, supports=_list(_TEXT), features=_FEATURES)
_HEALTHY = _object(status={"const": "healthy"}, version=_TEXT, timestamp=_TIME)
_UNHEALTHY = _object(status={"const": "unhealthy"}, reason=_TEXT, timestamp=_TIME)
_RECORDED_ACTIVITY = _object(
    id=_COUNT,
    timestamp=_TIME,
    agent=_TEXT,
    activity=_TEXT,
    action=_TEXT,
    category=_TEXT,
    type=_TEXT,
    status=_TEXT,
    details={},
)
_COMPONENT = _object(
    id=_TEXT, name=_TEXT, owner=_TEXT, status=_TEXT, version=_COUNT, type={}, description={}, dependencies={},
    interfaces={}, metadata={}, created_at=_TIME_OR_NULL, updated_at=_TIME_OR_NULL,
    last_updated=_TIME_OR_NULL,
)  # fmt: skip
_CONFLICT = _object(
    id={"type": ["integer", "null"]}, agents=_list({}), agent1={}, agent2={}, component=_OPTIONAL_TEXT,
    conflict_type=_TEXT, severity=_TEXT, issue=_TEXT, resolved={"const": False}, resolved_at={"type": "null"},
    created_at=_TIME_OR_NULL, resolution=_OPTIONAL_TEXT,
)  # fmt: skip
_AUDITED = _object(
    id=_COUNT, timestamp=_TIME, session_id=_OPTIONAL_TEXT, user_id=_TEXT, operation=_TEXT, resource=_OPTIONAL_TEXT,
    result=_TEXT, ip_address={"type": "null"}, request_id=_TEXT, details={},
)  # fmt: skip
_ANY_OBJECT: Schema = {"type": "object"}
_HOOK: Schema = {
    "type": "object",
    "properties": {"continue": {"const": True}, "systemMessage": _TEXT, "suppressOutput": {"const": False}},
    "required": ["continue"],
}
_MESSAGE = {"type": "object", "properties": {"jsonrpc": {"const": "2.0"}}, "required": ["jsonrpc"]}
_EVENTS: Schema = {"type": "string"}
_MESSAGES = {"oneOf": [_MESSAGE, {"type": "array", "items": _MESSAGE}]}
_STATUS = _object(
    status=_TEXT,
    version=_TEXT,
    protocol=_TEXT,
    mcp_version=_TEXT,
    mcp_versions=_list(_TEXT),
    server_version=_TEXT,
    server_running={"type": "boolean"},
    transports=_list(_TEXT),
    websocket_clients={"type": ["integer", "null"]},
    tmux_sessions=_list(_TEXT),
    capabilities=_ref("Capabilities"),
    compliance=_ANY_OBJECT,
    components=_list(_COMPONENT),
    agents=_list(_ref("Agent")),
    agent_states=_list(_ref("Agent")),
    activities=_list(_ref("Activity")),
    stats={"type": "object", "additionalProperties": _COUNT},
    system_stats={"type": "object", "additionalProperties": _COUNT},
    timestamp=_TIME,
)

_, _PROMPT_SCHEMAS = msgspec.json.schema_components((Prompt,), ref_template="#/components/schemas/{name}")
_, _PLUGIN_SCHEMAS = msgspec.json.schema_components((Loaded,), ref_template="#/components/schemas/{name}")
_BODY: Schema = {**_PROMPT_SCHEMAS["Prompt"], "title": "PromptBody", "required": ["description", "template"]}
_OPTIONAL_COUNT: Schema = {"type": ["integer", "null"]}
_OPTIONAL_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}
_AGENT_STATE = _object(
    agent=_TEXT,
    status=_TEXT,
    port=_OPTIONAL_COUNT,
    connected={"type": "boolean"},
    lastActivity=_OPTIONAL_TIME,
    last_seen=_OPTIONAL_TIME,
    current_task=_OPTIONAL_TEXT,
    since=_OPTIONAL_TIME,
    title=_OPTIONAL_TEXT,
    last_line=_OPTIONAL_TEXT,
    **dict.fromkeys(
        ("pid", "exit_status", "cpu_us", "memory_bytes", "tasks", "io_read_bytes", "io_write_bytes"), _OPTIONAL_COUNT
    ),
)
_TERMINAL = _object(
    port=_COUNT, url=_TEXT, running={"type": "boolean"}, viewers=_list(_object(caller=_TEXT, since=_TIME))
)
_SCHEMAS: dict[str, Schema] = {
    "AgentState": _AGENT_STATE,
    "Terminal": _TERMINAL,
    "Agent": _AGENT,
    "Activity": _ACTIVITY,
    "Capabilities": _CAPABILITIES,
    "Status": _STATUS,
    "Message": _MESSAGE,
    **_PROMPT_SCHEMAS,
    **_PLUGIN_SCHEMAS,
    "PromptBody": _BODY,
}


NO_MORE: Mapping[str, Operation] = MappingProxyType({})
_FORBIDDEN = {
    401: "A token is needed, or this one does not hold.",
    403: "The caller, the Host or the Origin is not admitted, or may not do this.",
    429: "The caller asks too often; Retry-After says how long to wait.",
}
_STORE = {503: "The database cannot be used for now."}
_QUERY = {400: "A parameter is malformed."}
_MISSING = {404: "There is no such prompt."}
_UNNAMED = {400: "No agent_name."}
_UNDONE = {400: "No such agent, or it did not do it; the message says why.", 503: "The manager is not there."}
_NAMED = _object(agent_name=_TEXT)
_WRONG = {400: "The body is no prompt; the message says why."}


def _ordered(**properties: Schema) -> dict[int, tuple[str, Schema | None]]:
    """Return the answers to an order that an agent has carried out."""
    common: Schema = {"success": {"const": True}, "status": {"const": "success"}, "agent": _TEXT, "message": _TEXT}
    return {200: ("Done.", _object(**common, **properties))}


OPERATIONS: dict[str, Operation] = {
    "POST /mcp": Operation(
        "A message of the Model Context Protocol, any revision",
        {
            200: ("The response, or the responses to a batch; as a stream where more is said before it.", _MESSAGES),
            202: ("A notification, or an answer to a question of the server's, was taken.", None),
        },
        _MESSAGES,
        {400: "No message of MCP.", 404: "No such session or method.", 406: "Accept.", 415: "Content-Type."},
    ),
    "GET /mcp": Operation(
        "The stream of a session",
        {200: ("Server-sent events; the data of each is a notification.", _EVENTS)},
        refusals={404: "No such session.", 405: "No session is named.", 406: "Accept."},
    ),
    "DELETE /mcp": Operation(
        "End a session",
        {204: ("It has ended.", None)},
        refusals={404: "No such session.", 405: "No session is named."},
    ),
    "GET /sse": Operation(
        "Open a stream of the transport of 2024-11-05, HTTP with SSE",
        {200: ("Server-sent events: where to post, then a message each.", _EVENTS)},
        refusals={406: "Accept."},
    ),
    "POST /messages": Operation(
        "A message for a stream of /sse, on which the answer comes",
        {202: ("It was taken.", None)},
        _MESSAGE,
        {400: "It is not JSON.", 404: "No such session.", 406: "Accept.", 415: "Content-Type."},
    ),
    "POST /jsonrpc": Operation(
        "JSON-RPC as the system before mcpd spoke it",
        {200: ("The response, errors too.", _ref("Message")), 204: ("A notification was carried out.", None)},
        _ref("Message"),
    ),
    "GET /api/mcp/status": Operation(
        "Agents, their last activities and counts", {200: ("The state.", _ref("Status"))}, refusals=_STORE
    ),
    "GET /api/mcp/health": Operation(
        "Whether requests can be answered; everybody may ask",
        {200: ("They can.", _HEALTHY), 503: ("They cannot.", _UNHEALTHY)},
    ),
    "GET /api/mcp/capabilities": Operation(
        "What the server can do, in the older dialect's terms", {200: ("It.", _ref("Capabilities"))}
    ),
    "GET /api/mcp/agent-states": Operation(
        "What each agent does, by name",
        {200: ("They.", {"type": "object", "additionalProperties": _ref("AgentState")})},
        refusals=_STORE,
    ),
    "GET /api/mcp/terminals": Operation(
        "Each agent's terminal and who has it open, by name",
        {200: ("They.", {"type": "object", "additionalProperties": _ref("Terminal")})},
        refusals=_STORE,
    ),
    "POST /api/mcp/heartbeat": Operation(
        "Note that an agent is active",
        {200: ("Noted.", _object(success={"const": True}))},
        {**_NAMED, "properties": {"agent_name": _TEXT, "current_task": _TEXT}},
        _UNNAMED | _STORE,
    ),
    "POST /api/mcp/messages": Operation(
        "Tell of a message that the caller has typed into an agent's terminal",
        {200: ("Told.", _object(success={"const": True}))},
        _object(agent_name=_TEXT, size_bytes=_COUNT, entered={"type": "boolean"}, was_seen={"type": "boolean"}),
        {400: "No such agent, or a member is missing."} | _STORE,
    ),
    "POST /api/mcp/start-terminal": Operation(
        "Have an agent and its web terminal run", _ordered(port=_COUNT, url=_TEXT), _NAMED, _UNDONE
    ),
    "POST /api/mcp/setup-agent": Operation(
        "Have an agent run with mcpd's environment",
        _ordered(session=_TEXT, config=_object(project_dir=_TEXT, port=_COUNT, user=_TEXT)),
        _NAMED,
        _UNDONE,
    ),
    "POST /api/mcp/start-agent": Operation(
        "Start an agent, unless it runs", _ordered(session=_TEXT, mcp_enabled={"const": True}), _NAMED, _UNDONE
    ),
    "POST /api/mcp/stop-agent": Operation("Stop an agent", _ordered(), _NAMED, _UNDONE),
    "GET /api/mcp/resources": Operation(
        "The resources", {200: ("They.", _object(resources=_list(_RESOURCE)))}, refusals=_STORE
    ),
    "GET /api/mcp/plugins": Operation(
        "What became of each plug-in", {200: ("It.", _object(plugins=_list(_ref("Loaded"))))}
    ),
    "GET /api/mcp/prompts": Operation(
        "The prompts", {200: ("They.", _object(prompts=_list(_PROMPT_ITEM)))}, refusals=_STORE
    ),
    "GET /api/mcp/activities": Operation(
        "Activities, newest first",
        {
            200: (
                "A part of them.",
                _object(
                    activities=_list(_RECORDED_ACTIVITY),
                    total=_COUNT,
                    limit=_COUNT,
                    offset=_COUNT,
                    has_more={"type": "boolean"},
                ),
            )
        },
        refusals=_QUERY | _STORE,
    ),
    "GET /api/mcp/components": Operation(
        "The register of components", {200: ("They, by name.", _list(_COMPONENT))}, refusals=_QUERY | _STORE
    ),
    "GET /api/mcp/conflicts": Operation(
        "Who holds what somebody else holds too", {200: ("Those.", _list(_CONFLICT))}, refusals=_QUERY | _STORE
    ),
    "GET /api/mcp/audit": Operation(
        "Who asked for what, and what came of it, newest first",
        {200: ("A part of it.", _object(logs=_list(_AUDITED), count=_COUNT, limit=_COUNT, offset=_COUNT))},
        refusals=_QUERY | _STORE,
    ),
    "GET /api/mcp/events": Operation(
        "What happens from now on or behind since, as server-sent events; with follow=false what happened, as JSON",
        {200: ("An event each, then nothing until the next.", _EVENTS)},
        refusals=_QUERY | _STORE,
    ),
    "GET /api/mcp/events/schema": Operation("The JSON Schema of an event", {200: ("It.", _ANY_OBJECT)}),
    "GET /api/mcp/security": Operation(
        "What is guarded, and how",
        {200: ("It; null is a limit that there is none of.", _object(security=_ANY_OBJECT, policies=_ANY_OBJECT))},
    ),
    "GET /api/mcp/ws-config": Operation(
        "How a page is to learn of changes; times in milliseconds",
        {
            200: (
                "It.",
                _object(
                    ws_enabled={"type": "boolean"},
                    ws_url=_OPTIONAL_TEXT,
                    polling_fallback={"type": "boolean"},
                    polling_interval=_COUNT,
                    reconnect_interval=_COUNT,
                ),
            )
        },
    ),
    "POST /api/mcp/hooks/{name}": Operation(
        "An event of an agent's hooks, its payload as the agent's client gave it",
        {200: ("What the hook is to print.", _HOOK)},
        {"type": "object"},
        {400: "No such event, or no object."} | _STORE,
    ),
    "GET /api/mcp/prompts/{name}": Operation(
        "One prompt, whole", {200: ("It.", _ref("Prompt"))}, refusals=_MISSING | _STORE
    ),
    "PUT /api/mcp/prompts/{name}": Operation(
        "Make or replace a prompt; the name in the body may be left out",
        {200: ("Replaced.", _ref("Prompt")), 201: ("Made.", _ref("Prompt"))},
        _ref("PromptBody"),
        _WRONG | _STORE,
    ),
    "DELETE /api/mcp/prompts/{name}": Operation(
        "Remove a prompt",
        {200: ("Removed.", _object(name=_TEXT, removed={"const": True}))},
        refusals=_MISSING | _STORE,
    ),
    **access_api.OPERATIONS,
}


def document(routes: Mapping[str, Iterable[str]], more: Mapping[str, Operation] = NO_MORE) -> dict[str, Any]:
    """Return the document of *routes*, each path with its methods; one that nobody described is a fault of ours.

    *more* are operations that are described elsewhere.
    """
    described = {**OPERATIONS, **more}
    return {
        "openapi": "3.1.0",
        "info": {"title": "mcpd", "version": __version__},
        "paths": {
            path: _parameters(path) | {method.lower(): _operation(described[f"{method} {path}"]) for method in methods}
            for path, methods in routes.items()
        },
        "components": {"schemas": _SCHEMAS},
    }


def _parameters(path: str) -> dict[str, Any]:
    given: list[Schema] = [{"name": name, "in": "query", "schema": _TEXT} for name in _names(path)]
    if "{name}" in path:
        given.append({"name": "name", "in": "path", "required": True, "schema": _TEXT})
    return {"parameters": given} if given else {}


def _names(path: str) -> tuple[str, ...]:
    return events_endpoint.PARAMETERS if path == events_endpoint.PATH else records_endpoint.parameters(path)


def _operation(operation: Operation) -> dict[str, Any]:
    answers = {str(status): _answer(words, schema) for status, (words, schema) in operation.answers.items()}
    for status, words in (_FORBIDDEN | dict(operation.refusals)).items():
        answers[str(status)] = _answer(words, _REFUSED)
    shown: dict[str, Any] = {"summary": operation.summary, "responses": answers}
    if operation.query:
        shown["parameters"] = [{"name": name, "in": "query", "schema": _TEXT} for name in operation.query]
    if operation.body is not None:
        kinds = ("application/json", *operation.other_bodies)
        content = {kind: {"schema": operation.body} for kind in kinds}
        shown["requestBody"] = {"required": not operation.body_optional, "content": content}
    return shown


def _answer(words: str, schema: Schema | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"description": words}
    if schema is not None:
        kind = "text/event-stream" if schema is _EVENTS else "application/json"
        shown["content"] = {kind: {"schema": schema}}
    return shown
