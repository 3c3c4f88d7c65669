"""A batch of messages (2025-03-26 basic): answered together, when the last of them is."""

from __future__ import annotations

from collections.abc import Callable

from mcpd.protocol import jsonrpc
from mcpd.protocol.http import HttpLater, HttpResponse
from mcpd.server.channel import HttpChannel


class Batch:
    """What comes of the messages of a batch, in its order, on the way to *channel*."""

    def __init__(self, channel: HttpChannel) -> None:
        self._channel = channel
        self._places: list[bytes | Part | None] = []
        self._waits = False
        channel.gone = self._left

    def part(self) -> Part:
        """Return the channel for the next message, if it is one that takes longer."""
        return Part(self, self._channel, len(self._places))

    def add(self, came: bytes | Part | None) -> None:
        """Take what came of the next message: its response, none, or the channel by which that comes later."""
        self._places.append(came)

    def settle(self, place: int, response: bytes | None) -> None:
        """Take the response that came later to the message at *place*, None if there will be none."""
        self._places[place] = response
        if self._waits and not self._parts():
            if any(self._places):
                self._channel.finish(self._joined())
            else:
                self._channel.break_off()

    def reply(self) -> HttpResponse | HttpLater:
        """Return the answer to the batch, to which nothing is added any more."""
        self._waits = bool(self._parts())
        if self._waits:
            return HttpLater(self._channel)
        return HttpResponse(200, self._joined()) if any(self._places) else HttpResponse(202)

    def _parts(self) -> list[Part]:
        return [place for place in self._places if isinstance(place, Part)]

    def _left(self) -> None:
        for part in self._parts():
            part.gone()

    def _joined(self) -> bytes:
        return jsonrpc.join_batch([response for response in self._places if isinstance(response, bytes)])


class Part:
    """The channel of one call in a batch."""

    was_opened = False

    def __init__(self, batch: Batch, channel: HttpChannel, place: int) -> None:
        self._batch = batch
        self._channel = channel
        self._place = place
        self.send = channel.send
        self.tell = channel.tell
        self.ended = False
        self.gone: Callable[[], None] = lambda: None

    @property
    def number(self) -> int:
        return self._channel.number

    @property
    def can_ask(self) -> bool:
        return self._channel.can_ask

    @property
    def is_connected(self) -> bool:
        return self._channel.is_connected

    def finish(self, response: bytes, status: int = 200) -> bool:  # noqa: ARG002 - a batch has one status, 200
        self._settle(response)
        return True

    def break_off(self) -> None:
        self._settle(None)

    def pause(self, retry_ms: int) -> None:
        """Stay: the others of the batch may still have something to say."""

    def _settle(self, response: bytes | None) -> None:
        if not self.ended:
            self.ended = True
            self._batch.settle(self._place, response)
