"""The calls under way: begun, found again by the answers and cancellations of their clients, resumed, stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from mcpd.compliance.registers import note_access
from mcpd.errors import Error, InvalidRequest
from mcpd.protocol import jsonrpc
from mcpd.protocol.jsonrpc import Response
from mcpd.protocol.states import StateSigner
from mcpd.server import replies, task_rows
from mcpd.server.channel import Channel
from mcpd.server.channels import Channels
from mcpd.server.jobs import Jobs
from mcpd.server.operations import Operations
from mcpd.server.run import CallRequest, Run
from mcpd.server.site import Site
from mcpd.server.work import Work
from mcpd.store import calls, sessions
from mcpd.store.calls import Record
from mcpd.store.database import Database
from mcpd.tools.base import Call
from mcpd.tools.context import Context

T = TypeVar("T")
NO_ANSWERS: Mapping[str, Any] = MappingProxyType({})
_GRACE_S = 1.0


class Finished(msgspec.Struct, frozen=True):
    """What the journal says of a call that took longer than its turn."""

    request: CallRequest
    status: int
    duration_us: int
    refusal: str | None
    fault: BaseException | None

    @property
    def request_id(self) -> str:
        """The request's id."""
        return self.request.request_id

    @property
    def caller(self) -> str:
        """Who asked."""
        return self.request.caller

    @property
    def trace(self) -> str | None:
        """The W3C traceparent."""
        return self.request.trace


