"""What the journal says of requests: one structured line each, up to a budget, the rest of a second in one line.

journald drops what comes too fast, silently and at a cost to every daemon of the machine; we drop knowingly and say
how many. Nothing is lost by it: every tool call is a row of the audit. Refusals and faults have a budget of their own.
"""

from __future__ import annotations

import logging
from typing import Protocol

from mcpd.access.callers import Caller
from mcpd.errors import Error
from mcpd.protocol.http import HttpLater
from mcpd.server.calls import Finished
from mcpd.server.core import Answer, Exchange


class Done(Protocol):
    """What is logged alike of requests that were answered in their turn and of those that took longer."""

    @property
    def request_id(self) -> str:
        """The request's id."""

    @property
    def caller(self) -> str:
        """Who asked."""

    @property
    def trace(self) -> str | None:
        """The W3C traceparent."""

    @property
    def refusal(self) -> str | None:
        """Why it was refused, None if it was not."""


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
        if work.fault is not None:
            self._log.error("request %s failed by our own fault", work.request_id, exc_info=work.fault)
        if not self._admit(level, now_us):
            self._dropped += 1
            self._slowest_us = max(self._slowest_us, answer.duration_us)
            return
        http = exchange.http
        what = " ".join(filter(None, (http.method, http.path[:100], work.method, work.tool)))
        status = 200 if isinstance(answer.response, HttpLater) else answer.response.status
        method = work.method or http.method
        self._line(level, what, work, method, work.tool, answer.duration_us, status)

    def finished(self, finished: Finished, now_us: int) -> None:
        """Log one request that took longer than its turn."""
        request = finished.request
        level = logging.INFO if finished.refusal is None else logging.WARNING
        if finished.fault is not None:
            self._log.error("request %s failed by our own fault", request.request_id, exc_info=finished.fault)
        if self._admit(level, now_us):
            what = f"{request.method} {request.name}"
            self._line(level, what, finished, request.method, request.name, finished.duration_us, finished.status)
        else:
            self._dropped += 1

    def _line(
        self, level: int, what: str, done: Done, method: str, name: str | None, duration_us: int, status: int
    ) -> None:
        fields = {
            "MCPD_REQUEST_ID": done.request_id,
            "MCPD_METHOD": method,
            "MCPD_TOOL": name or "",
            "MCPD_CALLER": done.caller,
            "MCPD_DURATION_US": str(duration_us),
            "MCPD_STATUS": str(status),
            "MCPD_TRACE": done.trace or "",
        }
        outcome = "answered" if done.refusal is None else f"refused: {done.refusal}"
        self._log.log(level, "%s for %s in %d us: %s", what, done.caller, duration_us, outcome, extra=fields)

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
