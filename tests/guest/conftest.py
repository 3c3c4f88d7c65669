"""Fixtures: the packages built from this checkout, and machines that have them installed.

A machine boots in a second and the package installs in another, so every module gets a fresh one. When a test fails,
its machine's journal is part of the report.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator, Iterator
from functools import cached_property
from pathlib import Path

import pytest

from .machine import ROOT, Guest, script


class Packages:
    """The same files as three versions, each built when it is asked for."""

    def __init__(self, output: Path) -> None:
        self.output = output

    def _build(self, *options: str) -> Path:
        command = [str(ROOT / "packaging" / "build-deb"), "--output", str(self.output), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return Path(done.stdout.strip())

    @cached_property
    def current(self) -> Path:
        return self._build("--lintian")

    @cached_property
    def newer(self) -> Path:
        return self._build("--version-suffix", "+1")

    @cached_property
    def previous(self) -> Path:
        return self._build("--version-suffix", "~1")


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    return Packages(tmp_path_factory.mktemp("deb"))


@pytest.fixture(scope="module")
def bare() -> Iterator[Guest]:
    """A fresh machine without mcpd."""
    guest = Guest(os.environ.get("MCPD_GUEST", "pytest"))
    assert script("up", guest.name) == "running\n"
    yield guest
    script("clean", guest.name)


@pytest.fixture(scope="module")
def guest(bare: Guest, packages: Packages) -> Guest:
    """A fresh machine with mcpd as apt installed it."""
    bare.apt_install(packages.current)
    return bare


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fixtures = getattr(item, "funcargs", {})
    machine = fixtures.get("guest") or fixtures.get("bare")
    if report.failed and isinstance(machine, Guest):
        report.sections.append(("journal of the guest", machine.journal("-n", "200", "-u", "mcp*")))
    return report