class Calls:
    """Run calls for *site*, changing *db* by *jobs*; *states* signs what stateless clients carry."""

    def __init__(self, site: Site, db: Database, jobs: Jobs, states: StateSigner) -> None:
        self._site = site
        self._db = db
        self._jobs = jobs
        self._operations = Operations(site)
        self._runs: dict[asyncio.Task[None], Run] = {}
        self._by_message: dict[tuple[str, Any], Run] = {}
        self._by_task: dict[str, Run] = {}
        self.channels = Channels(db)
        self.states = states
        self.closing = False
        self.timeout_s = site.limits.timeout_s
        self.task_ttl_us = int(site.limits.task_ttl_s * 1e6)
        self.finished: Callable[[Finished], None] = lambda _: None

    # Begin and end

    def takes(self, work: Work, method: str, params: Mapping[str, Any]) -> bool:
        """Say whether the request of *work* takes longer than a turn."""
        return self._operations.takes(method, params, work.capabilities)

    def begin(
        self, request: CallRequest, channel: Channel, *, call_id: str = "", answers: Mapping[str, Any] = NO_ANSWERS
    ) -> Run:
        """Run *request*, answering by *channel*; raises ``Error`` (503) when too many run already.

        A session's call has a *call_id*, by which its channel is found again.
        """
        if self.closing:
            raise Error("the server is restarting; call again", http_status=503)
        if len(self._runs) >= self._site.limits.max_calls:
            raise Error(f"{len(self._runs)} calls are under way already; try again later", http_status=503)
        if request.session_id is not None:
            self.channels.begun(call_id, request.session_id, channel)
        return self._start(Run(self, request, channel, call_id=call_id, answers=answers))

    def _start(self, run: Run) -> Run:
        task = run.start()
        self._runs[task] = run
        if run.is_task:
            self._by_task[run.call_id] = run
        elif run.request.session_id is not None:
            self._by_message[run.request.session_id, run.request.message_id] = run
        task.add_done_callback(self._ended)
        return run

    def _ended(self, task: asyncio.Task[None]) -> None:
        run = self._runs.pop(task)
        if self._by_task.get(run.call_id) is run:
            del self._by_task[run.call_id]
        key = (run.request.session_id or "", run.request.message_id)
        if self._by_message.get(key) is run:
            del self._by_message[key]
        fault = asyncio.CancelledError("by its function") if task.cancelled() else task.exception()
        if fault is not None:
            run.give_up(fault)
        if run.request.session_id is not None:
            self.channels.rests(run.call_id)

    async def close(self) -> None:
        """Let what runs come to its end for a moment, then stop it, and have clients come back for the rest."""
        if self._runs:
            await asyncio.wait(list(self._runs), timeout=_GRACE_S)
        self.closing = True
        for run in list(self._runs.values()):
            run.cancel()
        if self._runs:
            await asyncio.wait(list(self._runs), timeout=_GRACE_S)
        self.channels.pause()

    # What runs need of us

    def operation(self, request: CallRequest) -> Callable[[Context], Awaitable[dict[str, Any]]]:
        """Return what does the work of *request*."""
        return self._operations.find(request)

    async def change(self, change: Callable[[Database, int], T]) -> T:
        """Return what *change* returns of the database and the time, after it was committed."""
        return await self._jobs.run(partial(change, self._db))

    async def store(self, caller: str, change: Callable[[Call], T]) -> T:
        """Return what *change* returns, as a tool's own change in the name of *caller*."""
        return await self._jobs.run(lambda now_us: change(Call(self._db, caller, now_us, self._site.claim_ttl_us)))

    def read_only(self, read: Callable[[Database], T]) -> T:
        """Return what *read* returns of the database as it is now, on a connection of its own that cannot write."""
        with self._db.snapshot() as db:
            return read(db)

    def log_access(self, db: Database, now_us: int, request: CallRequest, outcome: str) -> None:
        """Log that the call *request* ended with *outcome*, if its tool is declared sensitive."""
        tool = self._site.tools.get(request.name or "") if request.method == "tools/call" else None
        if tool is None or not self._site.logs_accesses or outcome in ("task", "input_required"):
            return
        what, arguments = ("tools/call", tool.name), request.params.get("arguments")
        note_access(db, now_us, request.caller, what, tool.classification, outcome, request.request_id, arguments)

    async def keep(self, record: Record) -> None:
        """Keep the response in *record*, since its client is not there."""

        def put(db: Database, now_us: int) -> None:
            record.created_us = record.updated_us = now_us
            record.expires_us = now_us + 3_600_000_000
            calls.put(db, record)

        await self.change(put)

    def note(self, task_id: str, message: str) -> None:
        """Say how far a task is, when the next turn comes."""
        self._later(self.change(lambda db, now_us: task_rows.note(db, task_id, message, now_us)))

    def now_task(self, run: Run) -> None:
        """Know *run* by its task's id from now on."""
        self._by_task[run.call_id] = run

    def report(self, run: Run, status: int, refusal: str | None = None) -> None:
        """Tell the journal how *run* went."""
        self.finished(Finished(run.request, status, run.duration_us(), refusal, None))

    def report_fault(self, run: Run, fault: BaseException) -> None:
        """Tell the journal that *run* went wrong, by nobody's fault but the function's or ours."""
        self.finished(Finished(run.request, 500, run.duration_us(), "it failed by its own fault", fault))

    # What clients say of calls under way

    def cancel(self, work: Work, message_id: object) -> None:
        """Stop the call that the session of *work* began with *message_id* (basic/utilities/cancellation)."""
        nonce = work.session_id
        assert nonce is not None
        if not jsonrpc.is_id(message_id):
            return  # there is no such call; a notification is not answered
        run = self._by_message.get((nonce, message_id))
        if run is not None:
            run.cancel()
            self.channels.drop(run.call_id)
        for record in calls.of_session(self._db, nonce):
            if record.request["message_id"] == message_id and record.status == "input_required":
                _remove(work, record.id)
                self.channels.drop(record.id)

    def answered(self, work: Work, response: Response) -> None:
        """Take a client's answer to a question of ours; when all are there, the call goes on.

        Raises ``InvalidRequest`` if nothing was asked under that id, or somebody else was.
        """
        record = calls.find(self._db, response.id.partition(".")[0])
        if record is None or record.session != work.session_id or response.id not in record.asked:
            raise InvalidRequest("this answers no request of the server's; it may have been answered or be too old")
        work.require_for(record.request["method"], record.request["params"])
        key = record.asked.pop(response.id)["key"]
        record.answers[key] = {"result": response.result} if response.error is None else {"error": response.error}
        if not record.asked:
            record.status = "working"
        work.stored = True
        work.turn.run(lambda: calls.put(work.db, record))
        if not record.asked:
            self.go_on(record)

    def go_on(self, record: Record) -> None:
        """Run a session's call or a task again from its beginning, with the answers that it has now."""
        request = msgspec.convert(record.request, CallRequest)
        channel = None if record.session is None else self.channels.of(record)
        self._start(Run(self, request, channel, call_id=record.id, answers=record.answers, record=record))

    def end_session(self, work: Work) -> None:
        """Stop and forget what the session of *work* has under way, since it ends."""
        assert work.session_id is not None
        self._stop_session(work.session_id)
        calls.forget_session(work.db, work.session_id)

    def forget_session_later(self, nonce: str) -> None:
        """Stop and forget what the session *nonce*, whose client is gone, has under way."""
        self._stop_session(nonce)
        if not self.closing:
            self._later(self.change(lambda db, _now_us: _forget(db, nonce)))

    def _stop_session(self, nonce: str) -> None:
        for run in [run for (session, _), run in self._by_message.items() if session == nonce]:
            run.cancel()
        self.channels.drop_session(nonce)

    def _later(self, change: Awaitable[object]) -> None:
        """Have *change* done in the next turn, for whose outcome nobody waits."""
        done = asyncio.ensure_future(change)
        done.add_done_callback(lambda task: task.cancelled() or task.exception())

    # Tasks

    def cancel_task(self, task_id: str) -> None:
        """Stop the task's work."""
        run = self._by_task.get(task_id)
        if run is not None:
            run.cancel()

    async def recover(self) -> None:
        """Take up what was running when our predecessor stopped: tasks that may run twice; the others have failed."""

        def take_up(db: Database, now_us: int) -> list[Record]:
            calls.forget_expired(db, now_us)
            again = []
            for record in calls.working(db):
                if record.session is None and self._operations.is_idempotent(record.request):
                    again.append(record)
                else:
                    _interrupt(db, record, now_us)
            return again

        for record in await self.change(take_up):
            self.go_on(record)


def _interrupt(db: Database, record: Record, now_us: int) -> None:
    fault = Error("the server restarted while this ran; it may have done part of its work")
    if record.session is None:
        task_rows.finish(db, record.id, fault, now_us)
        return
    request = msgspec.convert(record.request, CallRequest)
    _, response = replies.error(request.message_id, fault, handshake=True)
    record.status, record.outcome, record.sent = "failed", response.decode(), record.sent + 1
    calls.put(db, record)


def _forget(db: Database, nonce: str) -> None:
    calls.forget_session(db, nonce)
    sessions.forget(db, nonce)


def _remove(work: Work, call_id: str) -> None:
    work.stored = True
    work.turn.run(lambda: calls.remove(work.db, call_id))
