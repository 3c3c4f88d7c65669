"""Frames: the websockets library's ``ServerProtocol`` for what comes in, prebuilt frames for what goes out.

At the end of a message such a protocol has no state but that it is open. So a connection only borrows one while a
message is on its way, and what of a message has come can be taken to another process as the bytes it came as.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence

from websockets.datastructures import Headers
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.streams import StreamReader
from websockets.typing import Subprotocol

MCP = Subprotocol("mcp")
WINDOW_BITS = 12
_COMPRESSION = {"memLevel": 5}
_MAX_SPARE = 64
_MAX_HEADS_BYTES = 65536  # of the frames of a message in parts, and pings between them
_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
_QUIET = logging.Logger("websockets", logging.CRITICAL)


class _Reader(StreamReader):
    """Remembers what was taken from it since ``taken`` was emptied."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = bytearray()

    def read_exact(self, n: int) -> Generator[None, None, bytearray]:
        data = yield from super().read_exact(n)
        self.taken += data
        return data


class Framer(ServerProtocol):
    """An open connection's protocol, which knows what of an unfinished message has come."""

    def __init__(self, max_message_bytes: int) -> None:
        super().__init__(state=State.OPEN, max_size=max_message_bytes, logger=_QUIET)
        self._taken = _Reader()
        self.reader = self._taken
        # The library's own has begun to read from the reader that was there before.
        self.parser = self.parse()
        next(self.parser)
        self._whole = True
        self._kept_bytes = self._between_bytes = 0
        self._limit_bytes = 2 * max_message_bytes + _MAX_HEADS_BYTES

    def recv_frame(self, frame: Frame) -> None:
        """Take a whole frame."""
        super().recv_frame(frame)
        taken = self._taken.taken
        if frame.opcode in _DATA:
            self._whole = frame.fin
            self._kept_bytes = len(taken)
        else:  # a ping between the parts is answered now, and not to be once more by the next process
            self._between_bytes += len(taken) - self._kept_bytes
            del taken[self._kept_bytes :]
        if self._whole:
            taken.clear()
            self._kept_bytes = self._between_bytes = 0
        elif len(taken) + self._between_bytes > self._limit_bytes and self.state is State.OPEN:
            self.fail(CloseCode.MESSAGE_TOO_BIG, "the message comes in too many parts")

    @property
    def unfinished(self) -> bytes:
        """What has come since the last message ended."""
        return bytes(self._taken.taken + self._taken.buffer)

    @property
    def is_at_rest(self) -> bool:
        """Whether it is open and between two messages."""
        reader = self._taken
        return self._whole and self.state is State.OPEN and not (reader.taken or reader.buffer or self.events)


class Framers:
    """Framers for messages of *max_message_bytes* at most; those that are given back are used again."""

    def __init__(self, max_message_bytes: int) -> None:
        self._max_message_bytes = max_message_bytes
        self._spare: list[Framer] = []

    def borrow(self, codec: Codec) -> Framer:
        """Return one that is at rest, for a connection of *codec*."""
        framer = self._spare.pop() if self._spare else Framer(self._max_message_bytes)
        framer.extensions = codec.extensions()  # while a message is on its way they have a state
        return framer

    def give_back(self, framer: Framer) -> None:
        """Take *framer*, which is at rest."""
        if len(self._spare) < _MAX_SPARE:
            self._spare.append(framer)


class Codec:
    """How messages become frames on connections that negotiated the same: *deflate* is the size of our window, or 0.

    Nothing is remembered from one message to the next (no context takeover). So one frame serves every subscriber, and
    a connection can go from one process to another.
    """

    def __init__(self, deflate: int = 0) -> None:
        self.deflate = deflate
        self._outgoing = self.extensions()

    def extensions(self) -> list[Extension]:
        """Return the library's extensions for one connection."""
        return [PerMessageDeflate(True, True, 15, self.deflate, _COMPRESSION)] if self.deflate else []

    def text(self, payload: bytes) -> bytes:
        """Return *payload* as a frame of text."""
        return bytes(Frame(Opcode.TEXT, payload).serialize(mask=False, extensions=self._outgoing))


PLAIN = Codec()
PING = bytes(Frame(Opcode.PING, b"mcpd").serialize(mask=False))
_DEFLATE = ServerPerMessageDeflateFactory(
    server_no_context_takeover=True,
    client_no_context_takeover=True,
    server_max_window_bits=WINDOW_BITS,
    compress_settings=_COMPRESSION,
)


def close_frame(code: CloseCode, reason: str) -> bytes:
    """Return the frame that closes a connection; a reason is 123 bytes at most (RFC 6455 section 5.5.1)."""
    short = reason.encode()[:120].decode("utf-8", "ignore")
    return bytes(Frame(Opcode.CLOSE, Close(code, short).serialize()).serialize(mask=False))


def accept(path: str, headers: dict[bytes, bytes], *, compression: bool) -> tuple[Response, str, int]:
    """Return the answer to the request to open a WebSocket, the subprotocol, and the window of compression, or 0.

    An answer whose status is not 101 refuses. Of subprotocols ``mcp`` is taken, and others are left unanswered.
    """
    protocol = ServerProtocol(
        extensions=[_DEFLATE] if compression else None,
        subprotocols=[MCP],
        select_subprotocol=_select,
        logger=_QUIET,
    )
    fields = Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.items()])
    response = protocol.accept(Request(path, fields))
    bits = [e.local_max_window_bits for e in protocol.extensions if isinstance(e, PerMessageDeflate)]
    return response, protocol.subprotocol or "", bits[0] if bits else 0


def _select(_protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return MCP if MCP in offered else None
