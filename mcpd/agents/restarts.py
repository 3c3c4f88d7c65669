"""Whether an agent that ended is started again, and when. Pure.

A start is quick if it ended within ``QUICK_S``. Quick ends in a row wait twice as long each time and are at last
given up, so that a command that cannot work neither storms nor hides its last words.
"""

from __future__ import annotations

from dataclasses import dataclass

QUICK_S = 10.0
DELAY_S = 1.0
MAX_QUICK_ENDS = 5


@dataclass(frozen=True, slots=True)
class End:
    """How a command ended: its exit *status*, or the *signal* that killed it; *ran_s* since its start."""

    status: int | None
    signal: str
    ran_s: float

    @property
    def is_failure(self) -> bool:
        """Whether it did not end well."""
        return bool(self.signal) or self.status != 0

    def __str__(self) -> str:
        how = f"killed by signal {self.signal}" if self.signal else f"exited with status {self.status}"
        return f"{how} after {self.ran_s:.0f} s"


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows: a start in *delay_s*, or none; *quick_ends* in a row so far; why, in words."""

    delay_s: float | None
    quick_ends: int
    reason: str


def decide(policy: str, end: End, quick_ends: int) -> Decision:
    """Return what the *policy* of an agent's file asks for after *end*, which *quick_ends* preceded."""
    quick_ends = quick_ends + 1 if end.ran_s < QUICK_S else 0
    if policy == "no" or (policy == "on-failure" and not end.is_failure):
        return Decision(None, 0, f'restart = "{policy}"')
    if quick_ends >= MAX_QUICK_ENDS:
        return Decision(None, quick_ends, f"given up after {quick_ends} ends within {QUICK_S:.0f} s of the start")
    delay_s = DELAY_S * 2.0 ** max(quick_ends - 1, 0)
    return Decision(delay_s, quick_ends, f"starting it again in {delay_s:.0f} s")
