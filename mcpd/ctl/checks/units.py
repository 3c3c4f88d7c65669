"""The units: loaded, and in the state that lets mcpd answer."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mcpd.agents.agent import MANAGER
from mcpd.ctl.checks.check import Check, failed, ok, skipped, warning
from mcpd.ctl.client import START
from mcpd.errors import Unreachable

TARGET = "mcp.target"
MIGRATION = "mcpd-migrate.service"
BACKUP, TIMER = "mcpd-backup.service", "mcpd-backup.timer"
MAINTENANCE, MAINTENANCE_TIMER = "mcpd-maintenance.service", "mcpd-maintenance.timer"
SOCKETS = (
    "mcpd-rpc.socket", "mcpd-rpc6.socket", "mcpd-ws.socket", "mcpd-ws6.socket", "mcpd-ttyd-manager.socket",
    "mcpd-ttyd-control.socket",
)  # fmt: skip
SERVICES = {
    "mcpd-rpc.service": "mcpd-rpc.socket",
    "mcpd-ws.service": "mcpd-ws.socket",
    "mcpd-ttyd-manager.service": "mcpd-ttyd-manager.socket",
}
"""A service that its socket starts → that socket."""
TERMINALS = "mcp-terminal@*.socket"

_PROPERTIES = "Id,LoadState,ActiveState,SubState,Result,ExecMainStatus,ConditionResult,Listen"
_PORT = re.compile(r":(\d+) \(Stream\)$")
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as systemd describes it; *ports* are the TCP ports that a socket unit listens on."""

    name: str
    load: str = "loaded"
    active: str = "inactive"
    sub: str = "dead"
    result: str = "success"
    status: int = 0
    condition: bool = True
    ports: tuple[int, ...] = field(default=())

    @property
    def is_active(self) -> bool:
        """Whether the unit does its work."""
        return self.active == "active"

    @property
    def is_terminal(self) -> bool:
        """Whether the manager serves this socket."""
        return self.name.startswith("mcp-terminal@")

    @property
    def start(self) -> str:
        """The command that starts it; a socket whose service runs is started together with that or not at all."""
        return f"systemctl restart {MANAGER}" if self.is_terminal else START


def gather() -> dict[str, Unit] | None:
    """Return mcpd's units by name; None where systemd does not run. Raises ``Unreachable`` when it does not answer."""
    if not Path("/run/systemd/system").is_dir():
        return None
    names = (
        TARGET,
        MIGRATION,
        BACKUP,
        TIMER,
        MAINTENANCE,
        MAINTENANCE_TIMER,
        *SOCKETS,
        *SERVICES,
        "mcpd-*.socket",
        TERMINALS,
    )
    # Without --all a pattern leaves out those that are stopped.
    command = ["systemctl", "show", "--all", f"--property={_PROPERTIES}", *names]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Unreachable(f"systemctl show: {exc}") from exc
    if shown.returncode:
        raise Unreachable(f"systemctl show: {shown.stderr.strip()}")
    return parse(shown.stdout)


def parse(shown: str) -> dict[str, Unit]:
    """Return the units that ``systemctl show`` printed: blocks of ``Key=value``, some keys more than once."""
    found = {}
    for block in shown.strip().split("\n\n"):
        lines = [line.partition("=") for line in block.splitlines()]
        last = {key: value for key, _, value in lines}
        if "Id" not in last:
            continue
        found[last["Id"]] = Unit(
            name=last["Id"],
            load=last.get("LoadState", ""),
            active=last.get("ActiveState", ""),
            sub=last.get("SubState", ""),
            result=last.get("Result", "success"),
            status=int(last.get("ExecMainStatus") or 0),
            condition=last.get("ConditionResult", "yes") != "no",
            ports=tuple(int(port[1]) for key, _, value in lines if key == "Listen" and (port := _PORT.search(value))),
        )
    return found


def judge(units: Mapping[str, Unit] | None) -> list[Check]:
    """Return a check for each unit that mcpd needs, and one for the terminals."""
    if units is None:
        return [skipped("units", "systemd is not running here")]
    if all(unit.load == "not-found" for unit in units.values()):
        return [skipped("units", "mcpd's package is not installed here")]
    checks = [judge_one(units.get(name, Unit(name, load="not-found")), units) for name, judge_one in _JUDGES.items()]
    return checks + _terminals(units)


def _judge_target(unit: Unit, _units: Mapping[str, Unit]) -> Check:
    return _usual(unit) or failed(unit.name, "is stopped", START)


def _judge_socket(unit: Unit, _units: Mapping[str, Unit]) -> Check:
    if not unit.is_active and not unit.condition:
        return skipped(unit.name, "is not needed here: its condition is not met")
    return _usual(unit) or failed(unit.name, "does not listen", unit.start)


def _judge_service(unit: Unit, units: Mapping[str, Unit]) -> Check:
    usual = _usual(unit)
    if usual is not None:
        return usual
    if unit.active == "activating":
        return warning(unit.name, f"is being started ({unit.sub})", _logs(unit))
    socket = units.get(SERVICES[unit.name])
    if socket is not None and socket.is_active:
        return ok(unit.name, "starts with the next request")
    return failed(unit.name, "is stopped, and its socket does not listen", START)


def _judge_migration(unit: Unit, _units: Mapping[str, Unit]) -> Check:
    return _usual(unit) or warning(unit.name, "has not run since it was stopped", START)


def _judge_timer(unit: Unit, _units: Mapping[str, Unit]) -> Check:
    without = "no backup is made at night" if unit.name == TIMER else "old events are not removed"
    return _usual(unit) or warning(unit.name, f"is stopped: {without}", START)


def _judge_job(unit: Unit, _units: Mapping[str, Unit]) -> Check:
    if unit.active == "failed":
        status = f" (exit status {unit.status})" if unit.status else ""
        return failed(unit.name, f"failed: {unit.result}{status}", f"{_logs(unit)}; then systemctl start {unit.name}")
    return _usual(unit) or ok(unit.name, "is at work" if unit.active == "activating" else "the last one went well")


def _usual(unit: Unit) -> Check | None:
    """Judge what is the same for every unit; None where it depends on its kind."""
    if unit.load == "not-found":
        return failed(unit.name, "is not installed", "install the package mcpd again")
    if unit.load != "loaded":
        return failed(unit.name, f"is {unit.load}", f"systemctl status {unit.name}")
    if unit.active == "failed":
        status = f" (exit status {unit.status})" if unit.status else ""
        return failed(unit.name, f"failed: {unit.result}{status}", f"{_logs(unit)}; then {unit.start}")
    state = unit.active if unit.active == unit.sub else f"{unit.active} ({unit.sub})"
    return ok(unit.name, state) if unit.is_active else None


def _logs(unit: Unit) -> str:
    return f"mcpctl logs {unit.name.removesuffix('.service')}"


def _terminals(units: Mapping[str, Unit]) -> list[Check]:
    found = [unit for _, unit in sorted(units.items()) if unit.is_terminal]
    return [_judge_socket(unit, units) for unit in found] or [skipped("terminals", "this machine has none")]


_JUDGES: dict[str, Callable[[Unit, Mapping[str, Unit]], Check]] = {
    TARGET: _judge_target,
    **dict.fromkeys(SOCKETS, _judge_socket),
    **dict.fromkeys(SERVICES, _judge_service),
    MIGRATION: _judge_migration,
    TIMER: _judge_timer,
    BACKUP: _judge_job,
    MAINTENANCE_TIMER: _judge_timer,
    MAINTENANCE: _judge_job,
}
