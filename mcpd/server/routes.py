"""The table of routes: every path that mcpd-rpc answers, and by whom. Only compliance brings its own."""

from __future__ import annotations

from dataclasses import dataclass

from mcpd.config import Config
from mcpd.server import (
    agents_endpoint,
    approvals_endpoint,
    clients_endpoint,
    compliance_endpoint,
    dialect_endpoint,
    events_endpoint,
    hooks_endpoint,
    in_session,
    mcp_endpoint,
    oauth_endpoint,
    performance,
    prompts_endpoint,
    records_endpoint,
    rest,
)
from mcpd.server.agents_endpoint import AgentsEndpoint
from mcpd.server.calls import Calls
from mcpd.server.dialect_endpoint import DialectEndpoint
from mcpd.server.events_endpoint import EventsEndpoint
from mcpd.server.hub import Hub
from mcpd.server.in_session import InSession
from mcpd.server.listen import Streams
from mcpd.server.mcp_endpoint import McpEndpoint
from mcpd.server.methods import Methods
from mcpd.server.oauth_endpoint import OauthEndpoint
from mcpd.server.route import ADMIN, BY_MESSAGE, DECIDE, EXECUTE, Route
from mcpd.server.sessions import Sessions
from mcpd.server.site import Site
from mcpd.server.sse_endpoint import MESSAGES, SseEndpoint
from mcpd.server.tasks import Tasks
from mcpd.server.terminals_endpoint import Terminals
from mcpd.store.database import Database


@dataclass(frozen=True, slots=True)
class Parts:
    """What endpoints are made of."""

    db: Database
    config: Config
    site: Site
    hub: Hub
    calls: Calls
    sessions: Sessions


def table(parts: Parts) -> dict[str, Route]:
    """Return the route of each path; ``{name}`` in one stands for any last segment."""
    streams = Streams(parts.hub, parts.db)
    handshake = {
        "resources/subscribe": streams.subscribe,
        "resources/unsubscribe": streams.unsubscribe,
        "logging/setLevel": in_session.set_level,
    }
    methods = Methods(handshake, Tasks(parts.calls).methods)
    conversation = InSession(methods, parts.calls)
    mcp = McpEndpoint(parts.sessions, streams, methods, parts.calls, conversation)
    sse = SseEndpoint(parts.hub, parts.db, conversation, parts.calls)
    dialect = DialectEndpoint(parts.sessions, parts.site, methods, parts.calls)
    active_window_us = int(parts.config.coordination.active_window_s * 1e6)
    terminals = Terminals(parts.site.fleet, active_window_us)
    agents = AgentsEndpoint(parts.site.fleet, parts.calls)
    oauth = OauthEndpoint()
    compliance = compliance_endpoint.status(enabled=parts.config.compliance.enabled)
    status = rest.Status(active_window_us, compliance)
    return {
        "/mcp": Route({"POST": mcp.post, "GET": mcp.get, "DELETE": mcp.delete}, mcp_endpoint.refuse, needs=BY_MESSAGE),
        "/sse": Route({"GET": sse.open}, mcp_endpoint.refuse, needs=BY_MESSAGE),
        MESSAGES: Route({"POST": sse.post}, mcp_endpoint.refuse, needs=BY_MESSAGE),
        "/jsonrpc": Route({"POST": dialect.post}, dialect_endpoint.refuse, needs=BY_MESSAGE),
        **{path: Route(oauth.handlers(path), oauth_endpoint.refuse, open=True) for path in oauth_endpoint.PATHS},
        **{path: Route(made, rest.refuse, needs=ADMIN) for path, made in clients_endpoint.HANDLERS.items()},
        approvals_endpoint.LIST: Route({"GET": approvals_endpoint.listing}, rest.refuse),
        approvals_endpoint.ONE: Route(
            {"GET": approvals_endpoint.get, "POST": approvals_endpoint.post},
            rest.refuse,
            needs=DECIDE,
        ),
        "/api/mcp/status": Route({"GET": status.get}, rest.refuse),
        "/api/mcp/health": Route({"GET": rest.health}, rest.refuse, open=True),
        "/api/mcp/capabilities": Route({"GET": rest.capabilities}, rest.refuse),
        "/api/mcp/resources": Route({"GET": rest.resources}, rest.refuse),
        "/api/mcp/plugins": Route({"GET": rest.plugins}, rest.refuse),
        "/api/mcp/prompts": Route({"GET": rest.prompts}, rest.refuse),
        "/api/mcp/agent-states": Route({"GET": terminals.states}, rest.refuse),
        "/api/mcp/terminals": Route({"GET": terminals.terminals}, rest.refuse),
        **{path: Route({"GET": handler}, rest.refuse) for path, handler in records_endpoint.HANDLERS.items()},
        **{path: Route({"GET": handler}, rest.refuse) for path, handler in performance.HANDLERS.items()},
        performance.ANALYZE: Route({"POST": performance.analyze}, rest.refuse, needs=ADMIN),
        events_endpoint.PATH: Route({"GET": EventsEndpoint(parts.hub, parts.db).get}, rest.refuse),
        events_endpoint.SCHEMA_PATH: Route({"GET": events_endpoint.schema}, rest.refuse),
        "/api/mcp/hooks/{name}": Route({"POST": hooks_endpoint.post}, rest.refuse),
        "/api/mcp/heartbeat": Route({"POST": agents.heartbeat}, rest.refuse),
        **{path: Route({"POST": agents.post}, rest.refuse, needs=EXECUTE) for path in agents_endpoint.PATHS},
        agents_endpoint.MESSAGES: Route({"POST": agents.message}, rest.refuse, needs=EXECUTE),
        "/api/mcp/prompts/{name}": Route(
            {"GET": prompts_endpoint.get, "PUT": prompts_endpoint.put, "DELETE": prompts_endpoint.delete},
            rest.refuse,
        ),
    }
