"""One call that takes its time: its function run, what it asks brought to the client, its end told and kept.

A call that asks ends there and is run again with the answers (``tools.context``). Where they wait meanwhile is the only
thing in which the eras differ: in the client's hands (``requestState``), in a row of the session, in a task's row.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from mcpd.errors import ConsentRequired, Error, InternalError, ToolFailed
from mcpd.protocol import jsonrpc, mcp, states
from mcpd.protocol.asks import Ask
from mcpd.protocol.jsonrpc import Id
from mcpd.protocol.revisions import REVISIONS, Revision
from mcpd.server import replies, task_rows
from mcpd.server.channel import Channel
from mcpd.server.context import CallContext, InputRequired
from mcpd.store import audit, calls
from mcpd.store.calls import Record
from mcpd.store.database import Database
from mcpd.tools.base import Call

if TYPE_CHECKING:
    from mcpd.server.calls import Calls

T = TypeVar("T")
SESSION_TTL_US = 86_400_000_000
"""How long a question may wait for its answer."""

_NOTE_EVERY_S = 1.0


class CallRequest(msgspec.Struct, frozen=True, kw_only=True):
    """All that is needed to run a request, now or after a restart."""

    method: str
    params: dict[str, Any]
    message_id: Id
    version: str
    capabilities: dict[str, Any]
    caller: str
    session_id: str | None
    request_id: str
    log_level: str | None = None
    trace: str | None = None
    form: replies.Form = "mcp"

    @property
    def progress_token(self) -> str | int | None:
        """What the client wants progress to be told under."""
        meta = self.params.get("_meta")
        token = meta.get("progressToken") if isinstance(meta, dict) else None
        return token if jsonrpc.is_id(token) else None

    @property
    def name(self) -> str | None:
        """The name of the tool or prompt."""
        name = self.params.get("name")
        return name if isinstance(name, str) else None


class Run:
    """The call *request*, answering by *channel*; ``call_id`` names it where it must be found again."""

    def __init__(
        self,
        owner: Calls,
        request: CallRequest,
        channel: Channel | None,
        *,
        call_id: str,
        answers: Mapping[str, Any],
        record: Record | None = None,
    ) -> None:
        self._owner = owner
        self._channel = channel
        self._record = record
        self._context = CallContext(self, answers)
        self._started_ns = time.perf_counter_ns()
        self._noted_ns = 0
        self._task: asyncio.Task[None]
        self._works = False
        self._is_stopped = False
        self.request = request
        self.revision: Revision = REVISIONS[request.version]
        self.call_id = call_id
        self.answers = answers

    @property
    def is_task(self) -> bool:
        """Whether the call has become a task."""
        return self._record is not None and self._record.session is None

    @property
    def can_ask(self) -> bool:
        """Whether a question would find the client."""
        return not self.revision.handshake or (self._channel is not None and self._channel.can_ask)

    def start(self) -> asyncio.Task[None]:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._main())
        return self._task

    def cancel(self) -> None:
        """Stop the work, whose result nobody wants; what has come of it already is told all the same."""
        self._is_stopped = True
        if self._works:
            self._task.cancel()

    def give_up(self, fault: BaseException) -> None:
        """Tell the client and the journal of a *fault* in telling them what came of it."""
        self._owner.report_fault(self, fault)
        if self._channel is not None:
            status, response = self._encoded(InternalError())
            self._channel.finish(response, status)

    async def _main(self) -> None:
        came = asyncio.CancelledError() if self._is_stopped else await self._operate()
        try:
            await self._tell(came)
        except Exception as exc:  # noqa: BLE001 - what the function returned or asks cannot be told
            await self._fault(exc)

    async def _operate(self) -> dict[str, Any] | BaseException:
        """Return what the function returns, or what it raises: whatever that is, it ends this call and nothing else."""
        timeout_s = self._owner.timeout_s
        limit = asyncio.timeout(timeout_s)
        self._works = True
        try:
            async with limit:
                return await self._owner.operation(self.request)(self._context)
        except BaseException as exc:  # noqa: BLE001 - SystemExit would end the daemon, CancelledError this task
            if limit.expired():
                return ToolFailed(f"this did not end within {timeout_s:g} seconds and was stopped")
            return exc
        finally:
            self._works = False

    async def _tell(self, came: dict[str, Any] | BaseException) -> None:
        if isinstance(came, dict):
            await self._finish(came, "failed" if came.get("isError") else "ok")
        elif isinstance(came, InputRequired):
            await self._ask(came.questions)
        elif isinstance(came, asyncio.CancelledError) and self._is_stopped:
            await self._stopped()
        elif isinstance(came, Error):
            await self._fail(came)
        else:
            await self._fault(came)

    # What the context needs

    async def store(self, change: Callable[[Call], T]) -> T:
        """Return what *change* returns, after it was committed."""
        return await self._owner.store(self.request.caller, change)

    def read_only(self, read: Callable[[Database], T]) -> T:
        """Return what *read* returns of the database as it is now; for threads."""
        return self._owner.read_only(read)

    def tell(self, message: bytes) -> None:
        """Send a notification of this request's."""
        if self._channel is not None:
            self._channel.tell(message)

    def pause(self, retry_ms: int) -> None:
        """Let go of the client's connection."""
        if self._channel is not None:
            self._channel.pause(retry_ms)

    def note(self, message: str) -> None:
        """Keep *message* as the state of the task; not more often than people can read."""
        now_ns = time.monotonic_ns()
        if self.is_task and now_ns - self._noted_ns > _NOTE_EVERY_S * 1e9:
            self._noted_ns = now_ns
            self._owner.note(self.call_id, message)

    async def become_task(self, answers: Mapping[str, Any]) -> None:
        """Go on as a task, and tell the client its id."""
        self.call_id = task_id = secrets.token_urlsafe(24)
        request = msgspec.to_builtins(self.request)

        def create(db: Database, now_us: int) -> Record:
            record = task_rows.new(task_id, self.request.caller, request, answers, now_us, self._owner.task_ttl_us)
            task_rows.put(db, record, now_us)
            self._audit(db, now_us, "task")
            return record

        self._record = await self._owner.change(create)
        self._owner.now_task(self)
        self._respond(mcp.complete(self.revision, task_rows.brief(self._record)) | {"resultType": "task"})
        self._channel = None

    # How it ends

    async def _ask(self, questions: Mapping[str, Ask]) -> None:
        if self.is_task:
            await self._owner.change(lambda db, now_us: task_rows.ask(db, self.call_id, questions, now_us))
            self._owner.report(self, 200)
        elif self.revision.handshake:
            await self._ask_in_session(questions)
        else:
            await self._ask_by_result(questions)

    async def _ask_by_result(self, questions: Mapping[str, Ask]) -> None:
        request = self.request
        digest = states.digest(request.method, request.params)

        def issue(db: Database, now_us: int) -> str:
            self._audit(db, now_us, "input_required")
            return self._owner.states.issue(request.caller, digest, self._context.answered, now_us)

        state = await self._owner.change(issue)
        shown = {key: ask.shown(self.revision, key) for key, ask in questions.items()}
        result = {"inputRequests": shown, "requestState": state}
        self._respond(mcp.complete(self.revision, result) | {"resultType": "input_required"})
        self._owner.report(self, 200)

    async def _ask_in_session(self, questions: Mapping[str, Ask]) -> None:
        channel = self._channel
        if channel is None or not channel.can_ask:
            await self._fail(ToolFailed("this has to ask its client, who must accept text/event-stream for it"))
            return
        asked: dict[str, Any] = {}
        for offset, (key, ask) in enumerate(questions.items(), 1):
            asked[f"{self.call_id}.{secrets.token_hex(4)}"] = {"key": key, "number": channel.number + offset} | (
                msgspec.to_builtins(ask)
            )

        def keep(db: Database, now_us: int) -> None:
            calls.put(db, self._session_record(now_us, "input_required", asked, channel.number + len(asked)))
            self._audit(db, now_us, "input_required")

        await self._owner.change(keep)
        for message in replies.questions(self.revision, asked).values():
            channel.send(message)
        self._owner.report(self, 200)

    def _session_record(self, now_us: int, status: calls.Status, asked: dict[str, Any], sent: int) -> Record:
        return Record(
            id=self.call_id,
            session=self.request.session_id,
            caller=self.request.caller,
            status=status,
            request=msgspec.to_builtins(self.request),
            created_us=now_us,
            updated_us=now_us,
            expires_us=now_us + SESSION_TTL_US,
            answers=dict(self.answers),
            asked=asked,
            sent=sent,
        )

    async def _fault(self, fault: BaseException) -> None:
        self._owner.report_fault(self, fault)
        await self._fail(InternalError(), reported=True)

    async def _fail(self, error: Error, *, reported: bool = False) -> None:
        if isinstance(error, ToolFailed) and self.request.method == "tools/call":
            await self._finish(replies.tool_failure(self.revision, error.message), "failed", error.message)
            return
        if isinstance(error, ConsentRequired):
            told = replies.consent(self.revision, error) if self.request.form == "mcp" else error
            await self._finish(told, "input_required", error.message)
            return
        await self._finish(error, "refused" if error.http_status < 500 else "failed", error.message, reported=reported)

    async def _finish(
        self, came: dict[str, Any] | Error, outcome: str, refusal: str | None = None, *, reported: bool = False
    ) -> None:
        status, response = self._encoded(came)  # before it counts as done: it may be no JSON

        def end(db: Database, now_us: int) -> None:
            if self.is_task:
                task_rows.finish(db, self.call_id, came, now_us)
            elif self._record is not None:
                calls.remove(db, self.call_id)
            self._audit(db, now_us, outcome)

        try:
            await self._owner.change(end)
        except Error as error:
            refusal = error.message
            status, response = self._encoded(error)
        if self.is_task:
            status = 200
        else:
            await self._deliver(status, response)
        if not reported:
            self._owner.report(self, status, refusal)

    def _encoded(self, came: dict[str, Any] | Error) -> tuple[int, bytes]:
        return replies.FORMS[self.request.form](self.request.message_id, came, self.revision.handshake)

    async def _deliver(self, status: int, response: bytes) -> None:
        channel = self._channel
        assert channel is not None
        if not channel.finish(response, status) and self.request.session_id is not None and channel.number:
            record = self._session_record(0, "completed", {}, channel.number)
            record.outcome = response.decode()
            await self._owner.keep(record)

    def _respond(self, result: dict[str, Any]) -> None:
        if self._channel is not None:
            self._channel.finish(jsonrpc.encode_result(self.request.message_id, result))

    async def _stopped(self) -> None:
        """End what was cancelled: by its client, who gets nothing more, or by our going down, of which it is told."""
        if self._owner.closing:
            if not self.is_task:
                interrupted = "the server restarted while this ran, and stopped it; call again"
                await self._fail(ToolFailed(interrupted))
            return
        await self._owner.change(lambda db, now_us: self._audit(db, now_us, "cancelled"))
        self._owner.report(self, 200, "cancelled by its client")

    def _audit(self, db: Database, now_us: int, outcome: str) -> None:
        request = self.request
        duration_us = (time.perf_counter_ns() - self._started_ns) // 1000
        arguments = request.params.get("arguments", {})
        self._owner.log_access(db, now_us, request, outcome)
        audit.add(
            db,
            audit.Entry(
                now_us, request.caller, request.method, request.name, outcome, duration_us, request.request_id,
                request.session_id, arguments, request.trace,
            ),
        )  # fmt: skip

    def duration_us(self) -> int:
        """Return how long it has taken so far."""
        return (time.perf_counter_ns() - self._started_ns) // 1000
