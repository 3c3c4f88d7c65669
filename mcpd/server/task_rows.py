"""Tasks (extension ``io.modelcontextprotocol/tasks``) as rows: what is kept, and how a client is shown it.

Every change of one is an event with its id alone; whoever listens reads the row, if it is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mcpd.errors import Error, InvalidParams
from mcpd.protocol import asks, jsonrpc
from mcpd.protocol.asks import Ask, InvalidAnswer
from mcpd.protocol.revisions import MODERN
from mcpd.server import replies
from mcpd.store import calls, events
from mcpd.store.calls import FINAL, Record
from mcpd.store.database import Database
from mcpd.times import rfc3339

POLL_MS = 1000
MAX_MESSAGE = 1000
TOPIC = "task.status"


def new(
    task_id: str, caller: str, request: dict[str, Any], answers: Mapping[str, Any], now_us: int, ttl_us: int
) -> Record:
    """Return a new task of *caller* that runs *request* with *answers*."""
    return Record(
        id=task_id, session=None, caller=caller, status="working", request=request, answers=dict(answers),
        created_us=now_us, updated_us=now_us, expires_us=now_us + ttl_us,
    )  # fmt: skip


def put(db: Database, record: Record, now_us: int) -> None:
    """Keep *record*, changed now."""
    record.updated_us = now_us
    calls.put(db, record)
    events.add(db, now_us, TOPIC, None, {"task": record.id, "status": record.status})


def ask(db: Database, task_id: str, questions: Mapping[str, Ask], now_us: int) -> None:
    """Have the task wait for answers to *questions*."""
    record = calls.find(db, task_id)
    if record is not None and record.status == "working":
        record.asked = {key: msgspec.to_builtins(question) for key, question in questions.items()}
        record.status, record.message = "input_required", "waiting for input"
        put(db, record, now_us)


def note(db: Database, task_id: str, message: str, now_us: int) -> None:
    """Say how far the task is."""
    record = calls.find(db, task_id)
    if record is not None and record.status == "working":
        record.message = message[:MAX_MESSAGE]
        put(db, record, now_us)


def answer(db: Database, record: Record, responses: Mapping[str, object], now_us: int) -> bool:
    """Take *responses* to what *record* has asked, by key; return whether all is answered now.

    Keys that were not asked are ignored; raises ``InvalidParams`` for what is no answer, of which nothing is kept.
    """
    answered = [key for key in record.asked if key in responses]
    if not answered:
        return False
    for key in answered:
        try:
            asks.read(replies.ask(record.asked[key]), responses[key])
        except InvalidAnswer as error:
            raise InvalidParams(f'params "inputResponses", {key!r}: {error.message}') from error
        record.answers[key] = {"result": responses[key]}
        del record.asked[key]
    if record.status == "input_required" and not record.asked:
        record.status, record.message = "working", None
    put(db, record, now_us)
    return record.status == "working"


def finish(db: Database, task_id: str, came: dict[str, Any] | Error, now_us: int) -> None:
    """End the task with its result, or with the error that its request would have been answered with."""
    record = calls.find(db, task_id)
    if record is None or record.status in FINAL:
        return
    if isinstance(came, Error):
        record.status, record.outcome = "failed", jsonrpc.error_object(came)
        record.message = came.message[:MAX_MESSAGE]
    else:
        record.status, record.outcome, record.message = "completed", came, None
    record.asked = {}
    put(db, record, now_us)


def cancel(db: Database, record: Record, now_us: int) -> None:
    """End the task, since nobody wants its result; one that has ended stays as it is."""
    if record.status not in FINAL:
        record.status, record.asked, record.message = "cancelled", {}, "cancelled by its client"
        put(db, record, now_us)


def shown(db: Database, task_id: str) -> dict[str, Any]:
    """Return the task *task_id* as it is now, its id alone if it is kept no more."""
    record = calls.find(db, task_id)
    return {"taskId": task_id} if record is None else detailed(record)


def brief(record: Record) -> dict[str, Any]:
    """Return what every message about the task holds."""
    told: dict[str, Any] = {
        "taskId": record.id,
        "status": record.status,
        "createdAt": rfc3339(record.created_us),
        "lastUpdatedAt": rfc3339(record.updated_us),
        "ttlMs": (record.expires_us - record.created_us) // 1000,
        "pollIntervalMs": POLL_MS,
    }
    return told if record.message is None else told | {"statusMessage": record.message}


def detailed(record: Record) -> dict[str, Any]:
    """Return the task with what its status brings: questions, the result or the error."""
    told = brief(record)
    if record.status == "input_required":
        pairs = record.asked.items()
        told["inputRequests"] = {key: replies.ask(entry).shown(MODERN, key) for key, entry in pairs}
    elif record.status == "completed":
        told["result"] = record.outcome
    elif record.status == "failed":
        told["error"] = record.outcome
    return told
