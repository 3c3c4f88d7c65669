"""The streams that stay open: a ``subscriptions/listen`` of 2026-07-28, and the GET stream of a session.

Both outlive the daemon: who listens has one pipe or WebSocket for everything, and must not notice that something behind
it was restarted.
"""

from __future__ import annotations

import asyncio
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Protocol

from mcpd.bridge.upstream import AnswerLost, Reply, Upstream
from mcpd.protocol import stdio
from mcpd.protocol.stdio import Binding, Message, Session

_LONGEST_PAUSE_S = 2.0
_STEADY_S = 5.0  # a stream that lived this long is opened again without delay


class Sink(Protocol):
    """Where messages to the client go."""

    async def ready(self) -> None:
        """Return when the client takes a message."""

    async def write(self, line: bytes) -> None:
        """Write a message."""


class Client(Protocol):
    """What a stream needs of the bridge."""

    upstream: Upstream
    output: Sink
    session: Session
    binding: Binding

    def complain(self, text: str) -> None:
        """Say *text* on stderr, once."""

    def awaits(self, message: Message) -> bool:
        """Say whether the client still waits for an answer to *message*."""

    def listening(self, message: Message) -> None:
        """Remember that the stream of *message* was open."""

    async def write(self, message: Message, line: bytes) -> None:
        """Write an answer to *message*."""

    async def pass_on(self, message: Message, reply: Reply) -> None:
        """Give the client what *reply* says."""


class _Pauses:
    """How long to wait before a stream is opened again: not at all, unless it keeps ending."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._opened_s = self._loop.time()
        self._pause_s = 0.0

    async def __call__(self, at_least_s: float = 0.0) -> None:
        steady = self._loop.time() - self._opened_s >= _STEADY_S
        pause_s = 0.0 if steady else self._pause_s
        await asyncio.sleep(max(pause_s, at_least_s))
        self._pause_s = min(max(pause_s * 2, 0.05), _LONGEST_PAUSE_S)
        self._opened_s = self._loop.time()


@dataclass(slots=True)
class Place:
    """How far a stream has come: a listen stream's ``place``, and whether it was acknowledged; or an answer's."""

    place: str | None = None
    acknowledged: bool = False
    last_event_id: str | None = None


class Listening:
    """The events of a listen request, from one stream after the other until one is refused.

    A daemon that goes down ends its streams with their final result, one that crashes without. The client hears of
    neither, nor that a later stream was acknowledged; only when no later one can be had, it is told.
    """

    def __init__(self, client: Client, message: Message, place: Place) -> None:
        self._client = client
        self._message = message
        self.place = place

    async def run(self) -> None:
        """Pass on the events."""
        client, message, place = self._client, self._message, self.place
        pause = _Pauses()
        farewell = b""
        while True:
            request = stdio.post(message, client.session, place.place, client.binding)
            with closing(await client.upstream.ask(request, repeat=True)) as reply:
                if not reply.is_stream:
                    await _give_up(client, message, reply, farewell, told=place.acknowledged)
                    return
                try:
                    async for event in reply.events():
                        if stdio.is_answer(event.data) and place.acknowledged:
                            farewell = stdio.one_line(event.data)
                        elif stdio.is_answer(event.data):
                            await client.write(message, stdio.one_line(event.data))
                            return
                        elif event.data and not (place.acknowledged and stdio.is_acknowledgement(event.data)):
                            await client.output.write(stdio.one_line(event.data))
                            place.acknowledged = True
                            client.listening(message)
                        place.place = place.place if event.place is None else event.place
                except AnswerLost:
                    pass
            await pause()


class AnswerStream:
    """The stream that ends with the answer to the request *message*; taken up again where its events have ids."""

    def __init__(self, client: Client, message: Message, place: Place | None = None) -> None:
        self._client = client
        self._message = message
        self.place = place or Place()
        self._retry_s = 0.0

    async def pass_on(self, reply: Reply) -> bool:
        """Pass on the events of *reply*; say whether the answer was among them."""
        with suppress(AnswerLost):
            async for event in reply.events():
                if event.retry_ms is not None:
                    self._retry_s = event.retry_ms / 1000
                if stdio.is_answer(event.data):
                    await self._client.write(self._message, stdio.one_line(event.data))
                    return True
                if event.data:
                    await self._client.output.write(stdio.one_line(event.data))
                if event.id is not None:
                    self.place.last_event_id = event.id
        return False

    async def resume(self, session: Session) -> bool:
        """Go on behind the last event until the answer has come; say whether it has, and False where that cannot be."""
        pause = _Pauses()
        client = self._client
        while self.place.last_event_id is not None and client.awaits(self._message):
            await pause(self._retry_s)
            request = stdio.get(session, self.place.last_event_id, client.binding)
            with closing(await client.upstream.ask(request, repeat=True)) as reply:
                if not reply.is_stream:
                    return False
                if await self.pass_on(reply):
                    return True
        return False


async def _give_up(client: Client, message: Message, reply: Reply, farewell: bytes, *, told: bool) -> None:
    if told:
        # 2026-07-28 basic/transports/stdio: this is how a server tears down a listen stream.
        await client.output.write(stdio.torn_down(message))
    if farewell:
        await client.write(message, farewell)
    else:
        await client.pass_on(message, reply)


class Following:
    """The events of *session*'s stream, from behind *last_event_id* on, resumed when one breaks off."""

    def __init__(self, client: Client, session: Session, last_event_id: str | None) -> None:
        self._client = client
        self._session = session
        self.last_event_id = last_event_id

    async def run(self) -> None:
        """Pass on the events; return if the server has no stream."""
        client = self._client
        pause = _Pauses()
        while True:
            retry_s = 0.0
            request = stdio.get(self._session, self.last_event_id, client.binding)
            with closing(await client.upstream.ask(request, repeat=True)) as reply:
                if not reply.is_stream:
                    if reply.status != 405:
                        client.complain(f"the session has no stream: HTTP {reply.status}")
                    return
                try:
                    async for event in reply.events():
                        if event.data:
                            await client.output.write(stdio.one_line(event.data))
                        passed = event.place if event.id is None else event.id
                        self.last_event_id = self.last_event_id if passed is None else passed
                        retry_s = retry_s if event.retry_ms is None else event.retry_ms / 1000
                except AnswerLost:
                    pass
            # What is advised spares the server; but without a place to resume from, to wait is to miss something.
            await pause(retry_s if self.last_event_id is not None else 0.0)
