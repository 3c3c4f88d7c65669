"""``/api/mcp/performance/metrics`` and ``…/report``: how long the audited requests of the last hour took.

The keys are the old system's. What is not measured here is null; it had constants there.
"""

from __future__ import annotations

from mcpd.errors import StoreUnavailable
from mcpd.protocol.http import HttpRequest, HttpResponse
from mcpd.server import rest
from mcpd.server.work import Work
from mcpd.store import audit
from mcpd.store.database import store_errors
from mcpd.times import rfc3339

_HOUR_US = 3_600_000_000
_MINUTES = 60
_SLOW_S = 1.0
_UNMEASURED = ("cpu_usage", "memory_usage", "cache_hit_rate", "db_query_time", "concurrent_connections")


def metrics(_http: HttpRequest, work: Work) -> HttpResponse:
    """Return the last hour's figures; times in seconds, the error rate from 0 to 1."""
    try:
        times_s, failed = _measured(work)
    except StoreUnavailable as error:
        return rest.refuse(work, error)
    count = len(times_s)
    return rest.answer(
        {
            "timestamp": rfc3339(work.now_us),
            "request_count": count,
            "avg_response_time": sum(times_s) / count if count else None,
            "p95_response_time": quantile(times_s, 0.95),
            "p99_response_time": quantile(times_s, 0.99),
            "error_rate": failed / count if count else None,
            **dict.fromkeys(_UNMEASURED),
        }
    )


def report(_http: HttpRequest, work: Work) -> HttpResponse:
    """Return the last hour's response times summed up, and what to do about them."""
    try:
        times_s, _ = _measured(work)
    except StoreUnavailable as error:
        return rest.refuse(work, error)
    shown = {"average": sum(times_s) / len(times_s), "minimum": times_s[0], "maximum": times_s[-1]} if times_s else None
    slow = (quantile(times_s, 0.99) or 0) > _SLOW_S
    return rest.answer(
        {
            "report_time": rfc3339(work.now_us),
            "duration_minutes": _MINUTES,
            "metrics": {"response_time": shown} if shown else {},
            "cache_performance": None,
            "slow_queries": None,
            "recommendations": ["P99 response time exceeds 1 second - investigate slow endpoints"] if slow else [],
        }
    )


def _measured(work: Work) -> tuple[list[float], int]:
    """Return how long each request took, in seconds and in order, and how many of them failed."""
    with store_errors():
        found = audit.durations(work.db, work.now_us - _HOUR_US)
    return sorted(us / 1e6 for us, _ in found), sum(outcome == "failed" for _, outcome in found)


def quantile(ordered: list[float], part: float) -> float | None:
    """Return the nearest-rank quantile of *ordered*, None of nothing."""
    if not ordered:
        return None
    return ordered[max(-(-len(ordered) * round(part * 100) // 100) - 1, 0)]
