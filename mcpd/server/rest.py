"""``/api/mcp/*``: what the dashboard, health checks and ``mcpctl`` read. Every figure is counted when asked for."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import orjson

from mcpd import __version__
from mcpd.errors import Error, StoreUnavailable
from mcpd.plugins.base import State
from mcpd.protocol import revisions
from mcpd.protocol.http import HttpRequest, HttpResponse
from mcpd.server import catalogue, records, replies
from mcpd.server.dialect_endpoint import CAPABILITIES, DIALECT_VERSION
from mcpd.server.work import Work
from mcpd.store import activities, agents, approvals, components, decisions, terminals
from mcpd.store.database import store_errors
from mcpd.times import rfc3339

_HOUR_US = 3_600_000_000
_MAX_AGENTS = 200
_MAX_COMPONENTS = 100
_RECENT = 10


def health(_http: HttpRequest, work: Work) -> HttpResponse:
    """Say whether requests can be answered, which needs the database; 503 when not."""
    try:
        work.db.probe()
    except StoreUnavailable as error:
        return answer({"status": "unhealthy", "reason": error.message, "timestamp": rfc3339(work.now_us)}, 503)
    return answer({"status": "healthy", "version": __version__, "timestamp": rfc3339(work.now_us)})


def capabilities(_http: HttpRequest, _work: Work) -> HttpResponse:
    """Return what the server can do, as the older dialect says it."""
    return answer(CAPABILITIES)


def resources(_http: HttpRequest, work: Work) -> HttpResponse:
    """Return the resources."""
    try:
        return answer({"resources": catalogue.resources(work)})
    except StoreUnavailable as error:
        return refuse(work, error)


def prompts(_http: HttpRequest, work: Work) -> HttpResponse:
    """Return the prompts."""
    try:
        return answer({"prompts": catalogue.prompts(work)})
    except StoreUnavailable as error:
        return refuse(work, error)


def plugins(_http: HttpRequest, work: Work) -> HttpResponse:
    """Return what became of each plug-in."""
    return answer({"plugins": msgspec.to_builtins(work.site.plugins)})


class Status:
    """``GET /api/mcp/status``; an agent heard of within *active_window_us* is active, *compliance* is as it says."""

    def __init__(self, active_window_us: int, compliance: Mapping[str, object]) -> None:
        self._active_window_us = active_window_us
        self._compliance = compliance

    def get(self, _http: HttpRequest, work: Work) -> HttpResponse:
        """Return the state of the system, in the keys that the old system's clients read."""
        try:
            with store_errors():
                return answer(self._status(work))
        except StoreUnavailable as error:
            return refuse(work, error)

    def _status(self, work: Work) -> dict[str, object]:
        db, since_us = work.db, work.now_us - self._active_window_us
        states = [
            {"agent": name, "status": status, "current_task": task, "last_seen": rfc3339(seen_us)}
            for name, status, task, seen_us in agents.seen_since(db, since_us, _MAX_AGENTS)
        ]
        recent = [
            dict(zip(("id", "agent", "timestamp", "activity", "category", "status"), row, strict=True))
            | {"timestamp": rfc3339(row[2])}
            for row in activities.recent(db, _RECENT)
        ]
        active = agents.count_seen_since(db, since_us)
        available = catalogue.counts(work)
        total, registered = activities.count(db), components.count(db)
        return {
            "status": "operational",
            "version": "2.0",
            "protocol": DIALECT_VERSION,
            "mcp_version": revisions.MODERN.version,
            "mcp_versions": revisions.SUPPORTED,
            "server_version": __version__,
            "server_running": True,
            "transports": ["http", "websocket"] if work.site.websockets.listens() else ["http"],
            "capabilities": CAPABILITIES,
            "websocket_clients": work.site.websockets.clients(),
            "tmux_sessions": [
                f"claude-{live.agent}" for live in terminals.states(db) if live.state not in ("absent", "exited")
            ],
            "compliance": self._compliance,
            "components": records.component_items(db, _MAX_COMPONENTS),
            "agents": states,
            "agent_states": states,
            "activities": recent,
            "stats": {
                "recent_activities": activities.count_since(db, work.now_us - _HOUR_US),
                "total_activities": total,
                "activities_total": total,
                "total_components": registered,
                "active_agents": active,
                "agents_online": active,
                "conflicts_detected": records.count_conflicts(db, work.now_us),
                "tools_available": len(work.site.tools),
                "resources_available": available["resources_count"],
                "prompts_available": available["prompts_count"],
                "consents_pending": approvals.count_waiting(db, work.now_us),
                "plugins_loaded": _count(work, "loaded"),
                "plugins_broken": _count(work, "broken"),
            },
            "system_stats": {
                "total_activities": total,
                "active_agents": active,
                "registered_components": registered,
                "pending_decisions": decisions.count_pending(db),
                "tools_available": len(work.site.tools),
                **{name.replace("_count", "_available"): number for name, number in available.items()},
            },
            "timestamp": rfc3339(work.now_us),
        }


def _count(work: Work, state: State) -> int:
    return sum(plugin.state == state for plugin in work.site.plugins)


def refuse(work: Work, error: Error) -> HttpResponse:
    """Return *error* as the REST endpoints tell it, noted in *work*."""
    work.refused(error)
    return HttpResponse(replies.rest_status(error), replies.rest_error(error))


def answer(value: object, status: int = 200) -> HttpResponse:
    """Return *value* as the answer."""
    return HttpResponse(status, orjson.dumps(value))
