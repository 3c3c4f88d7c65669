"""What an agent does, from its unit, its pane and its screen; and what is done for who knocks."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from mcpd.terminals.gate import Kind
from mcpd.terminals.opening import Step, next_step
from mcpd.terminals.states import Hooked, Sight, State, Unit, decide

UP = Unit("a", "active")
FROZEN = replace(UP, is_frozen=True)
S = 1_000_000


@pytest.mark.parametrize(
    ("sight", "state"),
    [
        (Sight(Unit("a")), State.ABSENT),
        (Sight(Unit("a", "activating")), State.RUNNING),
        (Sight(Unit("a", "activating", "exit-code", exit_status=1)), State.EXITED),
        (Sight(Unit("a", "failed", "exit-code", exit_status=3)), State.EXITED),
        (Sight(UP), State.RUNNING),
        (Sight(UP, seen=True, output_us=90 * S), State.RUNNING),
        (Sight(UP, seen=True, output_us=99 * S), State.WORKING),
        (Sight(UP, State.IDLE, seen=True, output_us=99 * S), State.IDLE),
        (Sight(UP, State.WORKING, seen=True, output_us=50 * S), State.WORKING),
        (Sight(UP, State.WORKING, seen=True, output_us=40 * S), State.STALLED),
        (Sight(UP, State.WAITING_FOR_PERMISSION, seen=True), State.WAITING_FOR_PERMISSION),
        (Sight(UP, State.IDLE, seen=True, pane_dead=True, dead_status=7), State.EXITED),
        (Sight(FROZEN, State.WORKING, seen=True, output_us=40 * S), State.FROZEN),
        (Sight(FROZEN, seen=True, pane_dead=True), State.FROZEN),
        (Sight(UP, hooked=Hooked(State.IDLE, 90 * S)), State.IDLE),
        (Sight(UP, seen=True, output_us=99 * S, hooked=Hooked(State.IDLE, 90 * S)), State.IDLE),
        (Sight(UP, seen=True, hooked=Hooked(State.WORKING, 50 * S)), State.WORKING),
        (Sight(UP, seen=True, hooked=Hooked(State.WORKING, 40 * S)), State.STALLED),
        (Sight(UP, State.IDLE, seen=True, hooked=Hooked(State.WORKING, 99 * S)), State.IDLE),
        (Sight(replace(UP, started_us=95 * S), hooked=Hooked(State.IDLE, 90 * S)), State.RUNNING),
        (Sight(UP, pane_dead=True, hooked=Hooked(State.WORKING, 99 * S)), State.EXITED),
    ],
)
def test_the_state(sight: Sight, state: State) -> None:
    assert decide(sight, 100 * S, 60 * S).state is state


def test_an_exit_has_its_status() -> None:
    assert decide(Sight(UP, seen=True, pane_dead=True, dead_status=7), 0, 1).exit_status == 7
    assert decide(Sight(Unit("a", "failed", exit_status=3)), 0, 1).exit_status == 3


def test_the_verdict_says_when_time_alone_changes_it() -> None:
    for sight in (Sight(UP, State.WORKING, seen=True, output_us=99 * S), Sight(UP, seen=True, output_us=99 * S)):
        verdict = decide(sight, 100 * S, 60 * S)
        assert verdict.again_us is not None
        assert decide(sight, verdict.again_us - 1, 60 * S).state is State.WORKING
        assert decide(sight, verdict.again_us, 60 * S).state is not State.WORKING
    assert decide(Sight(UP, State.IDLE, seen=True), 100 * S, 60 * S).again_us is None


ACTIVE = ("inactive", "activating", "active", "deactivating", "failed")


@pytest.mark.parametrize("kind", Kind)
def test_who_knocks_is_connected_when_all_runs(kind: Kind) -> None:
    assert next_step(kind, UP, Unit("t", "active"), stopped=False) is Step.CONNECT


def test_who_loads_the_page_of_a_frozen_agent_is_told_and_an_open_page_waits() -> None:
    up = Unit("t", "active")
    assert [next_step(kind, FROZEN, up, stopped=False) for kind in (Kind.PAGE, Kind.OTHER)] == [Step.NOTHING] * 2
    assert [next_step(kind, FROZEN, up, stopped=False) for kind in (Kind.RECONNECT, Kind.TERMINAL)] == [Step.WAIT] * 2


@pytest.mark.parametrize(("agent", "ttyd"), itertools.product(ACTIVE, ACTIVE))
def test_whoever_loads_the_page_starts_what_is_missing(agent: str, ttyd: str) -> None:
    for stopped in (False, True):
        step = next_step(Kind.PAGE, Unit("a", agent), Unit("t", ttyd), stopped=stopped)
        assert step in (Step.CONNECT, Step.START)


@pytest.mark.parametrize("kind", [Kind.RECONNECT, Kind.TERMINAL])
def test_an_open_page_starts_an_agent_once_and_none_that_was_stopped_or_failed(kind: Kind) -> None:
    gone = Unit("t")
    assert next_step(kind, Unit("a"), gone, stopped=False) is Step.START
    assert next_step(kind, Unit("a"), gone, stopped=True) is Step.WAIT
    assert next_step(kind, Unit("a", "failed"), gone, stopped=False) is Step.WAIT
    assert next_step(kind, UP, gone, stopped=False) is Step.START


def test_an_icon_starts_no_agent() -> None:
    assert next_step(Kind.OTHER, Unit("a"), Unit("t"), stopped=False) is Step.NOTHING
    assert next_step(Kind.OTHER, UP, Unit("t"), stopped=False) is Step.START
