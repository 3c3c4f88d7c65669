"""The benchmark runs, every case is answered without an error, no audit row is missing. Speed is not judged here."""

from __future__ import annotations

import os
import shutil

import pytest
from rich.console import Console

from tests.bench.benchmark import CASES, benchmark
from tests.bench.measure import SHORT
from tests.bench.servers import MCPD, NGINX, SDK

pytestmark = pytest.mark.host


def _missing() -> list[str]:
    programs = [program for program in ("wrk", "nginx", "setpriv") if shutil.which(program) is None]
    return programs + [name for name in ("MCPD_FOREIGN",) if name not in os.environ]


@pytest.mark.skipif(bool(_missing()) and "CI" not in os.environ, reason=f"not there: {', '.join(_missing())}")
def test_every_case_is_answered_and_compared(capsys: pytest.CaptureFixture[str]) -> None:
    report = benchmark(SHORT)
    with capsys.disabled():
        report.print(Console(width=120))

    for case in CASES:
        for connections in SHORT.connections:
            for server in (MCPD, SDK, NGINX):
                cell = report.results.cell(case, connections, server)
                assert cell.requests > 0, (case, connections, server)
                assert cell.errors == 0, (case, connections, server)
    assert all(ratio["sdk"] > 0 and ratio["nginx"] > 0 for ratio in report.ratios())
    assert len(report.ratios()) == len(CASES) * len(SHORT.connections)
    assert report.audit_rows >= report.audited_answers
