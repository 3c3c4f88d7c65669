"""The official conformance suite against the real daemon: every scenario of it, scored or not, without a warning."""

from __future__ import annotations

import pytest

from tests.conformance.conftest import Results
from tests.conformance.suite import requirements

pytestmark = pytest.mark.host

# How many scenarios the suite has for servers: scored ones, and others. A new version of it must not pass unseen.
COUNTS = {"2025-11-25": (30, 3), "2026-07-28": (37, 13)}
CASES = [(revision, scenario) for revision in COUNTS for scenario in requirements(revision).scenarios]


def test_the_suite_has_the_scenarios_that_we_know_of() -> None:
    found = {revision: requirements(revision) for revision in COUNTS}
    assert {revision: (len(set(of.scored)), len(set(of.not_scored))) for revision, of in found.items()} == COUNTS


@pytest.mark.parametrize(("revision", "scenario"), CASES)
def test_a_scenario(revision: str, scenario: str, results: Results) -> None:
    checks = results(revision).get(scenario, [])
    assert checks, "the suite says nothing of it"
    wrong = [str(check) for check in checks if not check.is_fine(scenario)]
    assert not wrong, "\n".join(wrong)
