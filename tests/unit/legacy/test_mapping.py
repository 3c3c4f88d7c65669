"""Row by row: what each table of each variant becomes."""

from __future__ import annotations

import json
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcpd.legacy import mapping, rows, values
from mcpd.legacy.mapping import Fate
from mcpd.legacy.rows import Row, Sum, Torn
from mcpd.times import NEVER_US

ROME = ZoneInfo("Europe/Rome")
T = "2025-09-18T10:15:00"  # local
T_US = 1758183300_000_000


def fate(table: str, **row: object) -> Fate:
    return mapping.fate(table, row, ROME)  # type: ignore[arg-type]


def test_an_activity_keeps_what_it_said() -> None:
    found = fate(
        "activities", id="x", agent="testing", timestamp=T, activity="go", category="planning", status="pending",
        metadata='{"a": 1}',
    )  # fmt: skip
    assert (found.outcome, found.target) == ("migrated", "activities")
    assert found.values == (T_US, "testing", "go", "planning", "pending", '{"a": 1}')


def test_an_activity_without_anything_but_a_time_gets_the_old_defaults() -> None:
    found = fate("activities", id=1, agent=None, timestamp="2025-09-18 08:15:00", activity=None)
    assert found.values == (T_US, "unknown", "", "info", "completed", None)


def test_the_time_may_stand_in_the_id() -> None:
    assert fate("activities", id="hook_1_1758183300", timestamp=None, activity="x").values[0] == T_US


def test_an_activity_of_no_time_is_set_aside() -> None:
    found = fate("activities", id=1, timestamp="soon", activity="x")
    assert (found.outcome, found.target, found.values) == ("set aside", None, ())
    assert found.reason is not None
    assert "time" in found.reason
    assert "timestamp: not a timestamp" in found.notes


@pytest.mark.parametrize("raw", ["{not json", "", '{"a": NaN}', "[" * 2000, "\ud7ff{"])
def test_details_that_are_not_json_are_kept_as_text(raw: str) -> None:
    found = fate("activities", id=1, timestamp=T, activity="x", metadata=raw)
    assert json.loads(str(found.values[-1])) == {"unparsed": raw}
    assert "metadata: not JSON" in found.notes


def test_details_and_metadata_are_both_kept() -> None:
    found = fate("activities", id=1, timestamp=T, activity="x", metadata="[1]", details="{}")
    assert json.loads(str(found.values[-1])) == {"details": {}, "metadata": [1]}


def test_a_component_of_variant_a() -> None:
    found = fate(
        "components", id="m", name="/api", type="api", owner="Backend API Agent", description="", dependencies="[]",
        interfaces=None, created_at=T, updated_at="2025-09-18 08:15:01", version=3,
    )  # fmt: skip
    metadata = {"dependencies": [], "type": "api"}
    assert found.values[:4] == ("/api", "backend-api", "active", 3)
    assert json.loads(str(found.values[4])) == metadata
    assert found.values[5:] == (T_US, T_US + 1_000_000)


def test_a_component_of_variant_d() -> None:
    found = fate("components", name="c", owner=None, status="deprecated", last_updated=T, metadata='{"k": 1}')
    assert found.values == ("c", "unknown", "deprecated", 1, '{"k":1}', T_US, T_US)


def test_an_agent_never_heard_of_is_still_an_agent() -> None:
    found = fate("agent_states", agent="database", last_seen=None, status=None, current_task="")
    assert found.values == ("database", "offline", None, None, None, NEVER_US, NEVER_US)


def test_an_agent_of_the_later_system() -> None:
    found = fate(
        "agents", id="x", name="testing", status="active", last_heartbeat="2025-09-18T08:15:00+00:00",
        created_at="2025-09-18 08:00:00",
    )  # fmt: skip
    assert found.values == ("testing", "active", None, None, None, T_US - 900_000_000, T_US)


