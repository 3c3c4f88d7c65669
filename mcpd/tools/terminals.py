"""Agents as units with terminals: who there is, what each shows, text typed for it, and its start and stop.

What is known of them is in the database; what is to be done, the manager does (``terminals.fleet``).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mcpd.agents.agent import Agent
from mcpd.compliance.classes import Classification
from mcpd.errors import InvalidParams, ToolFailed
from mcpd.protocol.content import Text
from mcpd.store import terminals
from mcpd.store.terminals import LiveState
from mcpd.terminals.fleet import Fleet
from mcpd.terminals.keys import MAX_TEXT_BYTES
from mcpd.terminals.orders import MAX_HISTORY_LINES, Changed, Read, Restart, Send, Sent, Shown, Start, Stop
from mcpd.terminals.states import State
from mcpd.times import rfc3339
from mcpd.tools.asynchronous import AsyncTool, NoArguments, Outcome
from mcpd.tools.base import AgentName, Call
from mcpd.tools.context import Context

_MEASURED = ("pid", "exit_status", "cpu_us", "memory_bytes", "tasks", "io_read_bytes", "io_write_bytes")
_Verb = Literal["stop", "restart"]
T = TypeVar("T")
_Function = Callable[[Context, Any], Coroutine[Any, Any, T]]


class ByName(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    agent: AgentName


class ToSend(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    agent: AgentName
    text: Annotated[str, Meta(min_length=1, max_length=65536)]
    enter: bool = True


class ToRead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    agent: AgentName
    history_lines: Annotated[int, Meta(ge=0, le=MAX_HISTORY_LINES)] = 0


class Brief(msgspec.Struct, frozen=True, omit_defaults=True):
    agent: str
    title: str
    state: str
    since: str | UnsetType = UNSET
    last_line: str | UnsetType = UNSET


class All(msgspec.Struct, frozen=True, omit_defaults=True):
    agents: Sequence[Brief]
    left_out: Annotated[Sequence[str], Meta(description="Faulty files.")] = ()


class Full(Brief, frozen=True, omit_defaults=True, kw_only=True):
    role: str = ""
    user: str
    workdir: str
    terminal: str
    viewers: Sequence[str] = ()
    pid: int | UnsetType = UNSET
    exit_status: int | UnsetType = UNSET
    cpu_us: int | UnsetType = UNSET
    memory_bytes: int | UnsetType = UNSET
    tasks: int | UnsetType = UNSET
    io_read_bytes: int | UnsetType = UNSET
    io_write_bytes: int | UnsetType = UNSET


class Delivered(msgspec.Struct, frozen=True):
    agent: str
    was_seen: Annotated[bool, Meta(description="False: the screen changed, but does not show the text.")]


class Screen(msgspec.Struct, frozen=True, omit_defaults=True):
    agent: str
    lines: Sequence[str]
    cursor: Annotated[Sequence[int], Meta(description="Column, row.")]
    ended: Annotated[str, Meta(description="How its command ended.")] = ""


class Result(msgspec.Struct, frozen=True):
    agent: str
    before: str
    state: str


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What is told of a text that was typed into an agent's terminal."""

    size_bytes: Annotated[int, Meta(ge=1, le=MAX_TEXT_BYTES)]
    entered: bool
    was_seen: bool

    def tell(self, call: Call, agent: Agent) -> None:
        """Tell all who listen that *agent* was sent it."""
        data = {"size_bytes": self.size_bytes, "entered": self.entered, "was_seen": self.was_seen}
        call.event("message.sent", agent.name, {"caller": call.caller, **data})


def live(call: Call, agent: str) -> LiveState:
    """Return what *agent* is known to do; one that was never seen is absent."""
    return terminals.find(call.db, agent) or LiveState(agent, State.ABSENT, 0)


