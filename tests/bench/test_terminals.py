"""What the front door costs: little enough, in the worst of several echoes too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.bench import terminals
from tests.functional.terminals import TTYD

pytestmark = pytest.mark.host


@pytest.mark.skipif(not TTYD and "CI" not in os.environ, reason="no ttyd; MCPD_TTYD may name one")
def test_the_front_door_adds_less_than_two_milliseconds_to_an_echo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = terminals.run(tmp_path)
    with capsys.disabled():
        print(f"\n{found}")
    assert found.added_p95_us < 2000
    assert found.throughput_ratio > 0.5
