"""The rate limit: a bucket for each caller and method, by a clock that is passed in."""

from __future__ import annotations

import pytest

from mcpd.access.rates import MINUTE_US, Rates
from mcpd.errors import RateLimited

NOW_US = 1_800_000_000_000_000


def taken(rates: Rates, times: int, now_us: int, caller: str = "a", method: str = "m") -> int:
    """How many of so many requests are let through."""
    through = 0
    for _ in range(times):
        try:
            rates.take(caller, method, now_us)
        except RateLimited:
            continue
        through += 1
    return through


def test_as_many_as_a_minute_holds_come_at_once_and_then_as_time_goes() -> None:
    rates = Rates(60)
    assert taken(rates, 100, NOW_US) == 60
    assert taken(rates, 5, NOW_US + 999_000) == 0
    assert taken(rates, 5, NOW_US + 1_000_000) == 1
    assert taken(rates, 5, NOW_US + 4_000_000) == 3
    assert taken(rates, 500, NOW_US + 10 * MINUTE_US) == 60


def test_the_guides_load_test_of_a_thousand_requests_passes() -> None:
    assert taken(Rates(1000), 1000, NOW_US) == 1000


@pytest.mark.parametrize("per_min", [1, 7, 13, 1000, 999_983])
def test_no_rate_lets_one_more_through(per_min: int) -> None:
    assert taken(Rates(per_min), min(per_min, 2000) + 5, NOW_US) == min(per_min, 2000) + (5 if per_min > 2005 else 0)


def test_the_refusal_says_when_to_come_again() -> None:
    rates = Rates(60)
    taken(rates, 60, NOW_US)
    with pytest.raises(
        RateLimited, match="rate limit exceeded: 60 requests a minute for m; try again in 1 s"
    ) as refused:
        rates.take("a", "m", NOW_US)
    assert (refused.value.code, refused.value.http_status, refused.value.retry_after) == (-32002, 429, 1)
    assert refused.value.data == {"retry_after": 1, "limit": 60, "remaining": 0, "reset": NOW_US // 1_000_000 + 61}
    assert taken(rates, 1, NOW_US + refused.value.retry_after * 1_000_000) == 1
    slow = Rates(1)
    taken(slow, 1, NOW_US)
    with pytest.raises(RateLimited) as refused:
        slow.take("a", "m", NOW_US)
    assert 60 <= refused.value.retry_after <= 61
    assert taken(slow, 1, NOW_US + refused.value.retry_after * 1_000_000) == 1


def test_callers_and_methods_have_buckets_of_their_own() -> None:
    rates = Rates(2)
    for caller, method in (("a", "m"), ("a", "n"), ("b", "m")):
        assert taken(rates, 9, NOW_US, caller, method) == 2


def test_a_refused_request_does_not_put_the_next_one_off() -> None:
    rates = Rates(60)
    taken(rates, 10_000, NOW_US)
    assert taken(rates, 10, NOW_US + 2_000_000) == 2


def test_no_limit_keeps_nothing() -> None:
    rates = Rates(0)
    assert taken(rates, 5000, NOW_US) == 5000
    assert len(rates) == 0


def test_the_number_of_buckets_is_bounded_and_the_empty_ones_stay() -> None:
    rates = Rates(10, max_buckets=100)
    assert taken(rates, 99, NOW_US, "flood", "tools/call") == 10
    for number in range(1000):
        rates.take("flood", f"method {number}", NOW_US + number)
        assert len(rates) <= 100
    assert taken(rates, 5, NOW_US + 1000, "flood", "tools/call") == 0


def test_a_clock_that_goes_back_locks_nobody_out_for_good() -> None:
    rates = Rates(10)
    taken(rates, 3, NOW_US)
    taken(rates, 3, NOW_US - MINUTE_US)
    assert taken(rates, 20, NOW_US + 2 * MINUTE_US) == 10
