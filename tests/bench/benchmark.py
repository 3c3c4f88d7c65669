"""One benchmark: start the servers, measure, look whether the audit holds what was answered, stop everything."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

from tests.bench import servers
from tests.bench.cold import cold_starts
from tests.bench.machine import machine, versions
from tests.bench.measure import Plan, Results, run
from tests.bench.messages import HANDSHAKE, MODERN, OPERATIONS
from tests.bench.processes import Cores, pinned
from tests.bench.report import Report
from tests.bench.servers import MCPD, Case

CASES = tuple(Case(operation, era) for operation in OPERATIONS for era in (MODERN, HANDSHAKE))


def benchmark(plan: Plan) -> Report:
    """Run *plan*; raises ``LookupError`` when a peer is not installed."""
    where, what = machine(), versions()
    cores = Cores.choose()
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mcpd-bench-")))
        for name in ("mcpd", "cold"):
            (directory / name).mkdir()
        cold_s = cold_starts(directory / "cold", plan.cold_starts)
        with pinned(cores.server):
            ours = stack.enter_context(servers.mcpd(directory / "mcpd", CASES))
            sdk = stack.enter_context(servers.sdk(directory, CASES))
            nginx = stack.enter_context(servers.nginx(directory, ours))
        for server in (ours, sdk, nginx):
            servers.probe(server)
        before = _audit_rows(directory)
        results = run(plan, CASES, (ours, sdk, nginx), cores)
        rows = _audit_rows(directory) - before
    return Report(where, what, plan, CASES, results, cold_s, rows, _audited(results))


def _audit_rows(directory: Path) -> int:
    with closing(sqlite3.connect(directory / "mcpd" / "mcp.db")) as db:
        return int(db.execute("SELECT count(*) FROM audit WHERE outcome = 'ok'").fetchone()[0])


def _audited(results: Results) -> int:
    """Return how many answers mcpd may only have given after their audit rows were committed."""
    return sum(
        cell.requests
        for (case, _, server), cell in results.cells.items()
        if server == MCPD and case.operation.tool is not None
    )
