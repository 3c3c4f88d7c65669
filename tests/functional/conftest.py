"""Fixtures: a daemon for one test, or one for all tests of a module that leave nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.functional.daemon import Daemon

MakeDaemon = Callable[..., Daemon]
UNLIMITED = "[limits]\nrequests_per_min = 0\n"
"""For tests that ask more often than one caller may."""


@pytest.fixture
def make_daemon(tmp_path: Path) -> Iterator[MakeDaemon]:
    """Return a function that starts a daemon with the given settings (TOML text)."""
    made: list[Daemon] = []

    def make(settings: str = "", environment: dict[str, str] | None = None) -> Daemon:
        directory = tmp_path / f"daemon{len(made)}"
        directory.mkdir()
        daemon = Daemon(directory, settings, environment or {})
        made.append(daemon)
        daemon.migrate()
        daemon.start()
        return daemon

    yield make
    for daemon in made:
        daemon.close()


@pytest.fixture
def rpc(make_daemon: MakeDaemon) -> Daemon:
    """A daemon with the default settings."""
    return make_daemon()


@pytest.fixture(scope="module")
def shared_rpc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that the tests of a module share, with deadlines short enough to wait for."""
    settings = "[server]\nheader_timeout_s = 1.0\nbody_timeout_s = 1.0\nidle_timeout_s = 60.0\n"
    daemon = Daemon(tmp_path_factory.mktemp("daemon"), settings)
    daemon.migrate()
    daemon.start()
    yield daemon
    daemon.close()
