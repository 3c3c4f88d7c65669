"""The old system, where a rollback has led back to it: it is what has to answer, and mcpd's units are stopped."""

from __future__ import annotations

import time

from mcpd.ctl.checks.check import Check, failed, ok, skipped, warning
from mcpd.ctl.checks.ports import Probe
from mcpd.errors import Unreachable

FORWARD = "mcpctl rollback --forward leads to mcpd, with what was written meanwhile"
LOGS = "journalctl --unit='mcp-legacy@*'; or mcpctl rollback --forward"


def probe(port: int) -> Probe:
    """Ask *port*, mcpd-rpc's, whether the old system answers there."""
    from mcpd.ctl.cutover import latency

    started_s = time.perf_counter()
    try:
        server = latency.ask(port)
    except Unreachable as error:
        return Probe(error.message)
    return Probe(None if server == "legacy" else "is answered by mcpd", "", (time.perf_counter() - started_s) * 1000)


def judge(probe: Probe, port: int) -> list[Check]:
    """Return the checks of a machine that the old system serves on *port*."""
    name = f"port {port}"
    answered = ok(name, f"the old system answers in {probe.duration_ms:.0f} ms")
    return [
        warning("mcp-legacy.target", "active: the old system serves, and mcpd does not", FORWARD),
        skipped("units", "mcpd's are stopped while the old system serves"),
        answered if probe.wrong is None else failed(name, probe.wrong, LOGS),
    ]