def test_decisions_of_all_shapes() -> None:
    a = fate("decisions", proposer="master", decision="Go?", options='["yes"]', votes="{}", created_at=T)
    assert a.values[:4] == ("general", "Go?", "master", "pending")
    assert json.loads(str(a.values[4])) == {"options": ["yes"], "votes": {}}
    d = fate("decisions", category="arch", question="Q", proposed_by="x", status="pending", timestamp=T)
    assert d.values == ("arch", "Q", "x", "pending", None, T_US, None)
    system = fate("decisions", proposed_by="x", decision="Q", status="proposed", confidence=0.5, created_at=T)
    assert system.values[3] == "pending"


def test_conflicts_of_both_shapes() -> None:
    a = fate("conflicts", agent1="database", agent2="Testing Agent", component="c", conflict_type="own", created_at=T)
    assert a.values[:5] == ('["database","testing"]', "c", "own", "medium", 0)
    d = fate("conflicts", agents='["a", "b"]', issue="both", resolved=1, resolution="done", timestamp=T)
    assert d.values == ('["a","b"]', None, "both", "medium", 1, "done", T_US, None)


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (1, "low"),
        (3, "low"),
        (4, "medium"),
        (5, "medium"),
        (None, "medium"),
        (7, "high"),
        (10, "critical"),
        ("high", "high"),
        ("odd", "medium"),
    ],
)
def test_priorities_become_words(number: object, word: str) -> None:
    found = fate("collaboration_requests", from_agent="a", to_agent="b", task="t", priority=number, created_at=T)
    assert found.values[3] == word


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("components", {"name": ""}),
        ("agent_states", {"agent": None}),
        ("agent_states", {"agent": " "}),
        ("decisions", {"decision": None}),
        ("collaboration_requests", {"task": ""}),
    ],
)
def test_rows_that_say_nothing_are_set_aside(table: str, row: Row) -> None:
    found = mapping.fate(table, row, ROME)
    assert (found.outcome, bool(found.reason)) == ("set aside", True)


def test_tables_are_told_by_name_and_columns() -> None:
    assert mapping.target("activities", ("id", "activity")) == "activities"
    assert mapping.target("activities", ("id", "who")) is None
    assert mapping.target("messages", ("id",)) is None
    assert mapping.target("conflicts", ("agent1",)) is None


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("Backend API Agent", "backend-api"),
        ("queue manager", "queue-manager"),
        ("Frontend_UI Agent", "frontend-ui"),
        ("Some Agent", "Some Agent"),
        ("", "unknown"),
        (None, "unknown"),
        (7, "7"),
        (b"\xff", "\\xff"),
    ],
)
def test_display_names_become_names(given_name: object, name: str) -> None:
    assert values.agent(given_name) == name


CELLS = st.one_of(
    st.none(), st.text(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.binary(),
    st.builds(Torn, st.binary(), st.just("utf-8")),
)  # fmt: skip
NAMES = sorted(
    {"id", "agent", "agent_id", "name", "timestamp", "activity", "metadata", "details", "owner", "status", "version"}
    | {"agents", "agent1", "issue", "task", "priority", "decision", "created_at", "resolved", "last_seen", "type"}
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(mapping._MAPPERS)), st.dictionaries(st.sampled_from(NAMES), CELLS))
def test_whatever_stands_in_a_row_it_has_a_fate(table: str, row: Row) -> None:
    found = mapping.fate(table, row, ROME)
    assert (found.outcome == "migrated") == bool(found.target and found.values)
    assert (found.outcome == "migrated") == (found.reason is None)
    for value in found.values:
        assert value is None or isinstance(value, int | str)


@given(st.dictionaries(st.sampled_from(NAMES), CELLS))
def test_a_row_is_known_again_when_a_column_is_added(row: Row) -> None:
    encoded = rows.encode(row)
    assert rows.encode({**dict(reversed(list(row.items()))), "later": None}) == encoded
    assert rows.digest("a", encoded) != rows.digest("b", encoded)
    assert json.loads(encoded).keys() == {name for name, value in row.items() if value is not None}


def test_values_that_look_alike_are_not_the_same() -> None:
    alike = [1, 1.0, "1", b"1", Torn(b"1", "utf-8"), {"text": "MQ=="}]
    assert len({rows.encode({"a": value}) for value in alike}) == 5  # type: ignore[dict-item]


