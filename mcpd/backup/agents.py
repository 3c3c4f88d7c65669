"""What agents were at when a backup was made: asked of mcpd-ttyd-manager, on the socket that can do them no harm.

Whatever cannot be seen is no failure of the backup; why it could not be stands in its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from mcpd.agents.agent import Agent
from mcpd.errors import Error
from mcpd.terminals.fleet import STATES, Fleet
from mcpd.terminals.orders import Inspect, Inspected

FOLDER = "states"
HISTORY_LINES = 2000
_TIMEOUT_S = 30.0
_AT_ONCE = 16
_SHOWN = ("cwd", "running", "title", "ended", "width", "height", "above")


class State(msgspec.Struct, frozen=True):
    """One agent at the time of a backup; *cwd*, *running* and the size are empty where *unseen* says why.

    ``cwd`` and ``running`` are of the program in the foreground of its terminal, ``command`` is what its file names.
    ``lines`` are how many its text has, the first ``above`` of which were above the screen.
    """

    name: str
    state: str = ""
    unit: str = ""
    result: str = ""
    pid: int | None = None
    exit_status: int | None = None
    user: str = ""
    workdir: str = ""
    command: str = ""
    cwd: str = ""
    running: str = ""
    title: str = ""
    ended: str = ""
    width: int = 0
    height: int = 0
    lines: int = 0
    above: int = 0
    unseen: str = ""


class States(msgspec.Struct, frozen=True):
    """The agents of a machine, and what stood on their terminals by name."""

    agents: list[State] = []
    texts: Mapping[str, str] = {}

    def files(self) -> dict[str, bytes]:
        """Return the files of an archive that keep this, by name: for each agent its facts, and its text if any."""
        found = {f"{agent.name}.json": msgspec.json.format(msgspec.json.encode(agent)) for agent in self.agents}
        return found | {f"{name}.txt": text.encode() for name, text in self.texts.items()}


def collect(agents: Iterable[Agent], socket: Path = STATES) -> States:
    """Ask the manager on *socket* for each of *agents*; raises nothing, for a reason is an answer."""
    return asyncio.run(_collect(list(agents), socket))


async def _collect(agents: list[Agent], socket: Path) -> States:
    fleet, turn = Fleet((), socket), asyncio.Semaphore(_AT_ONCE)

    async def ask(agent: Agent) -> Inspected | str:
        async with turn:
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    answer = await fleet.ask(Inspect(agent.name, HISTORY_LINES))
            except TimeoutError:
                return f"the manager did not answer within {_TIMEOUT_S:.0f} s"
            except Error as error:
                return error.message
            return answer if isinstance(answer, Inspected) else "the manager is of another version"

    found = await asyncio.gather(*map(ask, agents))
    states = [_state(agent, answer) for agent, answer in zip(agents, found, strict=True)]
    panes = {
        agent.name: answer.pane
        for agent, answer in zip(agents, found, strict=True)
        if isinstance(answer, Inspected) and answer.pane is not None
    }
    return States(states, {name: "".join(f"{line}\n" for line in pane.lines) for name, pane in panes.items()})


def _state(agent: Agent, answer: Inspected | str) -> State:
    facts: dict[str, Any] = {"user": agent.user, "workdir": agent.workdir, "command": agent.command}
    if isinstance(answer, str):
        return State(agent.name, unseen=answer, **facts)
    facts |= {"state": answer.state, "unit": answer.active, "result": answer.result, "unseen": answer.unseen}
    facts |= {"pid": answer.pid, "exit_status": answer.exit_status}
    if answer.pane is not None:
        facts |= {name: getattr(answer.pane, name) for name in _SHOWN} | {"lines": len(answer.pane.lines)}
    return State(agent.name, **facts)