class TerminalTools:
    """The tools that use the agents of *fleet*."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    @property
    def tools(self) -> Sequence[AsyncTool]:
        """All of them."""
        return (
            _tool("list_agents", "List agents", "List this machine's agents and what each does now.",
                  NoArguments, All, self._list, read_only=True),
            _tool("get_agent", "Get agent", "Tell all about one agent: state, resource use, terminal, who looks.",
                  ByName, Full, self._get, read_only=True),
            _tool("send_to_agent", "Send to agent",
                  "Type text into an agent's terminal and press Enter, as its user would; confirmed by its screen.",
                  ToSend, Delivered, self._send),
            _tool("read_agent_screen", "Read agent's screen", "Read what an agent's terminal shows.",
                  ToRead, Screen, self._read, read_only=True, classification="confidential"),
            _tool("start_agent", "Start agent", "Start an agent, if it does not run.",
                  ByName, Result, self._start, idempotent=True),
            _tool("stop_agent", "Stop agent", "Stop an agent and all it runs. A person is asked to confirm.",
                  ByName, Result, self._stop, partial(self._question, "stop"), destructive=True, idempotent=True),
            _tool("restart_agent", "Restart agent", "Stop and start an agent. A person is asked to confirm.",
                  ByName, Result, self._restart, partial(self._question, "restart"), destructive=True),
        )  # fmt: skip

    async def _find(self, context: Context, name: str) -> Agent:
        return await context.in_thread(lambda _: self._fleet.described.find(name))

    async def _list(self, context: Context, _arguments: NoArguments) -> Outcome:
        described = await context.in_thread(lambda _: self._fleet.described)
        known = await context.store(lambda call: {state.agent: state for state in terminals.states(call.db)})
        briefs = [Brief(**_brief(agent, known.get(agent.name))) for agent in described.agents.values()]
        return Outcome(structured=All(briefs, [str(fault) for fault in described.faults]))

    async def _get(self, context: Context, arguments: ByName) -> Full:
        agent = await self._find(context, arguments.agent)

        def read(call: Call) -> tuple[LiveState | None, list[str]]:
            viewers = [viewer.caller for viewer in terminals.viewers(call.db) if viewer.agent == agent.name]
            return terminals.find(call.db, agent.name), viewers

        state, viewers = await context.store(read)
        return Full(
            **_brief(agent, state),
            role=agent.role,
            user=agent.user,
            workdir=agent.workdir,
            terminal=f"http://localhost:{agent.port}",
            viewers=viewers,
            **_measured(state),
        )

    async def _send(self, context: Context, arguments: ToSend) -> Delivered:
        agent = await self._find(context, arguments.agent)
        answer = await self._fleet.ask(Send(agent.name, arguments.text, arguments.enter))
        assert isinstance(answer, Sent)
        size_bytes = len(arguments.text.encode())
        message = Message(size_bytes=size_bytes, entered=arguments.enter, was_seen=answer.was_seen)
        await context.store(lambda call: message.tell(call, agent))
        return Delivered(agent.name, answer.was_seen)

    async def _read(self, context: Context, arguments: ToRead) -> Outcome:
        agent = await self._find(context, arguments.agent)
        shown = await self._fleet.ask(Read(agent.name, arguments.history_lines))
        assert isinstance(shown, Shown)
        screen = Screen(agent.name, shown.lines, (shown.column, shown.row), shown.ended)
        return Outcome((Text("\n".join(shown.lines)),), screen)

    async def _start(self, context: Context, arguments: ByName) -> Result:
        agent = await self._find(context, arguments.agent)
        return await self._change(agent, Start(agent.name))

    async def _stop(self, context: Context, arguments: ByName) -> Result:
        agent = await self._find(context, arguments.agent)
        return await self._change(agent, Stop(agent.name))

    async def _restart(self, context: Context, arguments: ByName) -> Result:
        agent = await self._find(context, arguments.agent)
        return await self._change(agent, Restart(agent.name))

    async def _question(self, verb: _Verb, context: Context, arguments: ByName) -> str:
        agent = await self._find(context, arguments.agent)
        state = (await context.store(lambda call: live(call, agent.name))).state
        return f"{context.caller} wants to {verb} the agent {agent.name}, which is {state}. What it does is lost."

    async def _change(self, agent: Agent, order: Start | Stop | Restart) -> Result:
        answer = await self._fleet.ask(order)
        assert isinstance(answer, Changed)
        return Result(agent.name, answer.before, answer.state)


def _brief(agent: Agent, state: LiveState | None) -> dict[str, Any]:
    found: dict[str, Any] = {"agent": agent.name, "title": agent.title, "state": State.ABSENT}
    if state is not None:
        found |= {"state": state.state, "since": rfc3339(state.since_us), "last_line": state.last_line or UNSET}
    return found


def _measured(state: LiveState | None) -> dict[str, Any]:
    """Return what was counted; what nobody counts on this machine is left out."""
    found = {key: getattr(state, key, None) for key in _MEASURED}
    return {key: value for key, value in found.items() if value is not None}


def _told(function: _Function[T]) -> _Function[T]:
    """Return *function* telling the model what is wrong with its input: no such agent, text that cannot be typed.

    2025-11-25 server/tools (SEP-1303): errors of input validation are errors of the tool, which a model can mend.
    """

    async def told(context: Context, arguments: Any) -> T:
        try:
            return await function(context, arguments)
        except InvalidParams as error:
            raise ToolFailed(error.message) from error

    return told


def _tool(
    name: str,
    title: str,
    description: str,
    arguments: type[msgspec.Struct],
    result: type[msgspec.Struct],
    function: Callable[[Context, Any], Coroutine[Any, Any, Any]],
    question: Callable[[Context, Any], Coroutine[Any, Any, str]] | None = None,
    *,
    classification: Classification = "internal",
    **hints: bool,
) -> AsyncTool:
    hints = {"idempotent": hints.get("read_only", False)} | hints
    question = None if question is None else _told(question)
    return AsyncTool(
        name=name,
        title=title,
        description=description,
        arguments=arguments,
        result=result,
        function=_told(function),
        question=question,
        classification=classification,
        **hints,  # type: ignore[arg-type]
    )
