"""The ports: mcpd-rpc answers on its own, and on every other port of a unit somebody listens.

A port other than mcpd-rpc's is not connected to: that would start what the unit starts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mcpd.ctl import client
from mcpd.ctl.checks.check import Check, failed, ok
from mcpd.ctl.checks.units import Unit
from mcpd.ctl.client import START, Client, NoAnswer
from mcpd.errors import Error
from mcpd.ports import Ports

_RELISTEN = "systemctl daemon-reload && systemctl restart mcpd-rpc.socket mcpd-ws.socket"
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Holder:
    """A listening socket: where, and whose it is as far as the kernel tells us."""

    address: str
    pid: int | None = None
    program: str | None = None

    def __str__(self) -> str:
        if self.pid is None:
            return f"another user's process on {self.address} (root may see which)"
        return f"{self.program or 'a process'} (pid {self.pid}) on {self.address}"


@dataclass(frozen=True, slots=True)
class Probe:
    """What asking for the health came to: healthy after *duration_ms*, or what was *wrong* and the *advice*."""

    wrong: str | None = None
    advice: str = ""
    duration_ms: float = 0.0


def probe(url: str) -> Probe:
    """Ask the mcpd-rpc at *url* whether it is healthy."""
    started_s = time.perf_counter()
    try:
        answer = Client(client.endpoint(url), _TIMEOUT_S).request("GET", "/api/mcp/health")
    except NoAnswer as error:
        return Probe(error.what, error.hint)
    except Error as error:
        return Probe(error.message)
    if answer.status == 200 and answer.body.get("status") == "healthy":
        return Probe(duration_ms=(time.perf_counter() - started_s) * 1000)
    return Probe(answer.reason, "mcpctl logs rpc")


def listeners() -> dict[int, list[Holder]]:
    """Return who listens on each TCP port of this machine."""
    import psutil

    found: dict[int, list[Holder]] = {}
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr:
            host, port = connection.laddr[:2]
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            found.setdefault(port, []).append(Holder(address, connection.pid, _program(connection.pid)))
    return found


def _program(pid: int | None) -> str | None:
    import psutil

    if pid is None:
        return None
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return None


def judge_probe(name: str, probe: Probe, holders: Sequence[Holder] = ()) -> Check:
    """Judge what mcpd-rpc answered; *holders* listen on the port if *probe* went to one."""
    if probe.wrong is None:
        return ok(name, f"answers in {probe.duration_ms:.0f} ms")
    if holders and not probe.advice:
        return failed(name, f"{probe.wrong}; held by {_names(holders)}", f"stop that; then {START}")
    return failed(name, probe.wrong, probe.advice)


def judge(
    units: Mapping[str, Unit] | None, listening: Mapping[int, Sequence[Holder]], rpc: Check, configured: Ports
) -> list[Check]:
    """Judge every port that a unit of mcpd has or should have, except those of units whose condition is not met.

    *rpc* is what was found out about mcpd-rpc's.
    """
    needed = [unit for unit in (units or {}).values() if unit.is_active or unit.condition]
    wanted = {port: unit for unit in needed for port in unit.ports}
    found = {port: _judge_port(port, unit, listening.get(port, ())) for port, unit in sorted(wanted.items())}
    return list((found | {configured.rpc: rpc} | _stale(units or {}, listening, configured)).values())


def _stale(units: Mapping[str, Unit], listening: Mapping[int, Sequence[Holder]], configured: Ports) -> dict[int, Check]:
    """Judge the configured ports on which a socket that listens does not: it was not restarted since."""
    found = {}
    for name, port in configured.by_daemon().items():
        unit = units.get(f"{name}.socket")
        if unit is not None and unit.is_active and (port not in unit.ports or port not in listening):
            holders = f"; held by {_names(listening[port])}" if port in listening else ""
            what = f"is configured, but {unit.name} does not listen there{holders}"
            found[port] = failed(f"port {port}", what, _RELISTEN)
    return found


def _judge_port(port: int, unit: Unit, holders: Sequence[Holder]) -> Check:
    name = f"port {port}"
    start = unit.start if unit.is_terminal else f"systemctl start {unit.name}"
    if unit.is_active and holders:
        return ok(name, f"{unit.name} listens")
    if holders:
        return failed(name, f"held by {_names(holders)}, so {unit.name} cannot listen", f"stop that; then {start}")
    return failed(name, f"nobody listens, {unit.name} is {unit.active}", start)


def _names(holders: Iterable[Holder]) -> str:
    return ", ".join(dict.fromkeys(map(str, holders)))
