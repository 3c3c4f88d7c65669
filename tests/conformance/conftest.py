"""Fixtures: one daemon for the whole suite, and one run of the suite for each revision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest

from tests.conformance import suite
from tests.functional.daemon import Daemon

Results = Callable[[str], dict[str, list[suite.Check]]]


@pytest.fixture(scope="session")
def rpc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """The daemon that the suite is run against."""
    directory = tmp_path_factory.mktemp("daemon")
    daemon = Daemon(directory, suite.settings(directory))
    daemon.migrate()
    daemon.start()
    yield daemon
    daemon.close()


@pytest.fixture(scope="session")
def results(rpc: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Return a function that gives the checks of every scenario of a revision."""
    return cache(lambda revision: suite.run(f"{rpc.url}/mcp", revision, tmp_path_factory.mktemp(revision)))
