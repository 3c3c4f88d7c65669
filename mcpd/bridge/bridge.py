"""One client on stdio: a conversation whose messages are the lines of a pipe, until that or the daemon is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from mcpd.bridge.conversation import Conversation, say_goodbye
from mcpd.bridge.pipes import Input, Output
from mcpd.bridge.upstream import Upstream
from mcpd.errors import Error, Unreachable
from mcpd.protocol.stdio import LineReader, Message

_FINISH_S = 10.0
_GOODBYE_S = 1.0
_FIRST_MESSAGE_S = 1.0


class Bridge:
    """Pass messages between *output*'s client and *upstream*; *complain* tells whoever reads stderr."""

    def __init__(self, upstream: Upstream, output: Output, complain: Callable[[str], None]) -> None:
        self._upstream = upstream
        self._output = output
        self._conversation = Conversation(upstream, output, self)
        self._complain = complain
        self._complaints: set[str] = set()
        self._spoken = asyncio.Event()  # the client has said something
        self._end: asyncio.Future[Error | None] = asyncio.get_running_loop().create_future()

    async def run(self, source: Input) -> None:
        """Serve until *source* ends or ``stop``; raises the ``Error`` after which there is no use in going on."""
        conversation = self._conversation
        reading = conversation.start(self._read(source))
        conversation.start(self._watch_output())
        conversation.start(self._knock())
        error = await self._end
        if error is not None:
            self.complain(error.message)
            with suppress(TimeoutError):  # so that the client, too, gets to read it
                await asyncio.wait_for(self._spoken.wait(), _FIRST_MESSAGE_S)
                await asyncio.sleep(0)
        reading.cancel()
        await conversation.cancel()
        if error is not None:
            await conversation.refuse_all(error)
        else:
            await say_goodbye(conversation, _GOODBYE_S)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._output.flush(), _GOODBYE_S)
        if error is not None:
            raise error

    def stop(self, error: Error | None = None) -> None:
        """End, because of *error* if there is one."""
        if not self._end.done():
            self._end.set_result(error)

    # What the conversation tells.

    def complain(self, text: str) -> None:
        """Say *text* on stderr, once."""
        if text not in self._complaints:
            self._complaints.add(text)
            self._complain(text)

    def failed(self, _message: Message | None, error: Error) -> None:
        """End: nothing else that the client asks for could be answered either."""
        self.stop(error)

    def fault(self, error: Error) -> None:
        """End."""
        self.stop(error)

    # What the pipes tell.

    async def _read(self, source: Input) -> None:
        reader = LineReader()
        while data := await source.read():
            for line in reader.receive_data(data):
                await self._take(line)
        for line in reader.close():
            await self._take(line)
        waiting = self._conversation.begun()
        late = waiting and (await asyncio.wait(waiting, timeout=_FINISH_S))[1]
        self.stop(Unreachable(f"the input ended, and mcpd did not answer within {_FINISH_S:g} s") if late else None)

    async def _take(self, line: bytes | None) -> None:
        self._spoken.set()
        await self._conversation.take(line)

    async def _knock(self) -> None:
        """Find out at once, before the client asks for anything, whether there is somebody to pass it on to."""
        try:
            (await self._upstream.connect()).close()
        except Error as error:
            self.stop(error)

    async def _watch_output(self) -> None:
        await self._output.broken.wait()
        self.stop()
