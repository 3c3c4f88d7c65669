"""``mcpctl agent``: the agents of this machine, listed, shown, started, stopped, added, removed and limited."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from mcpd.agents import files, units
from mcpd.agents.agent import Agent
from mcpd.agents.files import Agents
from mcpd.agents.units import State
from mcpd.ctl import agent_files, output, terminal
from mcpd.errors import Error, UsageError

HELP = "list, show, start, stop, add, remove and limit agents"

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
    states = _states(found)
    if arguments.json:
        listed = [_facts(agent, states.get(agent.name)) for agent in found.agents.values()]
        faults = [{"file": str(fault.file), "message": fault.message} for fault in found.faults]
        output.print_json({"agents": listed, "faults": faults, "masked": sorted(found.masked)})
        return
    columns = ("agent", "title", "port", "state", "memory", "tasks", "user", "directory")
    output.print_tables(output.table("", columns, map(_row, found.agents.values(), map(states.get, found.agents))))
    for fault in found.faults:
        output.warn(f"agent left out: {fault}")


def _row(agent: Agent, state: State | None) -> tuple[object, ...]:
    word = output.coloured(state.word, _STYLES.get(state.word, "")) if state else None
    memory = state.number("MemoryCurrent") if state else None
    tasks = state.number("TasksCurrent") if state else None
    return (agent.name, agent.title, agent.port, word, _megabytes(memory), tasks, agent.user, agent.workdir)


def _show(arguments: argparse.Namespace) -> None:
    agent = files.load().find(arguments.name)
    state = units.states([agent]).get(agent.name) if units.has_systemd() else None
    facts = _facts(agent, state)
    if arguments.json:
        output.print_json(facts)
    else:
        output.print_tables(output.pairs("", facts))


def _facts(agent: Agent, state: State | None) -> dict[str, object]:
    """Return all that is known of *agent*; what the machine does not measure is None."""
    facts: dict[str, Any] = asdict(agent) | {"source": str(agent.source), "unit": agent.unit}
    facts |= {"session": agent.session, "tmux_socket": str(agent.tmux_socket), "state": None}
    if state is None:
        return facts
    facts |= {"state": state.word, "result": state.result, "restarts": state.number("NRestarts")}
    facts |= {"memory_bytes": state.number("MemoryCurrent"), "tasks": state.number("TasksCurrent")}
    cpu_ns = state.number("CPUUsageNSec")
    facts |= {"cpu_s": None if cpu_ns is None else cpu_ns / 1e9, "since": state.properties.get("ActiveEnterTimestamp")}
    return facts | {"ended": terminal.how_ended(agent) if state.is_running and not state.is_frozen else None}


def _states(found: Agents) -> Mapping[str, State]:
    try:
        return units.states(found.agents.values())
    except Error as error:
        output.warn(error.message)
        return {}


def _control(arguments: argparse.Namespace) -> None:
    agent = files.load().find(arguments.name)
    verb = arguments.action
    if verb == "start" and terminal.how_ended(agent):
        verb = "restart"  # systemd sees the terminal, which lives on with the last screen of its command
    units.systemctl(verb, agent.unit)
    if arguments.json:
        output.print_json(_facts(agent, units.states([agent]).get(agent.name)))
    else:
        output.write(f"{agent.name}: {_VERBS[verb]}\n")


def _megabytes(size_bytes: int | None) -> str | None:
    return None if size_bytes is None else f"{size_bytes / 1e6:.0f} MB"


_STYLES = {"active": "green", "failed": "bold red", "frozen": "cyan", "inactive": "dim"}
_ACTIONS: dict[str, Callable[[argparse.Namespace], None]] = {
    "list": _list,
    "show": _show,
    **dict.fromkeys(_VERBS, _control),
    "add": agent_files.add,
    "remove": agent_files.remove,
    "limits": agent_files.limits,
}
