"""One client's MCP, served by the daemon: each message a request of its own, as many at once as the client sends.

What ends a message is one of: the daemon's answer, an error that says why there is none, or the client's cancellation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import closing
from functools import partial
from typing import Any, Protocol

import msgspec

from mcpd.bridge.streams import AnswerStream, Following, Listening, Place, Sink
from mcpd.bridge.upstream import AnswerLost, Reply, Upstream
from mcpd.errors import Error, InvalidRequest, ParseError
from mcpd.protocol import stdio
from mcpd.protocol.stdio import STDIO, Binding, Kind, Message, Session

_MAX_AT_ONCE = 64
_REPEATS = 3
_MAYBE = "it may or may not have been carried out: look before you call it again"


class Ends(Protocol):
    """Who is told what is not the client's business."""

    def complain(self, text: str) -> None:
        """Something was refused that the client was not told of."""

    def failed(self, message: Message | None, error: Error) -> None:
        """The daemon cannot be reached, or by us not, which *message* waited for."""

    def fault(self, error: Error) -> None:
        """We have made a mistake, after which there is no going on."""


class Pending(msgspec.Struct, array_like=True):
    """A message that was not answered when its client went to another process, and how far its stream had come."""

    line: bytes
    place: str | None = None
    acknowledged: bool = False
    last_event_id: str | None = None


class State(msgspec.Struct, array_like=True):
    """What another process needs to go on with a client: its session, what it waits for, and what was not begun."""

    session_id: str | None
    version: str | None
    follows: bool
    last_event_id: str | None
    pending: list[Pending]
    waiting: list[bytes]


