"""Fixtures: the packages built from this checkout, and machines that have them installed.

A machine boots in a second and the package installs in another, so every module gets a fresh one. When a test fails,
its machine's journal is part of the report.
"""

from __future__ import annotations

import subprocess
from collections.abc import Generator, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import pytest

from .machine import NAME, ROOT, Guest, script


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Packages:
    """The package of this checkout, and the same files as two other versions, each made when it is asked for."""

    def __init__(self, output: Path) -> None:
        self.output = output

    @cached_property
    def current(self) -> Path:
        return Path(run(ROOT / "packaging" / "build-deb", "--lintian", "--output", self.output))

    @cached_property
    def newer(self) -> Path:
        return self._renumbered("+1")

    @cached_property
    def previous(self) -> Path:
        return self._renumbered("~1")

    @cached_property
    def later(self) -> Path:
        """A version that changes the schema."""
        step = "usr/lib/python3/dist-packages/mcpd/store/migrations/999_later.sql"
        return self._renumbered("+2", {step: "CREATE TABLE later (x TEXT) STRICT;\n"})

    def _renumbered(self, suffix: str, more: Mapping[str, str] = MappingProxyType({})) -> Path:
        name, version, architecture = self.current.name.split("_")
        tree, deb = self.output / f"tree{suffix}", self.output / f"{name}_{version}{suffix}_{architecture}"
        run("dpkg-deb", "--raw-extract", self.current, tree)
        for path, text in more.items():
            (tree / path).write_text(text)
        control = tree / "DEBIAN" / "control"
        control.write_text(control.read_text().replace(f"Version: {version}\n", f"Version: {version}{suffix}\n"))
        run("dpkg-deb", "--root-owner-group", "--build", tree, deb)
        return deb


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    return Packages(tmp_path_factory.mktemp("deb"))


@pytest.fixture(scope="module")
def bare() -> Iterator[Guest]:
    """A fresh machine without mcpd."""
    guest = Guest(NAME)
    assert script("up", guest.name) == "running\n"
    # The load clients ask as one caller, far more often than anybody may unless the administrator says so.
    guest.exec("sh", "-c", "echo MCP_RATE_LIMIT=0 >/etc/default/mcpd")
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
