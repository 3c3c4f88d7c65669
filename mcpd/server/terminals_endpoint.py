"""``/api/mcp/agent-states`` and ``/api/mcp/terminals``: what agents do, and who looks.

The manager keeps what an agent's terminal shows; what an agent says of itself, it says to the tools. The older
dashboards read both from one object.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from mcpd.agents.agent import Agent
from mcpd.errors import StoreUnavailable
from mcpd.protocol.http import HttpRequest, HttpResponse
from mcpd.server import rest
from mcpd.server.work import Work
from mcpd.store import agents, terminals
from mcpd.store.database import store_errors
from mcpd.store.terminals import LiveState
from mcpd.terminals.fleet import Fleet
from mcpd.terminals.states import State
from mcpd.times import rfc3339, stated

_DOWN = (State.ABSENT, State.EXITED)
_MAX_HEARD = 1000


class Terminals:
    """The two endpoints, for the agents of *fleet*; one heard of within *active_window_us* is connected."""

    def __init__(self, fleet: Fleet, active_window_us: int) -> None:
        self._fleet = fleet
        self._active_window_us = active_window_us

    def states(self, _http: HttpRequest, work: Work) -> HttpResponse:
        """Return what each agent does, those too that run elsewhere and only tell of themselves."""
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
        described = self._fleet.described.agents
        shown = {live.agent: live for live in terminals.states(work.db)}
        heard = {agent.name: agent for agent in agents.latest(work.db, _MAX_HEARD)}
        since_us = work.now_us - self._active_window_us
        return {
            name: _state(name, described.get(name), shown.get(name), heard.get(name), since_us)
            for name in (*described, *(name for name in heard if name not in described))
        }

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


def _state(
    name: str, described: Agent | None, live: LiveState | None, heard: agents.Agent | None, since_us: int
) -> dict[str, object]:
    """Return what *described* does: what its terminal shows, and what was *heard* of it."""
    found = live or LiveState(name, State.ABSENT, 0)
    seen_us = heard.last_seen_us if heard else 0
    is_up = found.state not in _DOWN
    # What it said before its unit ended does not count: it has ended since.
    speaks = heard is not None and heard.status != "offline" and seen_us >= since_us and seen_us > found.since_us
    told = heard is not None and not is_up and (speaks or described is None)
    details = {key: value for key, value in asdict(found).items() if key not in ("agent", "state", "since_us")}
    return {
        "agent": name,
        "status": heard.status if heard is not None and told else found.state,
        "port": described.port if described else None,
        "connected": is_up or speaks,
        "lastActivity": stated(max(found.since_us, seen_us)),
        "last_seen": stated(seen_us),
        "current_task": heard.current_task if heard else None,
        "since": stated(found.since_us),
        "title": described.title if described else None,
        **details,
    }
