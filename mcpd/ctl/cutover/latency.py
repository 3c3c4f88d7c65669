"""How long mcpd's port takes to answer, whoever listens there: what both systems have is GET /api/mcp/status."""

from __future__ import annotations

import http.client
import time

from mcpd.ctl.cutover.criteria import percentile
from mcpd.errors import EX_NOPERM, Unreachable
from mcpd.store.cutovers import Baseline

PATH = "/api/mcp/status"
_TIMEOUT_S = 5.0


class Refused(Unreachable):
    """Who listens there does not serve this user."""

    exit_status = EX_NOPERM


def measure(requests: int, now_us: int, port: int) -> Baseline:
    """Send *requests*, one after the other, each on a connection of its own; raises ``Unreachable``."""
    durations_us, server = [], "legacy"
    for _ in range(requests):
        started_ns = time.perf_counter_ns()
        server = ask(port)
        durations_us.append((time.perf_counter_ns() - started_ns) // 1000)
    p50_us, p95_us = percentile(durations_us, 0.5), percentile(durations_us, 0.95)
    return Baseline(now_us, server, requests, p50_us, p95_us, max(durations_us))


def ask(port: int) -> str:
    """Return who answers on *port*, "mcpd" or "legacy"; raises ``Unreachable`` when nobody does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", PATH)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as exc:
        raise Unreachable(f"port {port} does not answer: {exc or type(exc).__name__}") from exc
    finally:
        connection.close()
    if answer.status == 403:
        raise Refused(f"who answers on port {port} does not serve this user; run as root, by sudo")
    if answer.status != 200:
        raise Unreachable(f"port {port} answers {PATH} with HTTP {answer.status}")
    return "mcpd" if b'"server_version"' in body else "legacy"
