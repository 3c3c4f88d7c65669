"""Which backups to keep: the newest of each of the last days, weeks and months that have one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

DAILY, WEEKLY, MONTHLY = 7, 4, 6

_PERIODS: tuple[tuple[str, int, Callable[[datetime], object]], ...] = (
    ("daily", DAILY, lambda at: at.date()),
    ("weekly", WEEKLY, lambda at: at.isocalendar()[:2]),
    ("monthly", MONTHLY, lambda at: (at.year, at.month)),
)


@dataclass(frozen=True, slots=True)
class Choice:
    """What to keep, each with the reasons for it, and what may go."""

    kept: Mapping[datetime, tuple[str, ...]]
    surplus: tuple[datetime, ...]


def choose(made: Iterable[datetime]) -> Choice:
    """Divide backups, told by when they were *made* (all in one time zone); the newest is always kept."""
    newest_first = sorted(set(made), reverse=True)
    reasons: dict[datetime, tuple[str, ...]] = {}
    for reason, count, period in _PERIODS:
        seen: set[object] = set()
        for at in newest_first:
            if period(at) not in seen and len(seen) < count:
                seen.add(period(at))
                reasons[at] = (*reasons.get(at, ()), reason)
    return Choice(reasons, tuple(at for at in newest_first if at not in reasons))
