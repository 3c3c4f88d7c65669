"""The benchmarks of mcpd-ws run and every event reaches everybody. Speed is not judged here."""

from __future__ import annotations

import pytest
from rich.console import Console

from tests.bench import doorbells, websockets

pytestmark = pytest.mark.host


def test_what_a_websocket_costs(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        found = websockets.measure(websockets.SHORT, Console(width=110))
    assert found["memory plain"] < 100
    assert all(value > 0 for name, value in found.items() if name.startswith(("ratio", "latency")))


def test_every_way_to_learn_of_a_commit_hears_of_every_event(capsys: pytest.CaptureFixture[str]) -> None:
    found = doorbells.compare(50, 0.5)
    with capsys.disabled():
        doorbells.show(found, Console(width=110))
    assert set(found) == set(doorbells.METHODS)
