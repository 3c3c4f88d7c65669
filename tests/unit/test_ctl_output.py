"""What mcpctl prints."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from mcpd.ctl import output
from mcpd.ctl.status import ago


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Grüße 日本", "Grüße 日本"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines\ttab", "two\\nlines\\ttab"),
        ("\x9b31m", "\\x9b31m"),
        ("left\u202eright", "left\\u202eright"),
        ("\udcff", "\\udcff"),
    ],
)
def test_what_a_terminal_would_obey_is_spelled_out(text: str, shown: str) -> None:
    assert output.visible(text) == shown


def test_json_is_ascii_and_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"text": "Grüße \x9b \u202e", "list": [1, None, True]}
    output.print_json(value)
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert json.loads(printed) == value


def test_a_complaint_is_one_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    output.warn("one\x1b]0;title\x07\ntwo")
    assert capsys.readouterr() == ("", "mcpctl: one\\x1b]0;title\\x07\\ntwo\n")


def test_markup_in_a_value_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_tables(output.pairs("", {"[bold]key": "[red]value[/red]"}))
    assert capsys.readouterr().out.split() == ["[bold]key", "[red]value[/red]"]


def test_nested_values_become_tables_in_their_cell(capsys: pytest.CaptureFixture[str]) -> None:
    value = {
        "count": 1,
        "none": None,
        "flag": True,
        "words": ["a", "b"],
        "empty": [],
        "items": [{"kind": "path", "holder": {"agent": "alice"}}, {"kind": "component", "extra": 2}],
    }
    output.print_tables(output.cell(value))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[:5] == [["count", "1"], ["none", "–"], ["flag", "true"], ["words", "a,", "b"], ["empty", "–"]]
    assert lines[5] == ["items", "kind", "holder", "extra"]
    assert lines[7:] == [["path", "agent", "alice", "–"], ["component", "–", "2"]]


def test_a_table_without_rows_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_tables(output.table("Active agents", ("agent", "status"), []))
    assert capsys.readouterr().out == "Active agents: none\n"


def test_tables_are_as_wide_as_they_need_in_a_pipe_and_have_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_tables(output.pairs("Title", {"key": "x" * 150}))
    printed = capsys.readouterr().out
    assert "x" * 150 in printed
    assert "\x1b" not in printed


@pytest.mark.parametrize(
    ("timestamp", "shown"),
    [
        ("2026-07-28T12:00:00.5Z", "0 s ago"),
        ("2026-07-28T12:00:01Z", "0 s ago"),
        ("2026-07-28T11:59:01Z", "59 s ago"),
        ("2026-07-28T11:59:00Z", "1 min ago"),
        ("2026-07-28T11:00:00Z", "1 h ago"),
        ("2026-07-26T12:00:00Z", "2 d ago"),
        ("2026-07-28T12:00:00", "2026-07-28T12:00:00"),
        ("yesterday", "yesterday"),
        (None, "None"),
    ],
)
def test_a_time_is_shown_as_how_long_ago_it_was(timestamp: object, shown: str) -> None:
    assert ago(timestamp, datetime(2026, 7, 28, 12, tzinfo=UTC)) == shown
