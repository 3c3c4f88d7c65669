"""``/api/mcp/agent-states`` and ``/api/mcp/terminals``: what agents do, and who looks, as the manager keeps it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from mcpd.agents.agent import Agent
from mcpd.errors import StoreUnavailable
from mcpd.protocol.http import HttpRequest, HttpResponse
from mcpd.server import rest
from mcpd.server.work import Work
from mcpd.store import terminals
from mcpd.store.database import store_errors
from mcpd.store.terminals import LiveState
from mcpd.terminals.fleet import Fleet
from mcpd.terminals.states import State
from mcpd.times import rfc3339

_DOWN = (State.ABSENT, State.EXITED)


class Terminals:
    """The two endpoints, for the agents of *fleet*."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def states(self, _http: HttpRequest, work: Work) -> HttpResponse:
        """Return what each agent does."""
        return self._answer(work, self._states)

    def terminals(self, _http: HttpRequest, work: Work) -> HttpResponse:
        """Return each agent's port and who has its terminal open."""
        return self._answer(work, self._terminals)

    def _answer(self, work: Work, make: Callable[[Work], dict[str, object]]) -> HttpResponse:
        try:
            with store_errors():
                return rest.answer(make(work))
        except StoreUnavailable as error:
            return rest.refuse(work, error)

    def _states(self, work: Work) -> dict[str, object]:
        known = {live.agent: live for live in terminals.states(work.db)}
        return {name: _state(agent, known.get(name)) for name, agent in self._fleet.described.agents.items()}

    def _terminals(self, work: Work) -> dict[str, object]:
        known = {live.agent: live.state for live in terminals.states(work.db)}
        viewers: dict[str, list[dict[str, str]]] = {}
        for viewer in terminals.viewers(work.db):
            entry = {"caller": viewer.caller, "since": rfc3339(viewer.opened_us)}
            viewers.setdefault(viewer.agent, []).append(entry)
        return {
            name: {
                "port": agent.port,
                "url": f"http://localhost:{agent.port}",
                "running": known.get(name, State.ABSENT) not in _DOWN,
                "viewers": viewers.get(name, []),
            }
            for name, agent in self._fleet.described.agents.items()
        }


def _state(agent: Agent, live: LiveState | None) -> dict[str, object]:
    found = live or LiveState(agent.name, State.ABSENT, 0)
    details = {key: value for key, value in asdict(found).items() if key not in ("agent", "state", "since_us")}
    since = rfc3339(found.since_us) if live else None
    return {
        "status": found.state,
        "port": agent.port,
        "connected": found.state not in _DOWN,
        "lastActivity": since,
        "since": since,
        "title": agent.title,
        **details,
    }
