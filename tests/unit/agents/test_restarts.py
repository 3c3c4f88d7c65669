"""Whether an agent that ended is started again: by its policy, later each time, and not for ever."""

from __future__ import annotations

import pytest

from mcpd.agents import ended
from mcpd.agents.restarts import MAX_QUICK_ENDS, Decision, End, decide

WELL, BADLY, KILLED = End(0, "", 100), End(3, "", 100), End(None, "KILL", 100)


@pytest.mark.parametrize(
    ("policy", "end", "again"),
    [
        ("no", WELL, False),
        ("no", BADLY, False),
        ("on-failure", WELL, False),
        ("on-failure", BADLY, True),
        ("on-failure", KILLED, True),
        ("always", WELL, True),
        ("always", BADLY, True),
    ],
)
def test_the_policy_decides(policy: str, end: End, again: bool) -> None:
    assert (decide(policy, end, 0).delay_s is not None) is again


def test_a_command_that_dies_at_once_is_tried_a_few_times_and_given_up() -> None:
    quick_ends, delays = 0, []
    for _ in range(20):
        decision = decide("always", End(127, "", 0.1), quick_ends)
        quick_ends = decision.quick_ends
        if decision.delay_s is None:
            break
        delays.append(decision.delay_s)
    assert delays == [1, 2, 4, 8]
    assert quick_ends == MAX_QUICK_ENDS
    assert decision.reason == "given up after 5 ends within 10 s of the start"


def test_one_that_worked_for_a_while_begins_anew() -> None:
    assert decide("always", BADLY, MAX_QUICK_ENDS - 1) == Decision(1, 0, "starting it again in 1 s")


def test_the_journal_gets_the_end_and_the_last_words() -> None:
    end = End(3, "", 2.4)
    lines = ended.report("docs", end, decide("on-failure", end, 0), "\none\n\ntwo\nthree\nno such file\n\n")
    assert lines == [
        "agent docs exited with status 3 after 2 s; starting it again in 1 s",
        "last words: two",
        "last words: three",
        "last words: no such file",
    ]


def test_tmux_keeps_when_the_command_starts_again_and_how_often_it_ended_quickly() -> None:
    assert ended.notes("%0", Decision(4.0, 3, ""), 1000.4) == [
        ["set-option", "-p", "-t", "%0", "@quick_ends", "3"],
        ["set-option", "-p", "-t", "%0", "@started", "1004"],
    ]
    assert len(ended.notes("%0", Decision(None, 0, ""), 0)) == 1


def test_what_tmux_passes_is_understood() -> None:
    assert ended.parse(["%0", "3", "", "990", "2"], 1000.0) == ("%0", End(3, "", 10.0), 2)
    assert ended.parse(["%0", "", "KILL", "", ""], 1000.0) == ("%0", End(None, "KILL", 0.0), 0)
