"""``POST /api/mcp/start-agent`` and its kin: what the dashboard's buttons do with an agent, and what is heard of one.

Bodies and answers are those of the system that mcpd replaces; ``agent_name`` may be a display name.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from mcpd.agents import names
from mcpd.agents.agent import Agent
from mcpd.errors import AccessDenied, AgentFailed, AgentNotFound, Error, InvalidRequest
from mcpd.protocol.http import HttpLater, HttpRequest, HttpResponse
from mcpd.protocol.jsonrpc import decode
from mcpd.server import changes, rest, rest_calls
from mcpd.server.calls import Calls
from mcpd.server.site import RestOrder
from mcpd.server.work import Work, call_tool
from mcpd.store import activities, agents
from mcpd.terminals.fleet import Fleet
from mcpd.terminals.orders import Changed, Open, Start, Stop
from mcpd.terminals.states import State
from mcpd.tools.base import Call
from mcpd.tools.context import Context
from mcpd.tools.terminals import Message

PATHS = tuple(f"/api/mcp/{verb}" for verb in ("start-terminal", "setup-agent", "start-agent", "stop-agent"))
MESSAGES = "/api/mcp/messages"
_STOP = "/api/mcp/stop-agent"
_DOWN = (State.ABSENT, State.EXITED)


class Beat(msgspec.Struct, frozen=True):
    """The body of a heartbeat."""

    agent_name: Annotated[str, Meta(min_length=1, max_length=128)]
    current_task: Annotated[str, Meta(max_length=16384)] | None = None


class Named(msgspec.Struct, frozen=True):
    """The body of the others, which may say more; what the unit of an agent says holds."""

    agent_name: Annotated[str, Meta(min_length=1, max_length=128)]


class Told(Message, frozen=True, kw_only=True):
    """The body of a message that was typed without us."""

    agent_name: Annotated[str, Meta(min_length=1, max_length=128)]


class AgentsEndpoint:
    """The endpoints for the agents of *fleet*; what takes longer is one of *calls*."""

    def __init__(self, fleet: Fleet, calls: Calls) -> None:
        self._fleet = fleet
        self._calls = calls

    def post(self, http: HttpRequest, work: Work) -> HttpResponse | HttpLater:
        """Carry out the order that the path names; its name in journal and audit is the path's."""
        try:
            if http.path == _STOP:
                _check_may_stop(work)
            agent = self._named(_body(http, Named).agent_name)
            return rest_calls.begin(self._calls, work, http.path, {"agent_name": agent.name})
        except Error as error:
            return rest.refuse(work, error)

    def _named(self, text: str) -> Agent:
        try:
            return self._fleet.described.find(text)
        except AgentNotFound as error:
            raise InvalidRequest(f"Unknown agent: {text} ({error.message})") from error

    def heartbeat(self, http: HttpRequest, work: Work) -> HttpResponse:
        """Note that an agent is active, and what it works on if it says so."""
        try:
            beat = _body(http, Beat)
            name = self._own_name(beat.agent_name)
            known = agents.find(work.db, name)
            task = beat.current_task if beat.current_task is not None else known.current_task if known else None
            arguments = {"agent": name, "status": "active"} | ({"current_task": task} if task else {})
            call_tool(work, {"name": "update_status", "arguments": arguments})
            return rest.answer({"success": True})
        except Error as error:
            return rest.refuse(work, error)

    def message(self, http: HttpRequest, work: Work) -> HttpResponse:
        """Tell of a message that the caller has typed into an agent's terminal by itself, as mcpctl does."""

        def change() -> HttpResponse:
            told = _body(http, Told)
            told.tell(Call(work.db, work.caller, work.now_us, work.site.claim_ttl_us), self._named(told.agent_name))
            return rest.answer({"success": True})

        return changes.audited(work, "messages/tell", None, http.body.decode("utf-8", "replace"), change)

    def _own_name(self, text: str) -> str:
        """Return the name of the agent that *text* means; others than this machine's are called as they call it."""
        try:
            return names.find(text, self._fleet.described.agents)
        except AgentNotFound:
            return text


def _check_may_stop(work: Work) -> None:
    """Raise ``AccessDenied`` for who is no administrator: here nobody is asked before an agent is stopped."""
    if work.by_agent:
        raise AccessDenied("an agent may not stop one here; the tool stop_agent asks a person first")
    work.require("admin", f"POST {_STOP}")


def _body(http: HttpRequest, kind: type[Any]) -> Any:
    value = decode(http.body)
    if not isinstance(value, dict) or not value.get("agent_name"):
        raise InvalidRequest("agent_name required")
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as exc:
        raise InvalidRequest(str(exc)) from exc


def orders(fleet: Fleet) -> Mapping[str, RestOrder]:
    """Return what the paths do, for the agents of *fleet*."""
    todo = zip(PATHS, (_open, _setup, _start, _stop), strict=True)
    return {path: partial(_carry_out, fleet, order) for path, order in todo}


async def _carry_out(fleet: Fleet, order: Any, context: Context, arguments: dict[str, Any]) -> dict[str, Any]:
    agent = await context.in_thread(lambda _: fleet.described.find(arguments["agent_name"]))
    try:
        found: dict[str, Any] = await order(fleet, context, agent)
    except AgentFailed as error:
        raise Error(error.message, http_status=503) if error.http_status == 503 else error from None
    return {"success": True, "status": "success", "agent": agent.name, **found}


async def _open(fleet: Fleet, _context: Context, agent: Agent) -> dict[str, Any]:
    await fleet.ask(Open(agent.name))
    message = f"Terminal service started for {agent.name} on port {agent.port}"
    return {"message": message, "port": agent.port, "url": f"http://localhost:{agent.port}"}


async def _setup(fleet: Fleet, context: Context, agent: Agent) -> dict[str, Any]:
    """Have the agent run with mcpd's environment, which its unit gives it at every start."""
    answer = await fleet.ask(Start(agent.name))
    assert isinstance(answer, Changed)

    def change(call: Call) -> None:
        _note(call, "setup", agent, "configuration")
        if call.heard_of(agent.name) or answer.before in _DOWN:  # what one that ran says of itself is left as it is
            agents.set_status(call.db, agent.name, "configured", "MCP Environment Ready", call.now_us)

    await context.store(change)
    config = {"project_dir": agent.workdir, "port": agent.port, "user": agent.user}
    message = f"MCP configuration applied for {agent.name}"
    return {"message": message, "session": agent.session, "config": config}


async def _start(fleet: Fleet, context: Context, agent: Agent) -> dict[str, Any]:
    answer = await fleet.ask(Start(agent.name))
    assert isinstance(answer, Changed)
    did = "started" if answer.before in _DOWN else "was running already"
    await context.store(lambda call: _note(call, "start", agent, "deployment"))
    return {"message": f"Agent {agent.name} {did}", "session": agent.session, "mcp_enabled": True}


async def _stop(fleet: Fleet, context: Context, agent: Agent) -> dict[str, Any]:
    await fleet.ask(Stop(agent.name))
    await context.store(lambda call: _note(call, "stop", agent, "deployment"))
    return {"message": f"Agent {agent.name} stopped"}


def _note(call: Call, verb: str, agent: Agent, category: str) -> None:
    activities.add(call.db, call.now_us, "system", f"{verb}_{agent.name}", category, "completed", None)
    call.event("agent.order", agent.name, {"order": verb, "caller": call.caller})
