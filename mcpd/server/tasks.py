"""``tasks/get``, ``tasks/update`` and ``tasks/cancel`` of the extension ``io.modelcontextprotocol/tasks``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mcpd.errors import InvalidParams
from mcpd.protocol import asks, mcp
from mcpd.protocol.revisions import TASKS, Revision
from mcpd.server import task_rows
from mcpd.server.calls import Calls
from mcpd.server.work import Work
from mcpd.store import calls
from mcpd.store.calls import Record
from mcpd.store.database import store_errors

Method = Callable[[Work, dict[str, Any], Revision], object]


class Tasks:
    """The methods of the extension; what runs is *running*'s."""

    def __init__(self, running: Calls) -> None:
        self._running = running
        self.methods: dict[str, Method] = {
            "tasks/get": self._get,
            "tasks/update": self._update,
            "tasks/cancel": self._cancel,
        }

    def _get(self, work: Work, params: dict[str, Any], revision: Revision) -> object:
        return mcp.complete(revision, task_rows.detailed(_find(work, params)))

    def _update(self, work: Work, params: dict[str, Any], revision: Revision) -> object:
        record = _find(work, params)
        responses = params.get("inputResponses")
        if not isinstance(responses, dict):
            raise InvalidParams('params "inputResponses": expected an object with an answer to each question')
        work.require_for(record.request["method"], record.request["params"])
        waited = record.status == "input_required"
        work.stored = True
        ready = work.turn.run(lambda: task_rows.answer(work.db, record, responses, work.now_us))
        if waited and ready:
            self._running.go_on(record)
        return mcp.complete(revision, {})

    def _cancel(self, work: Work, params: dict[str, Any], revision: Revision) -> object:
        record = _find(work, params)
        work.stored = True
        work.turn.run(lambda: task_rows.cancel(work.db, record, work.now_us))
        self._running.cancel_task(record.id)
        return mcp.complete(revision, {})


def find_own(work: Work, task_id: object) -> Record | None:
    """Return the caller's task *task_id*, None if there is none, or it is not theirs, which they must not know."""
    if not isinstance(task_id, str):
        raise InvalidParams('params "taskId": expected the id of a task')
    with store_errors():
        record = calls.find(work.db, task_id)
    return record if record is not None and record.session is None and record.caller == work.caller else None


def require_extension(work: Work) -> None:
    """Raise ``MissingClientCapability`` unless the client knows tasks."""
    asks.require(work.capabilities, {"extensions": {TASKS: {}}})


def _find(work: Work, params: dict[str, Any]) -> Record:
    require_extension(work)
    record = find_own(work, params.get("taskId"))
    if record is None:
        raise InvalidParams("there is no such task; it may have expired")
    return record
