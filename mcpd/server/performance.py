"""``/api/mcp/performance/*``: how long the audited requests took, the slow queries, the caches of the database.

The keys are the old system's. What is not measured here is null; it had constants there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from mcpd.errors import Error, InvalidRequest
from mcpd.protocol import jsonrpc
from mcpd.protocol.http import HttpRequest, HttpResponse
from mcpd.server import rest
from mcpd.server.work import Work
from mcpd.store import audit, queries
from mcpd.store.database import store_errors
from mcpd.store.queries import NoQuery
from mcpd.times import rfc3339

ANALYZE = "/api/mcp/performance/analyze"
_HOUR_US = 3_600_000_000
_MINUTES = 60
_SLOW_S = 1.0
_FEW, _MANY = 5, 10
_MAX_QUERY_CHARS = 8192
_LEAST_HIT_RATE = 0.8
_LEAST_LOOKS = 1000
_UNMEASURED = ("cpu_usage", "memory_usage", "db_query_time", "concurrent_connections")


def _metrics(work: Work) -> object:
    """Return the last hour's figures; times in seconds, the error rate from 0 to 1."""
    times_s, failed = _measured(work)
    count = len(times_s)
    return {
        "timestamp": rfc3339(work.now_us),
        "request_count": count,
        "avg_response_time": sum(times_s) / count if count else None,
        "p95_response_time": quantile(times_s, 0.95),
        "p99_response_time": quantile(times_s, 0.99),
        "error_rate": failed / count if count else None,
        "cache_hit_rate": _cache_performance(work)["average_hit_rate"],
        **dict.fromkeys(_UNMEASURED),
    }


def _report(work: Work) -> object:
    """Return the last hour summed up, and what to do about it."""
    times_s, _ = _measured(work)
    shown = {"average": sum(times_s) / len(times_s), "minimum": times_s[0], "maximum": times_s[-1]} if times_s else None
    cache = _cache_performance(work)
    advice = []
    if (quantile(times_s, 0.99) or 0) > _SLOW_S:
        advice.append("P99 response time exceeds 1 second - investigate slow endpoints")
    looks = cache["total_hits"] + cache["total_misses"]
    if looks >= _LEAST_LOOKS and (cache["average_hit_rate"] or 0) < _LEAST_HIT_RATE:
        advice.append("Cache hit rate below 80% - the database reads more than its page cache holds")
    return {
        "report_time": rfc3339(work.now_us),
        "duration_minutes": _MINUTES,
        "metrics": {"response_time": shown} if shown else {},
        "cache_performance": cache,
        "slow_queries": _slow(work, _FEW),
        "recommendations": advice,
    }


def _slow_queries(work: Work) -> object:
    """Return the slow queries of the last hour, slowest first."""
    return {"slow_queries": _slow(work, _MANY), "duration_minutes": _MINUTES, "timestamp": rfc3339(work.now_us)}


def _cache_stats(work: Work) -> object:
    """Return the caches as they are, and keep that for who reads the table."""
    found = queries.caches(work.db)
    work.stored = True
    work.turn.run(lambda: queries.keep_caches(work.db, found, work.now_us))
    shown = [
        {"cache_type": name, "hits": hits, "misses": misses, "hit_rate": queries.rate(hits, misses),
         "memory_usage": used}
        for name, hits, misses, used in found
    ]  # fmt: skip
    return {"caches": shown, "timestamp": rfc3339(work.now_us)}


def analyze(http: HttpRequest, work: Work) -> HttpResponse:
    """Tell what the database would do for the ``query`` in the body, which is not run; or judge the slow ones."""

    def read(_work: Work) -> object:
        value = jsonrpc.decode(http.body) if http.body.strip() else {}
        query = value.get("query") if isinstance(value, dict) else value
        if query is None:
            return {"queries": _slow(work, _MANY), "timestamp": rfc3339(work.now_us)}
        if not isinstance(query, str) or not 0 < len(query) <= _MAX_QUERY_CHARS:
            raise InvalidRequest(f"query: expected one SELECT of at most {_MAX_QUERY_CHARS} characters")
        try:
            plan = queries.plan(work.db, query)
        except NoQuery as exc:
            raise InvalidRequest(f"query: expected one SELECT that only reads: {exc}") from exc
        text = " ".join(query.split())
        found = {"query_hash": queries.fingerprint(text), "query": text, "plan": plan, "suggestions": suggestions(text)}
        return {"queries": [found], "timestamp": rfc3339(work.now_us)}

    return _answer(read, http, work)


def _slow(work: Work, limit: int) -> list[dict[str, Any]]:
    return [
        {
            "query_hash": fingerprint,
            "query": text,
            "avg_time": mean_s,
            "max_time": longest_s,
            "execution_count": count,
            "last_seen": rfc3339(int(newest_s * 1e6)),
            "suggestions": suggestions(text),
        }
        for fingerprint, text, mean_s, longest_s, count, newest_s in queries.slowest(
            work.db, work.now_us - _HOUR_US, limit
        )
    ]


def suggestions(text: str) -> list[str]:
    """Return what strikes one in the query *text*."""
    lower = text.lower()
    words = re.findall(r"\w+", lower)
    found = {
        "SELECT * reads columns that nobody may need; name them": "select *" in lower,
        "NOT IN looks at every row; NOT EXISTS can use an index": "not in" in lower,
        "LIKE with a leading wildcard cannot use an index": "like '%" in lower,
        "ORDER BY without LIMIT sorts everything": "order by" in lower and "limit" not in words,
        "more than three JOINs; is each of them needed?": words.count("join") > 3,
        "no WHERE: every row is read": "from" in words and not {"where", "limit"} & set(words),
    }
    return [words for words, applies in found.items() if applies]


def _cache_performance(work: Work) -> dict[str, Any]:
    found = {name: (hits, misses) for name, hits, misses, _ in queries.caches(work.db)}
    hits, misses = found["pages"]
    return {"average_hit_rate": queries.rate(hits, misses), "total_hits": hits, "total_misses": misses}


def _measured(work: Work) -> tuple[list[float], int]:
    """Return how long each request took, in seconds and in order, and how many of them failed."""
    found = audit.durations(work.db, work.now_us - _HOUR_US)
    return sorted(us / 1e6 for us, _ in found), sum(outcome == "failed" for _, outcome in found)


def quantile(ordered: list[float], part: float) -> float | None:
    """Return the nearest-rank quantile of *ordered*, None of nothing."""
    if not ordered:
        return None
    return ordered[max(-(-len(ordered) * round(part * 100) // 100) - 1, 0)]


def _answer(read: Callable[[Work], object], _http: HttpRequest, work: Work) -> HttpResponse:
    try:
        with store_errors():
            return rest.answer(read(work))
    except Error as error:
        return rest.refuse(work, error)


def _handler(read: Callable[[Work], object]) -> Callable[[HttpRequest, Work], HttpResponse]:
    return lambda http, work: _answer(read, http, work)


HANDLERS: Mapping[str, Callable[[HttpRequest, Work], HttpResponse]] = {
    "/api/mcp/performance/metrics": _handler(_metrics),
    "/api/mcp/performance/report": _handler(_report),
    "/api/mcp/performance/slow-queries": _handler(_slow_queries),
    "/api/mcp/performance/cache-stats": _handler(_cache_stats),
}
"""Path → what answers ``GET`` there."""
