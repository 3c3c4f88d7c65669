"""The old system's timestamps → microseconds since the Unix epoch, UTC. Pure.

Its Python writers wrote naive local time with a ``T``, its shell writers UTC with a space, its later programs an
offset or seconds since the epoch. Nothing but the form tells them apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

Form = Literal["local", "local, of two", "local, in a gap", "utc", "offset", "epoch", "date"]
"""How a timestamp was written. When clocks are put back, an hour comes twice (the first is meant); forward, never."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LATEST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_EPOCH_TEXT = re.compile(r"\d{9,17}(\.\d{1,9})?")
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?( ?(Z|[+-]\d\d:?\d\d))?)?")
_ID_TIME = re.compile(r"(?:^|_)(\d{9,10}(?:\.\d{1,9})?)$")
_MILLISECONDS_FROM = 1e11  # as seconds, the year 5138
_MICROSECONDS_FROM = 1e14


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in µs since the epoch, and the form in which it stood."""

    at_us: int
    form: Form


def parse(value: object, zone: tzinfo) -> Moment | None:
    """Return the moment that *value* of a column means, local time being that of *zone*; None if it means none."""
    if isinstance(value, int | float):
        return _epoch(value)
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _ISO.fullmatch(text):
        return _iso(text, zone)
    return _epoch(float(text)) if _EPOCH_TEXT.fullmatch(text) else None


def of_id(key: object) -> Moment | None:
    """Return the moment in an id that ends with one, such as ``hook_4711_1758182400``; None if it has none."""
    found = _ID_TIME.search(key) if isinstance(key, str) else None
    return None if found is None else _epoch(float(found[1]))


def _iso(text: str, zone: tzinfo) -> Moment | None:
    try:
        moment = datetime.fromisoformat(text.replace(" ", "T", 1).replace(" ", ""))
        if moment.tzinfo is not None:
            return Moment((moment - _EPOCH) // _MICROSECOND, "offset")
        if text[10:11] == " ":
            return Moment((moment.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND, "utc")
        local = moment.replace(tzinfo=zone)
        at_us = (local - _EPOCH) // _MICROSECOND
        return Moment(at_us, "date" if len(text) == 10 else _local_form(local))
    except (ValueError, OverflowError):  # the thirtieth of February, or the year 1 west of Greenwich
        return None


def _local_form(local: datetime) -> Form:
    before, after = local.utcoffset(), local.replace(fold=1).utcoffset()
    if before == after or before is None or after is None:
        return "local"
    return "local, of two" if before > after else "local, in a gap"


def _epoch(value: float) -> Moment | None:
    if not 0 < value < float("inf"):
        return None
    scale = 1_000_000 if value < _MILLISECONDS_FROM else 1_000 if value < _MICROSECONDS_FROM else 1
    at_us = round(value * scale)
    return Moment(at_us, "epoch") if at_us <= _LATEST_US else None
