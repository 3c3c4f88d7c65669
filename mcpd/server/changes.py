"""A change that somebody makes by REST: kept together with its audit record; a refused one leaves the record alone."""

from __future__ import annotations

import time
from collections.abc import Callable

from mcpd.errors import Error, StoreUnavailable
from mcpd.protocol.http import HttpResponse
from mcpd.server import rest
from mcpd.server.work import Work
from mcpd.store import audit
from mcpd.store.audit import Entry

Refusal = Callable[[Work, Error], HttpResponse]


def audited(
    work: Work,
    operation: str,
    resource: str | None,
    asked: object,
    change: Callable[[], HttpResponse],
    refuse: Refusal = rest.refuse,
) -> HttpResponse:
    """Return what *change* returns, or the refusal that it raises; *asked* goes into the audit, so no secret may."""
    work.stored = True
    work.method = operation
    started_ns = time.perf_counter_ns()

    def note(outcome: str) -> None:
        duration_us = (time.perf_counter_ns() - started_ns) // 1000
        entry = Entry(work.now_us, work.caller, operation, resource, outcome, duration_us, work.request_id, None, asked)
        audit.add(work.db, entry)

    def make() -> HttpResponse:
        made = change()
        note("ok")
        return made

    try:
        return work.turn.run(make)
    except StoreUnavailable as error:
        return refuse(work, error)
    except Error as error:
        try:
            work.turn.run(lambda: note("refused"))
        except StoreUnavailable as lost:
            return refuse(work, lost)
        return refuse(work, error)
