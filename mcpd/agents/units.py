"""An agent's units as systemd knows them, asked and told by systemctl; polkit decides who may."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mcpd.agents.agent import Agent
from mcpd.errors import AccessDenied, AgentFailed, Unreachable

_TIMEOUT_S = 90.0
_NOT_SET = {"", "[not set]", "18446744073709551615"}
LIMIT_PROPERTIES = ("MemoryHigh", "MemoryMax", "CPUQuotaPerSecUSec", "TasksMax", "Nice")
"""How systemctl show calls the fields of ``Limits``, in their order."""
_STATE_PROPERTIES = ("Id", "ActiveState", "SubState", "Result", "FreezerState", "NRestarts", "ActiveEnterTimestamp")
_USE_PROPERTIES = ("MemoryCurrent", "CPUUsageNSec", "TasksCurrent")
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
    shown = systemctl(
        "show", f"--property={','.join((*_STATE_PROPERTIES, *_USE_PROPERTIES, *LIMIT_PROPERTIES))}", *named
    )
    return {named[unit]: state for unit, state in parse(shown).items() if unit in named}


def parse(shown: str) -> dict[str, State]:
    """Return the units that ``systemctl show`` printed, by name."""
    found = {}
    for block in shown.strip().split("\n\n"):
        values = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in values:
            frozen = values.get("FreezerState", "running") == "frozen"
            state = (values.get("ActiveState", ""), values.get("SubState", ""), values.get("Result", ""))
            found[values["Id"]] = State(*state, frozen, values)
    return found


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
        raise AccessDenied(f"systemctl {verb}: you may not do this; ask root, or somebody in group mcp-admin")
    raise AgentFailed(f"systemctl {verb}: {said}")
