"""``tools.context.Context`` as a running call has it."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from mcpd.errors import MissingClientCapability, ToolFailed
from mcpd.protocol import asks, jsonrpc
from mcpd.protocol.asks import Answer, Ask, InvalidAnswer
from mcpd.protocol.revisions import TASKS
from mcpd.store.database import Database
from mcpd.tools.base import Call
from mcpd.tools.context import Level, Stopped

if TYPE_CHECKING:
    from mcpd.server.run import Run

T = TypeVar("T")
LEVELS = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""RFC 5424 severities, least first, as MCP names them (server/utilities/logging)."""

_TASKS_NEEDED: dict[str, Any] = {"extensions": {TASKS: {}}}


class InputRequired(BaseException):
    """A function asked what nobody has answered yet. No ``Exception``: a handler must not catch it by mistake."""

    def __init__(self, questions: Mapping[str, Ask]) -> None:
        super().__init__()
        self.questions = questions


class CallContext:
    """What the function of *run* may do; *answers* are the client's, as they came, by key."""

    def __init__(self, run: Run, answers: Mapping[str, Any]) -> None:
        self._run = run
        self._answers = answers
        self._done = float("-inf")
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self.answered: dict[str, Any] = {}

    @property
    def caller(self) -> str:
        return self._run.request.caller

    @property
    def request_id(self) -> str:
        return self._run.request.request_id

    async def store(self, change: Callable[[Call], T]) -> T:
        return await self._run.store(change)

    async def in_thread(self, work: Callable[[Stopped], T]) -> T:
        stopped = threading.Event()

        def outcome() -> tuple[T, None] | tuple[None, BaseException]:
            try:
                return work(stopped), None
            except BaseException as exc:  # noqa: BLE001 - a future takes not every exception as one
                return None, exc

        try:
            done, fault = await asyncio.to_thread(outcome)
        except asyncio.CancelledError:
            stopped.set()
            raise
        if fault is not None:
            raise fault
        return cast(T, done)

    async def snapshot(self, read: Callable[[Database, Stopped], T]) -> T:
        return await self.in_thread(lambda stopped: self._run.read_only(lambda db: read(db, stopped)))

    def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        if not (_is_amount(done) and (total is None or _is_amount(total)) and isinstance(message, str | None)):
            raise TypeError("progress: expected finite numbers as done and total, and words as message")
        if self._elsewhere(self.progress, done, total, message) or done <= self._done:
            return
        self._done = done
        if message is not None:
            self._run.note(message)
        token = self._run.request.progress_token
        if token is None:
            return
        params: dict[str, Any] = {"progressToken": token, "progress": done}
        if total is not None:
            params["total"] = total
        if message is not None and self._run.revision.annotations:  # both came with 2025-03-26
            params["message"] = message
        self._run.tell(jsonrpc.encode_notification("notifications/progress", params))

    def log(self, level: Level, data: object, logger: str | None = None) -> None:
        if self._elsewhere(self.log, level, data, logger):
            return
        wanted = self._run.request.log_level
        if wanted is None or LEVELS.index(level) < LEVELS.index(wanted):
            return
        params = {"level": level, "data": data} if logger is None else {"level": level, "logger": logger, "data": data}
        self._run.tell(jsonrpc.encode_notification("notifications/message", params))

    def _elsewhere(self, tell: Callable[..., None], *arguments: object) -> bool:
        """Say whether this is another thread than the loop's, in which case the loop does *tell* soon."""
        if threading.get_ident() == self._thread:
            return False
        self._loop.call_soon_threadsafe(tell, *arguments)
        return True

    def declares(self, needs: Mapping[str, Any]) -> bool:
        return asks.declares(self._run.request.capabilities, needs)

    def can_ask(self, needs: Mapping[str, Any]) -> bool:
        return self._run.can_ask and self.declares(needs)

    def require(self, needs: Mapping[str, Any]) -> None:
        try:
            asks.require(self._run.request.capabilities, needs)
        except MissingClientCapability as error:
            # The code came with the stateless era; before it a result can say so, and the model reads it.
            raise ToolFailed(error.message) if self._run.revision.handshake else error from None

    async def ask(self, questions: Mapping[str, Ask]) -> Mapping[str, Answer]:
        missing: dict[str, Ask] = {}
        found: dict[str, Answer] = {}
        for key, question in questions.items():
            self.require(question.needs)
            answer = self._read(key, question)
            if answer is None:
                missing[key] = question
            else:
                found[key] = answer
        if missing:
            raise InputRequired(missing)
        return found

    def _read(self, key: str, question: Ask) -> Answer | None:
        given = self._answers.get(key)
        if not isinstance(given, dict):
            return None
        if "error" in given:
            raise ToolFailed(f"the client did not answer {question.method}: {given['error']}")
        try:
            answer = asks.read(question, given.get("result"))
        except InvalidAnswer as error:
            if self._run.revision.handshake:
                raise ToolFailed(error.message) from None
            return None  # basic/patterns/mrtr: ask again for what is missing or cannot be read
        self.answered[key] = given
        return answer

    async def as_task(self, *, required: bool = False) -> None:
        if self._run.is_task:
            return
        if self._run.revision.handshake or not self.declares(_TASKS_NEEDED):
            if required:
                self.require(_TASKS_NEEDED)
            return
        await self._run.become_task(self.answered)

    def detach(self, retry_ms: int = 500) -> None:
        self._run.pause(retry_ms)


def _is_amount(value: object) -> bool:
    """Say whether *value* is a number that JSON has."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
