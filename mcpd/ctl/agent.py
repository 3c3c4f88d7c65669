"""``mcpctl agent``: the agents of this machine, listed, shown, controlled, added, changed and removed."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from mcpd.agents import files, units
from mcpd.agents.agent import Agent
from mcpd.agents.files import Agents
from mcpd.agents.units import State
from mcpd.ctl import agent_files, client, output, terminal, top
from mcpd.ctl.client import Client, Refused
from mcpd.errors import AccessDenied, Error, StoreUnavailable, Unreachable, UsageError
from mcpd.terminals.states import State as Doing

HELP = "list, show, start, stop, add, change and remove agents"

_ASK_S = 5.0
_VERBS = {"start": "started", "stop": "stopped", "restart": "restarted", "freeze": "frozen", "thaw": "thawed"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``agent`` takes."""
    parser.add_argument("action", choices=_ACTIONS, help="what to do")
    parser.add_argument("name", metavar="NAME", nargs="?", help="the agent")
    agent_files.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Do it, and say what came of it."""
    if (arguments.name is None) != (arguments.action == "list"):
        raise UsageError(f"usage: mcpctl agent {arguments.action}{'' if arguments.action == 'list' else ' NAME'}")
    agent_files.check_arguments(arguments)
    _ACTIONS[arguments.action](arguments)
    return 0


def _list(arguments: argparse.Namespace) -> None:
    found = files.load()
    states, shown = _states(found), _shown(arguments.url)
    ended = {name: _ended(agent, states.get(name)) for name, agent in found.agents.items()}
    does = {name: _does(states.get(name), ended[name], shown.get(name, {})) for name in found.agents}
    if arguments.json:
        listed = [
            _facts(agent, states.get(name), ended[name]) | {"does": does[name]} for name, agent in found.agents.items()
        ]
        faults = [{"file": str(fault.file), "message": fault.message} for fault in found.faults]
        output.print_json({"agents": listed, "faults": faults, "masked": sorted(found.masked)})
        return
    columns = ("agent", "title", "port", "state", "memory", "tasks", "user", "directory")
    output.print_tables(
        output.table("", columns, map(_row, found.agents.values(), map(states.get, found.agents), does.values()))
    )
    for fault in found.faults:
        output.warn(f"agent left out: {fault}")


def _row(agent: Agent, state: State | None, does: str | None) -> tuple[object, ...]:
    word = output.coloured(does, _STYLES.get(does.partition(" ")[0], "")) if does else None
    memory = state.number("MemoryCurrent") if state else None
    tasks = state.number("TasksCurrent") if state else None
    return (agent.name, agent.title, agent.port, word, _megabytes(memory), tasks, agent.user, agent.workdir)


def _does(state: State | None, ended: str | None, shown: Mapping[str, Any]) -> str | None:
    """Return what an agent does: as its unit has it, or while that is up, how it *ended* or what mcpd has *shown*."""
    if state is None or state.word != "active":
        return state.word if state else None
    if not ended and shown.get("status") == Doing.EXITED and shown["exit_status"] is not None:
        ended = f"status {shown['exit_status']}"
    if ended:
        return f"{Doing.EXITED} ({ended})"
    return str(shown["status"]) if shown.get("status") in tuple(Doing) else state.word


def _shown(url: str) -> Mapping[str, Any]:
    """Return what mcpd knows of agents; nothing where it does not run, since agents do without it."""
    try:
        return Client(client.endpoint(url), _ASK_S).get("/api/mcp/agent-states")
    except (Unreachable, Refused, AccessDenied, StoreUnavailable):
        return {}


def _show(arguments: argparse.Namespace) -> None:
    agent = files.load().find(arguments.name)
    state = units.states([agent]).get(agent.name) if units.has_systemd() else None
    facts = _facts(agent, state, _ended(agent, state))
    if arguments.json:
        output.print_json(facts)
    else:
        output.print_tables(output.pairs("", facts))


def _ended(agent: Agent, state: State | None) -> str | None:
    return terminal.how_ended(agent) if state and state.is_running and not state.is_frozen else None


def _facts(agent: Agent, state: State | None, ended: str | None) -> dict[str, object]:
    """Return all that is known of *agent*; what the machine does not measure is None."""
    facts: dict[str, Any] = asdict(agent) | {"source": str(agent.source), "unit": agent.unit}
    facts |= {"session": agent.session, "tmux_socket": str(agent.tmux_socket), "state": None}
    if state is None:
        return facts
    facts |= {"state": state.word, "result": state.result, "restarts": state.number("NRestarts")}
    facts |= {"memory_bytes": state.number("MemoryCurrent"), "tasks": state.number("TasksCurrent")}
    cpu_ns = state.number("CPUUsageNSec")
    facts |= {"cpu_s": None if cpu_ns is None else cpu_ns / 1e9, "since": state.properties.get("ActiveEnterTimestamp")}
    return facts | {"ended": ended}


def _states(found: Agents) -> Mapping[str, State]:
    try:
        return units.states(found.agents.values())
    except Error as error:
        output.warn(error.message)
        return {}


def _control(arguments: argparse.Namespace) -> None:
    agent = files.load().find(arguments.name)
    verb = arguments.action
    if verb == "start" and not units.states([agent])[agent.name].is_frozen and terminal.how_ended(agent):
        verb = "restart"  # systemd sees the terminal, which lives on with the last screen of its command
    state = units.change(verb, agent)
    if arguments.json:
        now = units.states([agent]).get(agent.name)
        output.print_json(_facts(agent, now, _ended(agent, now)))
    else:
        killed = ", but had to be killed" if verb == "stop" and state.result == "timeout" else ""
        output.write(f"{agent.name}: {_VERBS[verb]}{killed}\n")


def _megabytes(size_bytes: int | None) -> str | None:
    return None if size_bytes is None else f"{size_bytes / 1e6:.0f} MB"


_STYLES = top.STYLES | {"active": "green", "failed": "bold red", "inactive": "dim"}
_ACTIONS: dict[str, Callable[[argparse.Namespace], None]] = {
    "list": _list,
    "show": _show,
    **dict.fromkeys(_VERBS, _control),
    "add": agent_files.add,
    "set": agent_files.change,
    "remove": agent_files.remove,
    "limits": agent_files.limits,
}
