"""The official conformance suite against the real daemon: every scenario of it, scored or not, without a warning."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.conformance.conftest import Results
from tests.conformance.suite import requirements

pytestmark = pytest.mark.host

# How many scenarios the suite has for servers: scored ones, and others. A new version of it must not pass unseen.
COUNTS = {"2025-11-25": (30, 3), "2026-07-28": (37, 13)}
SKIPS_ITSELF = {"tasks-status-notifications"}  # of whatever server
# What mcpd, or the plug-in with the suite's fixtures, cannot do yet; the one that can does away with its line.
PENDING = set(Path(__file__).with_name("pending").read_text().splitlines())


def case(revision: str, scenario: str) -> ParameterSet:
    name = f"{revision}-{scenario}"
    marks = [pytest.mark.xfail(strict=True, reason="pending")] if name in PENDING else []
    return pytest.param(revision, scenario, id=name, marks=marks)


CASES = [case(revision, scenario) for revision in COUNTS for scenario in requirements(revision).scenarios]


def test_the_suite_has_the_scenarios_that_we_know_of() -> None:
    found = {revision: requirements(revision) for revision in COUNTS}
    assert {f"{revision}-{name}" for revision, of in found.items() for name in of.scenarios} >= PENDING
    assert {revision: (len(set(of.scored)), len(set(of.not_scored))) for revision, of in found.items()} == COUNTS


@pytest.mark.parametrize(("revision", "scenario"), CASES)
def test_a_scenario(revision: str, scenario: str, results: Results) -> None:
    checks = results(revision).get(scenario, [])
    assert checks, "the suite says nothing of it"
    fine = {"SUCCESS", "INFO"} | ({"SKIPPED"} if scenario in SKIPS_ITSELF else set())
    wrong = [str(check) for check in checks if check.status not in fine]
    assert not wrong, "\n".join(wrong)
