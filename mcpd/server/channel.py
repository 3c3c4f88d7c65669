"""The way back to a client while its request takes longer than a turn.

``HttpChannel`` is the answer to one POST: one JSON body, or a stream from the moment on when there is something to say
before it. In the revisions where a stream is resumable its events have ids and are kept until the client has the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from mcpd.protocol import sse
from mcpd.protocol.http import HttpResponse, HttpStream, Sink

Reply = Callable[[HttpResponse | HttpStream], None]
MAX_KEPT = 1000


class Channel(Protocol):
    """Where the messages of one call go."""

    gone: Callable[[], None]
    """Called when the client leaves."""

    @property
    def number(self) -> int:
        """The number of the last event sent."""

    @property
    def can_ask(self) -> bool:
        """Whether anything can be sent before the response."""

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to come."""

    @property
    def was_opened(self) -> bool:
        """Whether the client may know an id to come back with."""

    @property
    def is_connected(self) -> bool:
        """Whether the client is there."""

    def send(self, message: bytes) -> None:
        """Send a request to the client."""

    def tell(self, message: bytes) -> None:
        """Send a notification, which may be dropped if the client does not keep up."""

    def finish(self, response: bytes, status: int = 200) -> bool:
        """Send the response, which is the last message; say whether it found a connection, or none was needed."""

    def break_off(self) -> None:
        """End without a response, which was cancelled."""

    def pause(self, retry_ms: int) -> None:
        """Let go of the connection; the client comes back after *retry_ms* for what is still to come."""


class HttpChannel:
    """The answer to one POST; a ``http.Waiter`` first, a ``http.Stream`` once it is one.

    *call_id* makes its events resumable; *priming* opens the stream with an event without data (2025-11-25
    basic/transports).
    """

    def __init__(
        self,
        *,
        call_id: str | None = None,
        priming: bool = False,
        takes_stream: bool = True,
        sent: int = 0,
    ) -> None:
        self._call_id = call_id
        self._priming = priming
        self._takes_stream = takes_stream
        self._reply: Reply | None = None
        self._sink: Sink | None = None
        self._events: list[tuple[int, bytes]] = []
        self._after: int | None = None
        self._early: HttpResponse | None = None
        self.number = sent
        self.gone: Callable[[], None] = lambda: None
        self.was_opened = sent > 0
        self.ended = False

    @property
    def can_ask(self) -> bool:
        return self._takes_stream

    @property
    def is_connected(self) -> bool:
        return self._reply is not None or self._sink is not None

    # As a waiter

    def awaited(self, reply: Reply) -> None:
        self._reply = reply
        if self._early is not None:
            self._answer(self._early)

    def quiet(self) -> None:
        if self._takes_stream:
            self._open()

    def closed(self) -> None:
        self._reply = self._sink = None
        self.gone()

    # As a stream

    def opened(self, sink: Sink) -> None:
        self._end()  # its client has come back on another connection
        self._sink = sink
        if self._after is None and self._priming:
            sink.send(sse.encode_event(b"", self._event_id(self.number)))
        for number, event in self._events:
            if number > (self._after or 0):
                sink.send(event)
        if self.ended:
            self._end()

    def drained(self) -> None:
        pass

    def resumed(self, after: int) -> HttpStream:
        """Return the stream that goes on behind the event number *after*."""
        self._after = after
        return HttpStream(self)

    def keep(self, messages: Mapping[int, bytes]) -> None:
        """Take up what an earlier process sent, by its number, in case the client has not got it."""
        self._events = [(number, sse.encode_event(data, self._event_id(number))) for number, data in messages.items()]

    # As a channel

    def send(self, message: bytes) -> None:
        self._emit(message)

    def tell(self, message: bytes) -> None:
        if self._takes_stream and not (self._sink is not None and self._sink.blocked):
            self._emit(message)

    def finish(self, response: bytes, status: int = 200) -> bool:
        if self.ended:
            return True
        self.ended = True
        if self._reply is not None:
            self._answer(HttpResponse(status, response))
            return True
        if self._sink is None and not self.was_opened:
            self._early = HttpResponse(status, response)
            return False
        self._emit(response)
        found = self._sink is not None
        self._end()
        return found

    def pause(self, retry_ms: int) -> None:
        if not self._priming:
            return
        self._open()
        if self._sink is not None:
            self._sink.send(sse.encode_retry(retry_ms))
            self._end()

    def break_off(self) -> None:
        if self.ended:
            return
        self.ended = True
        if self._reply is not None:
            self._answer(HttpResponse(202))
        elif self._sink is None and not self.was_opened:
            self._early = HttpResponse(202)
        self._end()

    def _answer(self, response: HttpResponse) -> None:
        reply, self._reply = self._reply, None
        assert reply is not None
        reply(response)

    def _open(self) -> None:
        if self._reply is None:
            return
        reply, self._reply = self._reply, None
        self.was_opened = True
        reply(HttpStream(self))

    def _emit(self, message: bytes) -> None:
        self._open()
        self.number += 1
        event = sse.encode_event(message, self._event_id(self.number))
        if self._call_id is not None and len(self._events) < MAX_KEPT:
            self._events.append((self.number, event))
        if self._sink is not None:
            self._sink.send(event)

    def _end(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.end()

    def _event_id(self, number: int) -> str | None:
        return None if self._call_id is None else f"{self._call_id}-{number}"
