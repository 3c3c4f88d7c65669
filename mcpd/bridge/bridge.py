"""One client on stdio, served by the daemon: each message a request of its own, as many at once as the client sends.

What ends a message is one of: the daemon's answer, an error that says why there is none, or the client's cancellation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import closing, suppress
from functools import partial
from typing import Any

from mcpd.bridge import streams
from mcpd.bridge.pipes import Input, Output
from mcpd.bridge.upstream import AnswerLost, Reply, Upstream
from mcpd.errors import Error, InvalidRequest, ParseError, Unreachable
from mcpd.protocol import stdio
from mcpd.protocol.stdio import Kind, LineReader, Message, Session

_MAX_AT_ONCE = 64
_REPEATS = 3
_FINISH_S = 10.0
_GOODBYE_S = 1.0
_FIRST_MESSAGE_S = 1.0
_MAYBE = "it may or may not have been carried out: look before you call it again"


class Bridge:
    """Pass messages between *output*'s client and *upstream*; *complain* tells whoever reads stderr."""

    def __init__(self, upstream: Upstream, output: Output, complain: Callable[[str], None]) -> None:
        self.upstream = upstream
        self.output = output
        self.session = Session()
        self._complain = complain
        self._complaints: set[str] = set()
        self._room = asyncio.Semaphore(_MAX_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests: dict[bytes, tuple[Message, asyncio.Task[None]]] = {}
        self._unanswered: dict[bytes, Message] = {}
        self._torn: set[bytes] = set()  # listen requests whose stream was open
        self._session_stream: asyncio.Task[None] | None = None
        self._spoken = asyncio.Event()  # the client has said something
        self._end: asyncio.Future[Error | None] = asyncio.get_running_loop().create_future()

    async def run(self, source: Input) -> None:
        """Serve until *source* ends or ``stop``; raises the ``Error`` after which there is no use in going on."""
        reading = self._start(self._read(source))
        self._start(self._watch_output())
        self._start(self._knock())
        error = await self._end
        if error is not None:
            self.complain(error.message)
            with suppress(TimeoutError):  # so that the client, too, gets to read it
                await asyncio.wait_for(self._spoken.wait(), _FIRST_MESSAGE_S)
                await asyncio.sleep(0)
        reading.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if error is not None:
            for message in list(self._unanswered.values()):
                await self.refuse(message, error)
        else:
            await self._say_goodbye()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.output.flush(), _GOODBYE_S)
        if error is not None:
            raise error

    def stop(self, error: Error | None = None) -> None:
        """End, because of *error* if there is one."""
        if not self._end.done():
            self._end.set_result(error)

    def complain(self, text: str) -> None:
        """Say *text* on stderr, once."""
        if text and text not in self._complaints:
            self._complaints.add(text)
            self._complain(text)

    async def write(self, message: Message, line: bytes) -> None:
        """Write the answer *line*, or one of them, to *message*."""
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

    async def _read(self, source: Input) -> None:
        reader = LineReader()
        while data := await source.read():
            for line in reader.receive_data(data):
                await self._take(line)
        for line in reader.close():
            await self._take(line)
        waiting = [task for message, task in self._requests.values() if message.method != stdio.LISTEN]
        late = waiting and (await asyncio.wait(waiting, timeout=_FINISH_S))[1]
        self.stop(Unreachable(f"the input ended, and mcpd did not answer within {_FINISH_S:g} s") if late else None)

    async def _take(self, line: bytes | None) -> None:
        try:
            if line is None:
                limit = stdio.MAX_LINE_BYTES
                raise InvalidRequest(f"the line is longer than {limit} bytes, which is the most a message may have")
            message = stdio.read(line)
        except (ParseError, InvalidRequest) as error:
            await self.output.write(stdio.refused(error))
            return
        self._unanswered.update(dict.fromkeys(message.ids, message))
        self._spoken.set()
        if message.kind is Kind.NOTIFICATION:
            # One after the other, so that what comes behind it finds it done.
            if not (message.method == stdio.CANCELLED and self._cancel(message)):
                await self._serve(message)
            if message.method == "notifications/initialized":
                self._open_stream()
            return
        task = self._start(self._serve(message))
        for request_id in message.ids:
            self._requests[request_id] = (message, task)
            task.add_done_callback(partial(self._forget, request_id))
        if message.method == "initialize" and message.version is None:
            await asyncio.wait({task})  # what comes behind it belongs to the session

    async def _serve(self, message: Message) -> None:
        try:
            if message.method == stdio.LISTEN and message.ids and message.version is not None:
                await streams.listen(self, message)
            elif message.ids:
                async with self._room:
                    await self._exchange(message)
            else:  # a request under way may be waiting for it
                await self._exchange(message)
        except AnswerLost as lost:
            advice = "" if message.repeatable else f"; {_MAYBE}"
            await self.refuse(message, Error(f"{lost}{advice}"))
        except Error as error:
            self.stop(error)

    async def _exchange(self, message: Message) -> None:
        """Send *message* and pass on what comes, again if a stream breaks off before the answer."""
        request = stdio.post(message, self.session)
        for _ in range(_REPEATS + 1):
            with closing(await self.upstream.ask(request, repeat=message.repeatable)) as reply:
                if not reply.is_stream:
                    await self._settle(message, reply)
                    return
                stream = streams.AnswerStream(self, message)
                if await stream.pass_on(reply):
                    return
            if await stream.resume(self.session) or not self.awaits(message):
                return
            if not message.repeatable:
                break
        raise AnswerLost("the stream ended without an answer")

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

    def _open_stream(self) -> None:
        if self.session.id is not None and self._session_stream is None:
            self._session_stream = self._start(self._follow(self.session))

    async def _follow(self, session: Session) -> None:
        try:
            await streams.follow(self, session)
        except AnswerLost as lost:
            self.complain(f"the session's stream is gone: {lost}")
        except Error as error:
            self.stop(error)

    def _close_stream(self) -> None:
        if self._session_stream is not None:
            self._session_stream.cancel()
            self._session_stream = None

    async def _knock(self) -> None:
        """Find out at once, before the client asks for anything, whether there is somebody to pass it on to."""
        try:
            (await self.upstream.connect()).close()
        except Error as error:
            self.stop(error)

    async def _watch_output(self) -> None:
        await self.output.broken.wait()
        self.stop()

    async def _say_goodbye(self) -> None:
        if self.session.id is not None:
            with suppress(Error, AnswerLost, TimeoutError):
                async with asyncio.timeout(_GOODBYE_S):
                    (await self.upstream.ask(stdio.delete(self.session), repeat=True)).close()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _forget(self, request_id: bytes, task: asyncio.Task[None]) -> None:
        if self._requests.get(request_id, (None, None))[1] is task:
            del self._requests[request_id]

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None:
            self.stop(Error(f"internal error, please report it: {type(fault).__name__}: {fault}"))