class Conversation:
    """Pass messages between the client behind *output* and *upstream*; *ends* is told what else there is to say."""

    def __init__(self, upstream: Upstream, output: Sink, ends: Ends, binding: Binding = STDIO) -> None:
        self.upstream = upstream
        self.output = output
        self.binding = binding
        self.session = Session()
        self._ends = ends
        self._room = asyncio.Semaphore(_MAX_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests: dict[bytes, tuple[Message, asyncio.Task[None]]] = {}
        self._unanswered: dict[bytes, Message] = {}
        self._torn: set[bytes] = set()  # listen requests whose stream was open
        self._streams: dict[Message, Listening | AnswerStream] = {}
        self._following: Following | None = None
        self._session_stream: asyncio.Task[None] | None = None

    # What the client sends.

    async def take(self, line: bytes | None) -> None:
        """Take one message, of which nothing is known but that it was too long if it is None."""
        try:
            if line is None:
                limit = stdio.MAX_LINE_BYTES
                raise InvalidRequest(f"the line is longer than {limit} bytes, which is the most a message may have")
            message = stdio.read(line)
        except (ParseError, InvalidRequest) as error:
            await self.output.write(stdio.refused(error))
            return
        self._unanswered.update(dict.fromkeys(message.ids, message))
        if message.kind is Kind.NOTIFICATION:
            # One after the other, so that what comes behind it finds it done.
            if not (message.method == stdio.CANCELLED and self._cancel(message)):
                await self._serve(message)
            if message.method == "notifications/initialized":
                self._open_stream()
            return
        task = self._begin(message, self._serve(message))
        if message.method == "initialize" and message.version is None:
            await asyncio.wait({task})  # what comes behind it belongs to the session

    def begun(self) -> list[asyncio.Task[None]]:
        """Return the work on requests that end by themselves."""
        return [task for message, task in self._requests.values() if message.method != stdio.LISTEN]

    async def cancel(self) -> None:
        """Stop all work; what the client still waits for is left as it is."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def refuse_all(self, error: Error) -> None:
        """Answer with *error* what was not answered."""
        for message in list(self._unanswered.values()):
            await self.refuse(message, error)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do *work* until ``cancel``."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    # What streams need.

    def complain(self, text: str) -> None:
        """Say *text* to whom it concerns."""
        if text:
            self._ends.complain(text)

    async def write(self, message: Message, line: bytes) -> None:
        """Write the answer *line*, or one of them, to *message*."""
        await self.output.ready()
        # Not later: the client may use the id again as soon as it has read the line.
        for request_id in message.ids:
            self._unanswered.pop(request_id, None)
        await self.output.write(line)

    async def pass_on(self, message: Message, reply: Reply) -> None:
        """Give the client what the whole *reply* to *message* says."""
        if not self.awaits(message):
            return  # cancelled: "the server SHOULD NOT send a response" (basic/utilities/cancellation)
        answer = stdio.answer(message, reply.status, reply.body)
        self.complain(answer.complaint)
        for line in answer.lines:
            await self.write(message, line)

    async def refuse(self, message: Message, error: Error) -> None:
        """Answer *message* with *error*, unless it was answered or nobody waits."""
        if self._torn.intersection(message.ids):
            await self.output.write(stdio.torn_down(message))
        if any(request_id in self._unanswered for request_id in message.ids):
            for line in stdio.failure(message, error):
                await self.write(message, line)

    def awaits(self, message: Message) -> bool:
        """Say whether the client still waits for an answer to *message*; to what has no id it never did."""
        return not message.ids or any(request_id in self._unanswered for request_id in message.ids)

    def listening(self, message: Message) -> None:
        """Remember that the stream of the listen request *message* was open."""
        self._torn.update(message.ids)

    # From one process to the next.

    @property
    def is_busy(self) -> bool:
        """Whether a request is under way that may not be sent again, nor its answer be resumed."""
        for message, _ in self._requests.values():
            stream = self._streams.get(message)
            if not message.repeatable and (stream is None or stream.place.last_event_id is None):
                return True
        return False

    def export(self, waiting: list[bytes]) -> State:
        """Return what ``take_up`` needs in another process, after ``cancel``; *waiting* was not taken yet."""
        pending = []
        for message in dict.fromkeys(self._unanswered.values()):
            stream = self._streams.get(message)
            place = Place() if stream is None else stream.place
            pending.append(Pending(message.line, place.place, place.acknowledged, place.last_event_id))
        follows = self._following
        last_event_id = None if follows is None else follows.last_event_id
        return State(self.session.id, self.session.version, follows is not None, last_event_id, pending, waiting)

    def take_up(self, state: State) -> None:
        """Go on where another process stopped."""
        self.session = Session(state.session_id, state.version)
        if state.follows:
            self._open_stream(state.last_event_id)
        for pending in state.pending:
            message = stdio.read(pending.line)
            self._unanswered.update(dict.fromkeys(message.ids, message))
            place = Place(pending.place, pending.acknowledged, pending.last_event_id)
            if pending.acknowledged:
                self.listening(message)
            self._begin(message, self._serve(message, place))

    # The work.

    def _begin(self, message: Message, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.start(work)
        for request_id in message.ids:
            self._requests[request_id] = (message, task)
            task.add_done_callback(partial(self._forget, request_id))
        return task

    async def _serve(self, message: Message, place: Place | None = None) -> None:
        """Have *message* answered; with a *place* another process has begun it, and came so far."""
        try:
            if message.method == stdio.LISTEN and message.ids and message.version is not None:
                await self._listen(message, place or Place())
            elif message.ids:
                async with self._room:
                    await self._exchange(message, place)
            else:  # a request under way may be waiting for it
                await self._exchange(message, None)
        except AnswerLost as lost:
            advice = "" if message.repeatable else f"; {_MAYBE}"
            await self.refuse(message, Error(f"{lost}{advice}"))
        except Error as error:
            self._ends.failed(message, error)

    async def _listen(self, message: Message, place: Place) -> None:
        self._streams[message] = listening = Listening(self, message, place)
        await listening.run()
        del self._streams[message]

    async def _exchange(self, message: Message, place: Place | None) -> None:
        """Send *message* and pass on what comes, again if a stream breaks off before the answer."""
        if place is not None and await self._resume(message, place):
            return
        request = stdio.post(message, self.session, None, self.binding)
        for _ in range(_REPEATS + 1):
            with closing(await self.upstream.ask(request, repeat=message.repeatable)) as reply:
                if not reply.is_stream:
                    await self._settle(message, reply)
                    return
                self._streams[message] = stream = AnswerStream(self, message)
                if await stream.pass_on(reply):
                    del self._streams[message]
                    return
            if await stream.resume(self.session) or not self.awaits(message):
                del self._streams[message]
                return
            if not message.repeatable:
                break
        raise AnswerLost("the stream ended without an answer")

    async def _resume(self, message: Message, place: Place) -> bool:
        """Go on with what another process has begun; say whether it was answered, False if it is to be sent again."""
        if place.last_event_id is not None:
            self._streams[message] = stream = AnswerStream(self, message, place)
            if await stream.resume(self.session) or not self.awaits(message):
                del self._streams[message]
                return True
        if not message.repeatable:
            raise AnswerLost("the connection's daemon was restarted before the answer came")
        return False

    async def _settle(self, message: Message, reply: Reply) -> None:
        if message.method == "initialize" and reply.status == 200:
            self._close_stream()
            session_id = reply.headers.get(b"mcp-session-id")
            self.session = stdio.opened(reply.body, None if session_id is None else session_id.decode("latin-1"))
        await self.pass_on(message, reply)

    def _cancel(self, message: Message) -> bool:
        """Carry out the cancellation *message*; say whether that is all there is to do.

        Stateless requests are cancelled by closing their connection (2026-07-28 basic/transports/streamable-http), and
        have no answer then; those of a session by telling the server.
        """
        request, task = self._requests.get(message.cancels or b"", (None, None))
        self._unanswered.pop(message.cancels or b"", None)
        if request is not None and task is not None and request.version is not None:
            task.cancel()
            return True
        return self.session.id is None

    def _open_stream(self, last_event_id: str | None = None) -> None:
        if self.session.id is not None and self._session_stream is None:
            self._following = Following(self, self.session, last_event_id)
            self._session_stream = self.start(self._follow(self._following))

    async def _follow(self, following: Following) -> None:
        try:
            await following.run()
        except AnswerLost as lost:
            self.complain(f"the session's stream is gone: {lost}")
        except Error as error:
            self._ends.failed(None, error)
        else:
            self._following = None  # the server has no stream

    def _close_stream(self) -> None:
        if self._session_stream is not None:
            self._session_stream.cancel()
            self._session_stream = self._following = None

    def _forget(self, request_id: bytes, task: asyncio.Task[None]) -> None:
        if self._requests.get(request_id, (None, None))[1] is task:
            del self._requests[request_id]

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._ends.fault(Error(f"internal error, please report it: {type(fault).__name__}: {fault}"))


async def say_goodbye(conversation: Conversation, limit_s: float) -> None:
    """End the session, if there is one, within *limit_s*."""
    session = conversation.session
    if session.id is None:
        return
    try:
        async with asyncio.timeout(limit_s):
            request = stdio.delete(session, conversation.binding)
            (await conversation.upstream.ask(request, repeat=True)).close()
    except (Error, AnswerLost, TimeoutError):
        return
