"""Which backups to keep: the newest of each of the last days, weeks and months that have one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Rules:
    """Of how many days, weeks and months that have backups the newest is kept."""

    days: int = 7
    weeks: int = 4
    months: int = 6


@dataclass(frozen=True, slots=True)
class Choice:
    """What to keep, each with the reasons for it, and what may go."""

    kept: Mapping[datetime, tuple[str, ...]]
    surplus: tuple[datetime, ...]


def choose(made: Iterable[datetime], rules: Rules) -> Choice:
    """Divide backups, told by when they were *made* (all in one time zone); the newest is always kept."""
    periods: tuple[tuple[str, int, Callable[[datetime], object]], ...] = (
        ("newest", 1, lambda at: at),
        ("daily", rules.days, lambda at: at.date()),
        ("weekly", rules.weeks, lambda at: at.isocalendar()[:2]),
        ("monthly", rules.months, lambda at: (at.year, at.month)),
    )
    newest_first = sorted(set(made), reverse=True)
    reasons: dict[datetime, tuple[str, ...]] = {}
    for reason, count, period in periods:
        seen: set[object] = set()
        for at in newest_first:
            if period(at) not in seen and len(seen) < count:
                seen.add(period(at))
                reasons[at] = (*reasons.get(at, ()), reason)
    return Choice(reasons, tuple(at for at in newest_first if at not in reasons))