def test_a_checksum_knows_how_often_but_not_in_which_order() -> None:
    one, other, twice = Sum(), Sum(), Sum()
    for digest in (b"a", b"b", b"c"):
        one.add(digest)
    for digest in (b"c", b"b", b"a"):
        other.add(digest)
    twice.add(b"a", 2)
    assert one == other != twice


def test_a_consent_s_times_are_utc() -> None:
    found = fate(
        "consent_records", id="consent_1", user_id="ada", purpose="mail", granted_at="2025-09-18T08:15:00",
        expires_at="2026-09-18T08:15:00", withdrawn_at="2025-09-18T08:15:01", version="1.0", ip_address='"::1"',
        metadata='{"lawful_basis": "consent"}',
    )  # fmt: skip
    assert (found.outcome, found.target) == ("migrated", "subject_consents")
    metadata = '{"ip_address":"::1","lawful_basis":"consent"}'
    later_us = T_US + 1_000_000
    assert found.values == (
        "consent_1", "ada", "mail", T_US, T_US + 31_536_000_000_000, later_us, "1.0", metadata, later_us,
    )  # fmt: skip


def test_a_record_of_processing_keeps_what_it_said() -> None:
    found = fate(
        "data_processing_records", id="dpr_1", timestamp="2025-09-18T08:15:00", data_type="POST_/x",
        classification="PII", purpose="api_request", legal_basis=None, data_subject_id="ada", retention_period=365,
        encryption_used=0, third_party_shared=None, metadata=None,
    )  # fmt: skip
    assert found.values == ("dpr_1", "POST_/x", "pii", "api_request", None, "ada", 365, 0, None, None, T_US)


def test_an_access_is_kept_and_a_health_probe_is_none() -> None:
    row: dict[str, object] = {
        "id": "hipaa_1", "timestamp": "2025-09-18T08:15:00", "user_id": "eve", "patient_id": "p-1", "action": "GET",
        "reason": "treatment", "emergency_override": 1,
    }  # fmt: skip
    found = fate("hipaa_access_logs", resource_accessed="/api/patients/1", **row)
    assert found.values == (
        "hipaa_1", "eve", "p-1", "/api/patients/1", "GET", "phi", "treatment", 1, None, T_US
    )  # fmt: skip
    probe = fate("hipaa_access_logs", resource_accessed="/api/mcp/health", **row)
    assert (probe.outcome, probe.target) == ("set aside", None)
    assert "health probe" in str(probe.reason)


def test_a_breach_keeps_who_was_told() -> None:
    row: dict[str, object] = {
        "id": "breach_1", "detected_at": "2025-09-18T08:15:00", "severity": "high", "affected_records": 3,
        "data_types_affected": '["mail"]', "reported_at": "2025-09-18T08:15:01",
    }  # fmt: skip
    told = fate("breach_records", **row, regulatory_reported=1, notification_sent=0)
    later_us = T_US + 1_000_000
    assert told.values == (
        "breach_1", T_US, "high", 3, '["mail"]', None, later_us, later_us, None, None, later_us
    )  # fmt: skip
    assert fate("breach_records", **row).values[6:9] == (None, None, None)


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("consent_records", {"id": "x", "user_id": "ada", "purpose": "p", "granted_at": "soon"}),
        ("consent_records", {"id": None, "user_id": "ada", "purpose": "p", "granted_at": T}),
        ("consent_records", {"id": "x", "user_id": "", "purpose": "p", "granted_at": T}),
        ("data_processing_records", {"id": "x", "timestamp": None}),
        ("hipaa_access_logs", {"id": None, "timestamp": T}),
        ("breach_records", {"id": "x", "detected_at": ""}),
    ],
)
def test_what_has_no_id_or_time_is_set_aside(table: str, row: dict[str, object]) -> None:
    found = fate(table, **row)
    assert (found.outcome, found.target, found.values) == ("set aside", None, ())
    assert found.reason is not None
