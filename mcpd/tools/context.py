"""What a function that takes its time may do: change the database, tell how far it is, ask the client, become a task.

A handler that asks is *run again from its beginning* when the answers are there, and gets them at once where it asked.
So it survives a restart between question and answer, in every revision of MCP; and so it asks first and changes things
behind that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, TypeVar

from mcpd.protocol import asks
from mcpd.protocol.asks import Answer, Ask, Elicited
from mcpd.store.database import Database
from mcpd.tools.base import Call

T = TypeVar("T")
Level = Literal["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]


class Stopped(Protocol):
    """Whether work in a thread shall stop."""

    def is_set(self) -> bool:
        """Say whether nobody wants the result any more."""


class Context(Protocol):
    """One call, as its function sees it. Errors to raise are ``ToolFailed`` and the others of ``mcpd.errors``."""

    @property
    def caller(self) -> str:
        """Who calls."""

    @property
    def request_id(self) -> str:
        """The request's id in journal and audit."""

    async def store(self, change: Callable[[Call], T]) -> T:
        """Return what *change* returns, run in a transaction that is committed then; it must not wait for anything."""

    async def in_thread(self, work: Callable[[Stopped], T]) -> T:
        """Return what *work* returns, run in a thread; it looks at its argument now and then, and stops if told so."""

    async def snapshot(self, read: Callable[[Database, Stopped], T]) -> T:
        """Return what *read* returns of the database as it is now, in a thread, on a connection that cannot write."""

    def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Tell the client, if it wants to know, that *done* of *total* is done; *done* must grow. From any thread."""

    def log(self, level: Level, data: object, logger: str | None = None) -> None:
        """Tell the client *data*, if it wants to hear of *level*. From any thread."""

    def declares(self, needs: Mapping[str, Any]) -> bool:
        """Say whether the client has the capabilities *needs*, as ``{"sampling": {}}``."""

    def can_ask(self, needs: Mapping[str, Any]) -> bool:
        """Say whether a question that takes the capabilities *needs* would reach the client here."""

    def require(self, needs: Mapping[str, Any]) -> None:
        """Raise ``MissingClientCapability`` unless the client has the capabilities *needs*."""

    async def ask(self, questions: Mapping[str, Ask]) -> Mapping[str, Answer]:
        """Return the client's answers to *questions* (``mcpd.protocol.asks``), by their keys, unique in this call."""

    async def as_task(self, *, required: bool = False) -> None:
        """Go on as a task, if the client knows tasks, which then need not wait; *required*: or refuse."""

    def detach(self, retry_ms: int = 500) -> None:
        """Let go of the client's connection; it comes back for the result, where its revision knows how."""


async def confirm(context: Context, key: str, message: str) -> bool:
    """Ask a person yes or no; a client that cannot ask one gets ``MissingClientCapability``."""
    question = asks.form(message, {"type": "object", "properties": {"confirm": {"type": "boolean", "title": "Confirm"}},
                                   "required": ["confirm"]})  # fmt: skip
    answer = (await context.ask({key: question}))[key]
    assert isinstance(answer, Elicited)
    return answer.action == "accept" and answer.content is not None and bool(answer.content.get("confirm"))
