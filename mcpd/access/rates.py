"""How often a caller may ask: a token bucket for each caller and method. In memory, bounded, time passed in.

A bucket is one number, the time at which it will be full again (the generic cell rate algorithm), so that a request
costs one look into a dictionary; a bucket that is full is as good as none, and forgotten when there are many.
"""

from __future__ import annotations

import math

from mcpd.errors import RateLimited

MINUTE_US = 60_000_000
MAX_BUCKETS = 10_000
_SLACK_US = 1  # what a sum of a thousand intervals may be off by


class Rates:
    """Let each key (a caller and a method) through *per_min* times a minute, and as often at once; 0 is no limit."""

    def __init__(self, per_min: int, max_buckets: int = MAX_BUCKETS) -> None:
        self.per_min = per_min
        self._interval_us = MINUTE_US / per_min if per_min else 0.0
        self._max = max_buckets
        self._full_at_us: dict[tuple[str, str], float] = {}

    def take(self, caller: str, method: str, now_us: int) -> None:
        """Count one request of *caller* for *method*; raises ``RateLimited`` when it is one too many."""
        interval_us = self._interval_us
        if not interval_us:
            return
        key = (caller, method)
        at_us = self._full_at_us.get(key)
        if at_us is None:
            if len(self._full_at_us) >= self._max:
                self._make_room(now_us)
            at_us = now_us
        elif at_us < now_us:
            at_us = now_us
        at_us += interval_us
        if at_us - now_us > MINUTE_US + _SLACK_US:
            raise self._refused(method, at_us, now_us)
        self._full_at_us[key] = at_us

    def _refused(self, method: str, at_us: float, now_us: int) -> RateLimited:
        wait_s = max(math.ceil((at_us - now_us - MINUTE_US - _SLACK_US) / 1e6), 1)
        data = {"limit": self.per_min, "remaining": 0, "reset": int((at_us - self._interval_us) // 1_000_000) + 1}
        words = f"rate limit exceeded: {self.per_min} requests a minute for {method[:100]}; try again in {wait_s} s"
        return RateLimited(words, wait_s, data)

    def _make_room(self, now_us: int) -> None:
        """Forget the buckets that are full; if that is not a half, those that are fullest too."""
        by_time = sorted(self._full_at_us.items(), key=lambda item: item[1], reverse=True)
        kept = [item for item in by_time[: self._max // 2] if item[1] > now_us]
        self._full_at_us = dict(kept)

    def __len__(self) -> int:
        return len(self._full_at_us)
