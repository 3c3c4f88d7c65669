"""An agent's units as systemd knows them, asked and told by systemctl; polkit decides who may."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mcpd.agents.agent import Agent
from mcpd.agents.machine import start_fault
from mcpd.errors import AccessDenied, AgentFailed, Unreachable

_TIMEOUT_S = 90.0
_NOT_SET = {"", "[not set]", "18446744073709551615"}
LIMIT_PROPERTIES = ("MemoryHigh", "MemoryMax", "CPUQuotaPerSecUSec", "TasksMax", "Nice")
"""How systemctl show calls the fields of ``Limits``, in their order."""
_STATE_PROPERTIES = ("Id", "ActiveState", "SubState", "Result", "FreezerState", "NRestarts", "ActiveEnterTimestamp",
                     "ExecMainStatus")  # fmt: skip
_USE_PROPERTIES = ("MemoryCurrent", "CPUUsageNSec", "TasksCurrent")
_SHOW = (f"--property={','.join((*_STATE_PROPERTIES, *_USE_PROPERTIES, *LIMIT_PROPERTIES))}",)
_KINDS = ("terminal", "ttyd", "watch", "agent")
_OPERATORS = ("start", "stop", "restart", "freeze", "thaw", "reset-failed")
"""What polkit lets members of mcp-admin do with agents."""
_DENIED = ("Access denied", "authentication required", "Interactive authentication")


@dataclass(frozen=True, slots=True)
class State:
    """A unit: *active*, *sub* and *result* in systemd's words; *properties* has the rest, as systemctl shows it."""

    active: str
    sub: str
    result: str
    is_frozen: bool
    properties: Mapping[str, str]

    @property
    def is_running(self) -> bool:
        """Whether its processes are there."""
        return self.active in ("active", "activating", "reloading", "deactivating")

    @property
    def word(self) -> str:
        """The state in one word of ours or of systemd's."""
        return "frozen" if self.is_frozen else self.active

    def number(self, name: str) -> int | None:
        """Return the property *name* as a number, None where it is not measured."""
        value = self.properties.get(name, "")
        return int(value) if value.isdigit() and value not in _NOT_SET else None


def has_systemd() -> bool:
    """Say whether systemd runs here."""
    return Path("/run/systemd/system").is_dir()


def states(agents: Iterable[Agent]) -> dict[str, State]:
    """Return the state of each agent's service, by the agent's name."""
    named = {agent.unit: agent.name for agent in agents}
    if not named:
        return {}
    shown = systemctl("show", *_SHOW, *named)
    return {named[unit]: state for unit, state in parse(shown).items() if unit in named}


def parse(shown: str) -> dict[str, State]:
    """Return the units that ``systemctl show`` printed, by name."""
    found = {}
    for block in shown.strip().split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in values:
            frozen = values.get("FreezerState", "running").startswith(("freez", "froz"))
            state = (values.get("ActiveState", ""), values.get("SubState", ""), values.get("Result", ""))
            found[values["Id"]] = State(*state, frozen, values)
    return found


def change(verb: str, agent: Agent) -> State:
    """Do *verb* (start, stop, restart, freeze or thaw) with *agent*, and return the state of its service.

    systemd neither stops nor restarts what is frozen: it is thawed first. One that was stopped has not failed, even if
    it had to be killed. Raises as ``systemctl`` does, and ``AgentFailed`` for the start of one that is frozen.
    """
    is_frozen = states([agent])[agent.name].is_frozen
    if is_frozen and verb == "start":
        raise AgentFailed(f"{agent.name} is frozen: mcpctl agent thaw {agent.name}")
    if is_frozen and verb in ("stop", "restart"):
        systemctl("thaw", agent.unit)
    try:
        systemctl(verb, agent.unit)
    except AgentFailed as error:
        fault = start_fault(agent, states([agent])[agent.name].number("ExecMainStatus"))
        if fault is None:
            raise
        raise AgentFailed(f"{agent.name}: {fault}") from error
    state = states([agent])[agent.name]
    if verb == "stop" and state.active == "failed":
        systemctl("reset-failed", agent.unit)
    return state


def forget(name: str) -> None:
    """Stop all units of the agent *name*, and let none of them count as failed; there may be none."""
    patterns = [f"mcp-{kind}@{name}.*" for kind in _KINDS]  # a pattern asks for no unit that is not there
    if any(state.is_frozen for state in parse(systemctl("show", *_SHOW, *patterns)).values()):
        systemctl("thaw", f"mcp-agent@{name}.service")
    systemctl("stop", *patterns)
    systemctl("reset-failed", *patterns)


def systemctl(verb: str, *arguments: str) -> str:
    """Run systemctl and return what it printed.

    Raises ``AccessDenied`` where polkit says no, ``AgentFailed`` where the unit does, ``Unreachable``.
    """
    if not has_systemd():
        raise Unreachable("systemd does not run here; agents are its units")
    command = ["systemctl", "--no-pager", "--no-ask-password", verb, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Unreachable(f"systemctl {verb}: {exc}") from exc
    if done.returncode == 0:
        return done.stdout
    said = " ".join(done.stderr.split()) or f"status {done.returncode}"
    if any(word in said for word in _DENIED):
        theirs = all(word.startswith(("mcp-agent@", "mcp-ttyd@")) for word in arguments)
        who = "ask root, or somebody in group mcp-admin" if verb in _OPERATORS and theirs else "only root may"
        raise AccessDenied(f"systemctl {verb}: you may not do this; {who}")
    raise AgentFailed(f"systemctl {verb}: {said}")
