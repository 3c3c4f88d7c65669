"""The linters are tests; on a machine without one, its test is skipped, in CI it fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.host


def lint(tool: str, *arguments: str) -> None:
    found = shutil.which(tool, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        assert "CI" not in os.environ, f"{tool} is not installed"
        pytest.skip(f"{tool} is not installed")
    done = subprocess.run([found, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_check() -> None:
    lint("ruff", "check", "--no-cache", ".")


def test_ruff_format() -> None:
    lint("ruff", "format", "--no-cache", "--check", ".")


def test_mypy() -> None:
    lint("mypy", "--cache-dir", os.devnull)
