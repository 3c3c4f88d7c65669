"""What ``mcpctl agent`` does to agents' files: add, remove, limits. systemd is told to read them again."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

from mcpd.agents import edit, files, names, units
from mcpd.agents.agent import MANAGER, Agent, Limits
from mcpd.agents.keys import LIMITS
from mcpd.agents.machine import Machine
from mcpd.ctl import output
from mcpd.errors import Error, UsageError

_TARGET = "mcp.target"
_UNSET = "default"
_TEXT_OPTIONS = {
    "title": "how people call it",
    "role": "what it is for",
    "user": "the local user that it runs as",
    "workdir": "the directory that it works in",
    "command": "what runs in its terminal",
    "restart": "no, on-failure or always",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of add and limits."""
    parser.add_argument("--port", metavar="N", type=int, help="add: the port of its terminal; a free one if not given")
    for name, doc in _TEXT_OPTIONS.items():
        # mcpctl's own command is called command already
        parser.add_argument(f"--{name}", dest=f"agent_{name}", metavar="TEXT", help=f"add: {doc}")
    for field in fields(Limits):
        option = f"--{field.name.replace('_', '-')}"
        expected = LIMITS[field.name].expected.replace("%", "%%")  # argparse formats what it prints
        parser.add_argument(option, metavar="LIMIT", help=f"add, limits: {expected}")


def check_arguments(arguments: argparse.Namespace) -> None:
    """Raise ``UsageError`` for options that the action does not take."""
    allowed = {"add": {"port", *_TEXT_OPTIONS, *LIMITS}, "limits": set(LIMITS)}.get(arguments.action, set())
    for name in ("port", *_TEXT_OPTIONS, *LIMITS):
        if _given(arguments, name) is not None and name not in allowed:
            raise UsageError(f"agent {arguments.action} takes no --{name.replace('_', '-')}")


def add(arguments: argparse.Namespace) -> None:
    """Write the file of a new agent, and have its terminal wait for somebody."""
    name = arguments.name
    if not names.is_name(name):
        raise UsageError(f"{name!r} is no name for an agent; expected {names.RULE}")
    found = files.load()
    path = edit.path_of(name)
    if name in found.agents or (path.exists() and not edit.is_masked(path)):
        raise UsageError(f"there is an agent '{name}' already; change {path}, and then systemctl daemon-reload")
    values: dict[str, Any] = {"port": _port(arguments.port, found)}
    values |= {key: value for key in _TEXT_OPTIONS if (value := _given(arguments, key)) is not None}
    given = _limits(arguments)
    if given:
        values["limits"] = given
    agent = edit.save(path, edit.compose(values))
    _reload(lambda: _listen(agent))
    _done(arguments, agent, f"added in {path}; its terminal is http://localhost:{agent.port}/")


def remove(arguments: argparse.Namespace) -> None:
    """Stop an agent and take its file away; what it wrote stays."""
    found = files.load()
    faulty = {fault.file.stem for fault in found.faults}
    name = arguments.name if arguments.name in faulty else found.find(arguments.name).name
    if units.has_systemd() and names.is_name(name):
        units.systemctl("stop", f"mcp-*@{name}.*")  # a pattern, since that asks for no unit that is not there
    edit.take_away(name)
    _reload(_restart_manager)
    if arguments.json:
        output.print_json({"name": name, "removed": True})
    else:
        output.write(f"{name}: removed\n")


def limits(arguments: argparse.Namespace) -> None:
    """Show the limits of an agent, or change them in its file and at once."""
    agent = files.load().find(arguments.name)
    given = _limits(arguments)
    if given:
        # A file that came with mcpd is not changed: it is copied, and the copy is.
        text = edit.with_limits(agent.source.read_text(encoding="utf-8"), given)
        agent = edit.save(edit.path_of(agent.name), text)
        _reload()
    shown: dict[str, object] = {key: {"file": value} for key, value in asdict(agent.limits).items()}
    if units.has_systemd():
        state = units.states([agent])[agent.name]
        in_effect = [state.properties.get(name) for name in units.LIMIT_PROPERTIES]
        both = zip(asdict(agent.limits).items(), in_effect, strict=True)
        shown = {key: {"file": value, "in_effect": effect} for (key, value), effect in both}
    if arguments.json:
        output.print_json({"name": agent.name, "limits": shown})
    else:
        output.print_tables(output.pairs("", shown))


def _port(wanted: int | None, found: files.Agents) -> int:
    owners = Machine.here().ports.reserved() | {agent.port: f"{agent.name}'s" for agent in found.agents.values()}
    if wanted in owners:
        raise UsageError(f"port {wanted} is {owners[wanted]}")
    return edit.free_port(owners) if wanted is None else wanted


def _given(arguments: argparse.Namespace, name: str) -> Any:
    return getattr(arguments, f"agent_{name}" if name in _TEXT_OPTIONS else name)


def _limits(arguments: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(arguments, name) for name in LIMITS}
    return {name: _value(name, text) for name, text in given.items() if text is not None}


def _value(name: str, text: str) -> object:
    """Return what *text* means for the limit *name*: None for ``default``; raises ``UsageError``."""
    if text == _UNSET:
        return None
    value: object = int(text) if text.lstrip("-").isdecimal() and name in ("tasks_max", "nice") else text
    if not LIMITS[name].fits(value):
        raise UsageError(f'--{name.replace("_", "-")} {text}: expected {LIMITS[name].expected}, or "{_UNSET}"')
    return value


def _listen(agent: Agent) -> None:
    active = units.systemctl("show", "--value", "--property=ActiveState", _TARGET).strip()
    if active == "active":
        _restart_manager()
        units.systemctl("start", agent.terminal_unit)


def _restart_manager() -> None:
    """Have the manager, if it runs, take the sockets that there are now; open terminals stay open."""
    units.systemctl("try-restart", MANAGER)


def _reload(then: Callable[[], None] = lambda: None) -> None:
    """Have systemd read the files; where that fails, they are written all the same."""
    if not units.has_systemd():
        return
    try:
        units.systemctl("daemon-reload")
        then()
    except Error as error:
        output.warn(error.message)


def _done(arguments: argparse.Namespace, agent: Agent, what: str) -> None:
    if arguments.json:
        output.print_json({"name": agent.name, "port": agent.port, "file": str(agent.source)})
    else:
        output.write(f"{agent.name}: {what}\n")
