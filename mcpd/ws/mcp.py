"""MCP over a WebSocket: each text frame a message, and a conversation with mcpd-rpc as mcpd-stdio has it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import ClassVar

from websockets.frames import CloseCode

from mcpd import sd
from mcpd.bridge.conversation import Conversation, State, say_goodbye
from mcpd.errors import Error
from mcpd.protocol import stdio
from mcpd.protocol.stdio import Message
from mcpd.ws.forward import binding
from mcpd.ws.room import Peer, Room

_MAX_WAITING = 64
_GOODBYE_S = 2.0
_log = logging.getLogger(sd.LOGGER_NAME)


class Mcp:
    """One client; it is what its conversation writes to, and who is told what else there is to say."""

    subprotocol: ClassVar[str] = "mcp"
    __slots__ = ("_closed", "_conversation", "_current", "_inbox", "_peer", "_room", "_taken", "_worker")

    def __init__(self, peer: Peer, room: Room) -> None:
        self._peer = peer
        self._room = room
        self._conversation = Conversation(room.upstream, self, self, binding(peer.caller))
        self._inbox: deque[bytes] = deque()
        self._current = b""  # the message that is being taken
        self._worker: asyncio.Task[None] | None = None
        self._taken: asyncio.Event | None = None  # set when the client takes data again
        self._closed = False

    def take_up(self, state: State) -> None:
        """Go on where another process stopped."""
        self._conversation.take_up(state)
        for line in state.waiting:
            self.receive(line)

    # What the connection tells.

    def receive(self, data: bytes) -> None:
        """Take one message; they are begun in order."""
        self._inbox.append(data)
        if self._worker is None:
            self._worker = self._conversation.start(self._work())
        if len(self._inbox) >= _MAX_WAITING:
            self._peer.hold(held=True)

    def drained(self) -> None:
        """Go on writing."""
        if self._taken is not None:
            self._taken.set()
            self._taken = None

    def stuck(self) -> None:
        """Write nothing until ``drained``."""

    def beat(self, _heartbeat: bytes) -> bytes:
        """Return nothing: MCP has no heartbeat of the server's."""
        return b""

    def closed(self) -> None:
        """End what is under way, and the session."""
        self._closed = True
        self.drained()
        self._room.start(asyncio.create_task(self._end()))

    def is_busy(self) -> bool:
        """Say whether something is under way that another process could not go on with."""
        return self._conversation.is_busy

    async def rest(self) -> None:
        """Stop; what is under way is taken up by another process."""
        await self._conversation.cancel()

    def export(self) -> State:
        """Return what ``take_up`` needs, after ``rest``."""
        begun = [self._current] if self._current and not stdio.read(self._current).ids else []
        return self._conversation.export([*begun, *self._inbox])

    async def _work(self) -> None:
        while self._inbox:
            self._current = self._inbox.popleft()
            await self._conversation.take(self._current)
            self._current = b""
            if len(self._inbox) == _MAX_WAITING // 2:
                self._peer.hold(held=False)
        self._worker = None

    async def _end(self) -> None:
        await self._conversation.cancel()
        await say_goodbye(self._conversation, _GOODBYE_S)

    # What the conversation tells.

    async def ready(self) -> None:
        """Return when the client takes a message."""
        while self._peer.blocked and not self._closed:
            self._taken = self._taken or asyncio.Event()
            await self._taken.wait()

    async def write(self, line: bytes) -> None:
        """Send a message once the client takes it; nothing of it if cancelled before."""
        await self.ready()
        self._peer.write(self._peer.codec.text(line))

    def complain(self, text: str) -> None:
        """Note what the client is not told."""
        _log.debug("%s: %s", self._peer.caller.name, text)

    def failed(self, message: Message | None, error: Error) -> None:
        """Tell the client; without its session's stream it had better come back later."""
        if message is not None:
            self._conversation.start(self._conversation.refuse(message, error))
        else:
            self._peer.close(CloseCode.TRY_AGAIN_LATER, error.message)

    def fault(self, error: Error) -> None:
        """End the connection."""
        _log.error("%s", error.message)
        self._peer.close(CloseCode.INTERNAL_ERROR, "internal error")
