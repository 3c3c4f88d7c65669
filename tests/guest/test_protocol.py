"""What only the installed daemon can show of MCP: the official suite against the package, a client over restarts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import suite

from .machine import GUEST, ROOT, Guest

FIXTURES = ROOT / "tests" / "conformance" / "fixtures.py"
LASTING = Path(__file__).with_name("lasting.py")
RESTARTS = 5


@pytest.fixture(scope="module", autouse=True)
def fixtures(guest: Guest) -> None:
    guest.push(FIXTURES, to="/etc/mcpd/tools.d/")
    guest.exec("systemctl", "restart", "mcpd-rpc.service")


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
def test_the_conformance_suite_passes_against_the_package(guest: Guest, revision: str, tmp_path: Path) -> None:
    results = suite.run("http://localhost:8099/mcp", revision, tmp_path, within=[str(GUEST), "net", guest.name])
    assert set(results) >= set(suite.requirements(revision).scenarios)
    wrong = [
        f"{scenario}: {check}"
        for scenario, checks in results.items()
        for check in checks
        if not check.is_fine(scenario)
    ]
    assert not wrong, "\n".join(wrong)


class Client:
    """``lasting.py`` at work."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert self._line() == "ready\n"

    def tell(self, word: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        result: dict[str, Any] = json.loads(self._line())
        return result

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextmanager
def lasting(guest: Guest) -> Iterator[Client]:
    command = [str(GUEST), "net", guest.name, sys.executable, str(LASTING), "8099"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        try:
            yield Client(process)
        finally:
            process.terminate()


def test_a_session_its_stream_and_a_question_live_through_restarts(guest: Guest) -> None:
    before = len(guest.activities())
    with lasting(guest) as client:
        with guest.load("lasting") as load:
            for _ in range(RESTARTS):
                guest.exec("systemctl", "restart", "mcpd-rpc.service")
                time.sleep(0.3)
        logged = len(guest.activities()) - before
        assert logged >= load.result.answered > 100
        heard = client.tell(f"until {logged}")
        answered = client.tell("answer")
    assert heard["updates"] == logged, "each change is told once"
    assert heard["ids"] == sorted(set(heard["ids"]))
    assert answered["refused"] == [], "no request of the session was refused"
    assert answered["questions"] == 1, "the question was asked once"
    assert "bob" in answered["answer"]
    assert answered["reconnects"] >= 2 * RESTARTS
    print(f"{RESTARTS} restarts, {logged} events, {answered['reconnects']} reconnects")
