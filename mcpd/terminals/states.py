"""What an agent does, decided from its unit, its pane and its screen: a function of values."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class State(enum.StrEnum):
    """What an agent can be found doing."""

    ABSENT = "absent"
    RUNNING = "running"
    WORKING = "working"
    IDLE = "idle"
    WAITING_FOR_PERMISSION = "waiting_for_permission"
    WAITING_FOR_INPUT = "waiting_for_input"
    STALLED = "stalled"
    FROZEN = "frozen"
    EXITED = "exited"


WAITING = (State.WAITING_FOR_PERMISSION, State.WAITING_FOR_INPUT)
"""The states in which a human is wanted."""

_OUTPUT_IS_WORK_US = 3_000_000


@dataclass(frozen=True, slots=True)
class Unit:
    """What systemd says of a unit: its ActiveState, Result, the main process, when it began and its exit status."""

    name: str
    active: str = "inactive"
    result: str = "success"
    pid: int | None = None
    exit_status: int | None = None
    cgroup: str = ""
    load: str = "loaded"
    started_us: int = 0
    is_frozen: bool = False

    @property
    def is_up(self) -> bool:
        """Whether its processes run."""
        return self.active in ("active", "reloading", "deactivating")


@dataclass(frozen=True, slots=True)
class Hooked:
    """What the hooks of an agent said last of what it does, and when."""

    state: State
    at_us: int


@dataclass(frozen=True, slots=True)
class Sight:
    """What was seen of an agent: its unit; its screen and when the text on it, or its output, last changed.

    ``hooked`` is what its hooks say, if it has any.
    """

    unit: Unit
    on_screen: State | None = None
    seen: bool = False
    output_us: int = 0
    pane_dead: bool = False
    dead_status: int | None = None
    hooked: Hooked | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """The state, the exit status where something ended, and when to look again if nothing happens until then."""

    state: State
    exit_status: int | None = None
    again_us: int | None = None


def decide(sight: Sight, now_us: int, stalled_after_us: int) -> Verdict:
    """Return what the agent of *sight* does at *now_us*.

    Work that shows nothing new for *stalled_after_us* is stalled; output that nothing explains is work while it lasts.
    A screen that can be read goes before the hooks: they tell neither of an interruption nor of what was permitted.
    """
    unit, told = sight.unit, _told(sight)
    if unit.active == "failed" or (unit.active == "activating" and unit.result != "success"):
        return Verdict(State.EXITED, unit.exit_status)  # or about to be started again
    if not unit.is_up:
        return Verdict(State.RUNNING if unit.active == "activating" else State.ABSENT)
    if unit.is_frozen:
        return Verdict(State.FROZEN)
    if sight.pane_dead:
        return Verdict(State.EXITED, sight.dead_status)
    if told is State.WORKING:
        stalls_us = max(sight.output_us, sight.hooked.at_us if sight.hooked else 0) + stalled_after_us
        return Verdict(State.STALLED) if now_us >= stalls_us else Verdict(State.WORKING, again_us=stalls_us)
    if told is not None:
        return Verdict(told)
    if not sight.seen:
        return Verdict(State.RUNNING)
    quiet_us = sight.output_us + _OUTPUT_IS_WORK_US
    return Verdict(State.RUNNING) if now_us >= quiet_us else Verdict(State.WORKING, again_us=quiet_us)


def _told(sight: Sight) -> State | None:
    """Return what the screen says, or where that says nothing, what the hooks said since this process began."""
    if sight.on_screen is not None or sight.hooked is None:
        return sight.on_screen
    return sight.hooked.state if sight.hooked.at_us > sight.unit.started_us else None
