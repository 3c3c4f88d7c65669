"""The fuzzer's seeds, and every input that it ever found wanting, stay harmless; tests/fuzz looks for new ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.target import SEEDS, Target


@pytest.mark.parametrize("seed", sorted(SEEDS.iterdir()), ids=lambda path: path.name)
def test_a_seed_makes_requests_and_no_fault(tmp_path: Path, seed: Path) -> None:
    target = Target(str(tmp_path))
    data = seed.read_bytes()
    assert target.feed(data) >= 1
    for cut in range(0, len(data), 7):
        target.feed(data[:cut])
