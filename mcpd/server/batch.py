"""A batch of messages (2025-03-26 basic): answered together, when the last of them is."""

from __future__ import annotations

import secrets

from mcpd.protocol import jsonrpc
from mcpd.protocol.http import HttpLater, HttpResponse
from mcpd.server.channel import Channel, HttpChannel


class Batch:
    """The responses to a batch, in its order, on their way to *channel*."""

    def __init__(self, channel: HttpChannel) -> None:
        self._channel = channel
        self._responses: list[bytes | None] = []
        self._open = 0
        self._opened = False

    def open(self) -> tuple[str, Channel]:
        """Return the id and the channel of a call whose response comes later."""
        self._open += 1
        self._opened = True
        return secrets.token_hex(12), _Part(self, self._channel, len(self._responses))

    def take(self, response: bytes | None) -> None:
        """Take the response to the next message, None if it has none or not yet."""
        self._responses.append(response)

    def finish(self, place: int, response: bytes) -> None:
        """Take the response that came later to the message at *place*."""
        self._responses[place] = response
        self._open -= 1
        if not self._open:
            self._channel.finish(self._joined())

    def reply(self) -> HttpResponse | HttpLater:
        """Return the answer to the batch."""
        if self._opened:
            return HttpLater(self._channel)
        return HttpResponse(200, self._joined()) if any(self._responses) else HttpResponse(202)

    def _joined(self) -> bytes:
        return jsonrpc.join_batch([response for response in self._responses if response])


class _Part:
    """The channel of one call in a batch."""

    def __init__(self, batch: Batch, channel: HttpChannel, place: int) -> None:
        self._batch = batch
        self._channel = channel
        self._place = place
        self.send = channel.send
        self.tell = channel.tell

    @property
    def number(self) -> int:
        return self._channel.number

    @property
    def can_ask(self) -> bool:
        return self._channel.can_ask

    def finish(self, response: bytes, status: int = 200) -> bool:  # noqa: ARG002 - a batch has one status, 200
        self._batch.finish(self._place, response)
        return True

    def pause(self, retry_ms: int) -> None:
        """Stay: the others of the batch may still have something to say."""
