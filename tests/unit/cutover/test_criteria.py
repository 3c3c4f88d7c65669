"""What a cut-over is judged by, over facts."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.config import Cutover
from mcpd.ctl.checks.check import failed, ok, warning
from mcpd.ctl.cutover import criteria
from mcpd.ctl.cutover.criteria import Look

SETTINGS = Cutover()
GOOD = Look((ok("mcp.target", "active"), warning("disk space", "little", "")), 1_000, (), 0)


def test_all_is_well_where_nothing_failed() -> None:
    assert criteria.judge(GOOD, 1_000, SETTINGS) == {}
    assert criteria.judge(GOOD, None, SETTINGS) == {}


@pytest.mark.parametrize(
    ("check", "criterion"),
    [
        ("mcpd-rpc.service", "availability"),
        ("port 8099", "availability"),
        ("port 8090", "terminals"),
        ("port 8098", "terminals"),
        ("mcp-terminal@testing.socket", "terminals"),
        ("integrity", "corruption"),
        ("database", "corruption"),
        ("configuration", "availability"),
    ],
)
def test_a_failed_check_is_its_criterion_s(check: str, criterion: str) -> None:
    look = dataclasses.replace(GOOD, checks=(failed(check, "is broken", ""),))
    assert criteria.judge(look, None, SETTINGS) == {criterion: f"{check}: is broken"}


def test_a_backup_that_failed_says_nothing_about_the_cut_over() -> None:
    look = dataclasses.replace(GOOD, checks=(failed("mcpd-backup.service", "failed", ""),))
    assert criteria.judge(look, None, SETTINGS) == {}


def test_everything_else_that_is_seen_is_judged() -> None:
    look = Look((), None, ("a", "b"), 2)
    wrong = criteria.judge(look, 1_000, SETTINGS)
    assert list(wrong) == ["availability", "errors", "report"]
    assert wrong["errors"] == "2 in the journal, the last: b"


def test_a_damaged_database_is_the_reason_and_not_what_follows_from_it() -> None:
    look = Look((failed("port 8099", "refuses", ""), failed("database", "is damaged", "")), None, ("a",), 0)
    wrong = criteria.judge(look, None, SETTINGS)
    assert criteria.decide([wrong], SETTINGS) == "corruption: database: is damaged"


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_latency_is_compared_with_the_baseline(p95_us: int, baseline_us: int) -> None:
    wrong = criteria.judge(dataclasses.replace(GOOD, p95_us=p95_us), baseline_us, SETTINGS)
    assert ("latency" in wrong) == (p95_us > 1.5 * baseline_us)


def test_one_slow_look_or_two_lead_nowhere_and_a_third_back() -> None:
    slow = {"latency": "p95 is 9 ms"}
    assert criteria.decide([], SETTINGS) is None
    assert criteria.decide([slow, slow], SETTINGS) is None
    assert criteria.decide([slow, {}, slow], SETTINGS) is None
    assert criteria.decide([slow, slow, slow], SETTINGS) == "latency: p95 is 9 ms"
    assert criteria.decide([slow, slow, {}], SETTINGS) is None


@pytest.mark.parametrize("name", [name for name in criteria.CRITERIA if name != "latency"])
def test_what_follows_is_what_the_configuration_says(name: str) -> None:
    assert criteria.decide([{name: "so"}], SETTINGS) == f"{name}: so"
    alert: dict[str, Any] = {name: "alert"}
    assert criteria.decide([{name: "so"}], dataclasses.replace(SETTINGS, **alert)) is None


def test_every_criterion_has_its_key() -> None:
    keys = {field.name for field in dataclasses.fields(Cutover)}
    assert set(criteria.CRITERIA) == keys - {"watch_s", "interval_s", "latency_ratio"}


@given(st.lists(st.integers(0, 1000), min_size=1), st.sampled_from([0.5, 0.95, 1.0]))
def test_a_percentile_is_a_duration_that_so_many_do_not_exceed(durations: list[int], share: float) -> None:
    found = criteria.percentile(durations, share)
    assert found in durations
    assert sum(duration <= found for duration in durations) >= share * len(durations)
    assert sum(duration < found for duration in durations) < share * len(durations)


def test_errors_of_a_backup_say_nothing_about_the_cut_over_either() -> None:
    entries: list[dict[str, object]] = [
        {"MESSAGE": "no backup was made", "_SYSTEMD_UNIT": "mcpd-backup.service"},
        {"MESSAGE": "Failed to start", "_SYSTEMD_UNIT": "init.scope", "UNIT": "mcpd-backup.service"},
        {"MESSAGE": "it broke", "_SYSTEMD_UNIT": "mcpd-rpc.service"},
        {"MESSAGE": [255, 254], "_SYSTEMD_UNIT": "mcpd-rpc.service"},
    ]
    assert criteria.errors(entries) == ("it broke", "[255, 254]")
