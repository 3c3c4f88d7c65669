"""The forms of the old system's timestamps, each with the moment that it means."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.legacy.timestamps import Moment, of_id, parse

ROME = ZoneInfo("Europe/Rome")


def utc(text: str) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return round(moment.timestamp() * 1_000_000)


@pytest.mark.parametrize(
    ("value", "at", "form"),
    [
        ("2025-09-18T10:15:00.123456", "2025-09-18 08:15:00.123456", "local"),
        ("2025-12-18T10:15:00", "2025-12-18 09:15:00", "local"),
        ("2025-09-18 10:15:00", "2025-09-18 10:15:00", "utc"),
        ("2025-09-18 10:15:00.5", "2025-09-18 10:15:00.500", "utc"),
        ("2025-09-18T10:15:00+00:00", "2025-09-18 10:15:00", "offset"),
        ("2025-09-18 10:15:00+02:00", "2025-09-18 08:15:00", "offset"),
        ("2025-09-18T10:15:00Z", "2025-09-18 10:15:00", "offset"),
        ("2025-10-26T02:30:00", "2025-10-26 00:30:00", "local, of two"),
        ("2025-03-30T02:30:00", "2025-03-30 01:30:00", "local, in a gap"),
        ("2025-09-18", "2025-09-17 22:00:00", "date"),
        (1758190500, "2025-09-18 10:15:00", "epoch"),
        (1758190500.25, "2025-09-18 10:15:00.250", "epoch"),
        (1758190500000, "2025-09-18 10:15:00", "epoch"),
        ("1758190500.25", "2025-09-18 10:15:00.250", "epoch"),
        (" 2025-09-18 10:15:00 ", "2025-09-18 10:15:00", "utc"),
    ],
)
def test_a_form_means_a_moment(value: object, at: str, form: str) -> None:
    assert parse(value, ROME) == Moment(utc(at), form)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "now",
        "yesterday",
        "2025-02-30T10:00:00",
        "2025-09-18T25:00:00",
        "18/09/2025",
        b"2025-09-18",
        -1,
        0,
        float("inf"),
        float("nan"),
        10**30,
        "0001-01-01T00:00:00+14:00x",
        "12",
    ],
)
def test_what_means_no_moment_is_none(value: object) -> None:
    assert parse(value, ROME) is None


@given(st.one_of(st.text(), st.integers(), st.floats(), st.binary(), st.none(), st.datetimes().map(str)))
def test_nothing_raises(value: object) -> None:
    parse(value, ROME)
    of_id(value)


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1)))
def test_python_and_shell_differ_by_the_zone_alone(moment: datetime) -> None:
    local, shell = parse(moment.isoformat(), ROME), parse(str(moment), ROME)
    assert local is not None
    assert shell is not None
    offset = moment.replace(tzinfo=ROME).utcoffset()
    assert offset is not None
    assert shell.at_us - local.at_us == offset.total_seconds() * 1_000_000


@pytest.mark.parametrize(
    ("key", "at"),
    [
        ("hook_4711_1758190500", "2025-09-18 10:15:00"),
        ("setup_backend-api_1758190500.25", "2025-09-18 10:15:00.250"),
        ("1758190500.25", "2025-09-18 10:15:00.250"),
        ("backend-api_1758190500", "2025-09-18 10:15:00"),
    ],
)
def test_an_id_may_hold_the_time(key: str, at: str) -> None:
    assert of_id(key) == Moment(utc(at), "epoch")


@pytest.mark.parametrize("key", [None, 17, "0123456789abcdef0123456789abcdef", "decision_00000001", "a1758190500"])
def test_other_ids_do_not(key: object) -> None:
    assert of_id(key) is None
