"""The benchmark of backups runs, and no write fails beside one. Speed is not judged here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import backups

pytestmark = pytest.mark.host


def test_writes_go_on_during_a_backup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = backups.measure(tmp_path, mib=8, seconds=1, rows=2000)
    with capsys.disabled():
        print(f"\n{found}")
    assert (found.paced.failed, found.flat_out.failed) == (0, 0)
    assert found.paced.ratio > 0
    assert found.flat_out.ratio > 0
