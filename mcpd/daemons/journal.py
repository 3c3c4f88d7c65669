"""What the journal says of requests: one structured line each, up to a budget, the rest of a second in one line.

journald drops what comes too fast, silently and at a cost to every daemon of the machine; we drop knowingly and say
how many. Nothing is lost by it: every tool call is a row of the audit. Refusals and faults have a budget of their own.
"""

from __future__ import annotations

import logging

from mcpd.access.callers import Caller
from mcpd.errors import Error
from mcpd.server.core import Answer, Exchange


class RequestLog:
    """Log answers to *log*, at most *requests_per_s* of each kind one by one."""

    def __init__(self, log: logging.Logger, requests_per_s: int) -> None:
        self._log = log
        self._budget = requests_per_s
        self._second = 0
        self._left = {logging.INFO: requests_per_s, logging.WARNING: requests_per_s}
        self._dropped = 0
        self._slowest_us = 0

    def answered(self, exchange: Exchange, answer: Answer, now_us: int) -> None:
        """Log one answered request."""
        work = answer.work
        level = logging.INFO if work.refusal is None else logging.WARNING
        if answer.fault is not None:
            self._log.error("request %s failed by our own fault", work.request_id, exc_info=answer.fault)
        if not self._admit(level, now_us):
            self._dropped += 1
            self._slowest_us = max(self._slowest_us, answer.duration_us)
            return
        what = " ".join(filter(None, (exchange.http.method, exchange.http.path[:100], work.method, work.tool)))
        fields = {
            "MCPD_REQUEST_ID": work.request_id,
            "MCPD_METHOD": work.method or exchange.http.method,
            "MCPD_TOOL": work.tool or "",
            "MCPD_CALLER": work.caller,
            "MCPD_DURATION_US": str(answer.duration_us),
            "MCPD_STATUS": str(answer.response.status),
        }
        outcome = "answered" if work.refusal is None else f"refused: {work.refusal}"
        self._log.log(level, "%s for %s in %d us: %s", what, work.caller, answer.duration_us, outcome, extra=fields)

    def refused(self, caller: Caller, error: Error, now_us: int) -> None:
        """Log bytes that never became a request."""
        if self._admit(logging.WARNING, now_us):
            fields = {"MCPD_CALLER": caller.name, "MCPD_STATUS": str(error.http_status)}
            text = "refused %s: %d %s"
            self._log.warning(text, caller.name, error.http_status, error.message, extra=fields)
        else:
            self._dropped += 1

    def flush(self) -> None:
        """Say how many requests the last second's budget left out."""
        if self._dropped:
            self._log.info("answered %d more requests, the slowest in %d us", self._dropped, self._slowest_us)
        self._dropped = self._slowest_us = 0

    def _admit(self, level: int, now_us: int) -> bool:
        second = now_us // 1_000_000
        if second != self._second:
            self.flush()
            self._second = second
            self._left = dict.fromkeys(self._left, self._budget)
        self._left[level] -= 1
        return self._left[level] >= 0
