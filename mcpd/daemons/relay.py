"""The terminals' front door: one request's head is read and judged, after that bytes only move both ways.

Memory is bounded by back-pressure: who does not take what was written is not read for. A relay with nothing in its
buffers can be handed over to the next process, since both ends are then only descriptors.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from email.utils import formatdate
from typing import Protocol, cast

from mcpd.access.callers import Caller
from mcpd.errors import Error, InvalidRequest
from mcpd.protocol import http
from mcpd.protocol.head import Head
from mcpd.protocol.http import HttpResponse
from mcpd.store.terminals import Viewer
from mcpd.terminals import gate
from mcpd.terminals.gate import Knock

_LINGER_S = 10.0  # what a closing end has to take the last bytes
_HTML = b"text/html; charset=utf-8"


class Door(Protocol):
    """Who judges a knock and keeps count of relays."""

    header_timeout_s: float
    max_header_bytes: int

    def identify(self, front: Front) -> Caller:
        """Return who connected; raises ``Error`` when there are too many."""

    def admit(self, front: Front, head: Head) -> Knock:
        """Return what the request wants; raises ``Error``."""

    def open(self, front: Front, knock: Knock, early: bytes) -> None:
        """Bring *front* to a ttyd or give it a page, in time."""

    def refused(self, front: Front, error: Error) -> HttpResponse:
        """Return the answer to a request that was not admitted."""

    def lost(self, front: Front) -> None:
        """*front* went before it was connected."""

    def ended(self, relay: Relay) -> None:
        """Both ends of *relay* are gone."""


class Front(asyncio.Protocol):
    """A connection to an agent's port until it is connected to ttyd."""

    def __init__(self, door: Door, agent: str) -> None:
        self._door = door
        self.agent = agent
        self.caller: Caller
        self.transport: asyncio.Transport  # from connection_made on
        self.gone = False
        self._buffer = b""
        self._deadline: asyncio.TimerHandle
        self._judged = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        prepare(transport.get_extra_info("socket"))
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._door.header_timeout_s, self._too_slow)
        try:
            self.caller = self._door.identify(self)
        except Error as error:
            self._refuse(error)

    def data_received(self, data: bytes) -> None:
        if self._judged:
            return
        self._buffer += data
        try:
            found = gate.read_head(self._buffer, self._door.max_header_bytes)
            if found is None:
                return
            head, early = found
            knock = self._door.admit(self, head)
        except Error as error:
            self._refuse(error)
            return
        self._judged = True
        self._deadline.cancel()
        self.transport.pause_reading()
        self._door.open(self, knock, early)

    def eof_received(self) -> bool:
        """Keep the connection for the answer: a client may half-close after its request."""
        return self._judged

    def connection_lost(self, _exc: Exception | None) -> None:
        self.gone = True
        self._deadline.cancel()
        self._door.lost(self)

    def abort(self) -> None:
        """Cut the connection."""
        self.transport.abort()

    def _too_slow(self) -> None:
        if self._buffer:
            self._refuse(InvalidRequest("the request's head took too long to arrive", http_status=408))
        else:
            self.transport.close()

    def _refuse(self, error: Error) -> None:
        self._judged = True
        self._deadline.cancel()
        self.answer(self._door.refused(self, error))

    def answer(self, response: HttpResponse, *, body: bool = True) -> None:
        """Send *response* and close; what the peer still sends is dropped, so that it gets to read the answer."""
        if self.gone:
            return
        sent = http.encode(response, formatdate(usegmt=True).encode(), keep_alive=False)
        self.transport.write(sent if body else sent[: len(sent) - len(response.body)])
        self.transport.resume_reading()
        self.transport.write_eof()
        asyncio.get_running_loop().call_later(_LINGER_S / 5, self.transport.abort)


class End(asyncio.Protocol):
    """One end of a relay: what it receives, the other sends."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.early = b""
        self.other: End
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._relay.begun:
            self.other.transport.write(data)
        else:
            self.early += data

    def pause_writing(self) -> None:
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self._relay.handing_over:
            self.other.transport.resume_reading()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._relay.lost(self)


class Relay:
    """A browser on one side, ttyd on the other; *viewer* is who looks, None for a page or a token."""

    def __init__(self, door: Door, agent: str, viewer: Viewer | None) -> None:
        self.agent = agent
        self.viewer = viewer
        self.handing_over = False
        self.kept = False
        self.begun = False
        self.broken = False  # ttyd went before it could begin
        self._door = door
        self.front, self.back = End(self), End(self)
        self.front.other, self.back.other = self.back, self.front
        self._open = 2

    def begin(self, front: Front, head: bytes, early: bytes) -> None:
        """Take over from *front*, and send *head* and what came behind it to ttyd, which is connected."""
        self.front.transport = front.transport
        front.transport.set_protocol(self.front)
        self.begun = True
        self.back.transport.write(head + early)
        front.transport.resume_reading()

    async def adopt(self, front: socket.socket, back: socket.socket) -> None:
        """Go on with two connections that another process handed over."""
        loop = asyncio.get_running_loop()
        for end, sock in ((self.front, front), (self.back, back)):
            sock.setblocking(False)
            await loop.connect_accepted_socket(lambda end=end: end, sock)  # type: ignore[misc]
        if self.broken:
            self._open = 0
            self.abort()
            self._door.ended(self)
            return
        self.begun = True
        for end in (self.front, self.back):
            end.other.transport.write(end.early)

    def lost(self, end: End) -> None:
        """Close the other end, once it took what was written to it."""
        if not self.begun:
            self.broken = True
            return
        self._open -= 1
        if self._open == 0:
            self._door.ended(self)
            return
        end.other.transport.close()
        asyncio.get_running_loop().call_later(_LINGER_S, end.other.transport.abort)

    def abort(self) -> None:
        """Cut both ends."""
        self.front.transport.abort()
        self.back.transport.abort()

    def pause(self) -> None:
        """Read no more from a viewer's relay, so that the buffers run empty and the relay can be handed over."""
        if self.viewer is not None:
            self.handing_over = True
            self.front.transport.pause_reading()
            self.back.transport.pause_reading()

    def hand_over(self, keep: Callable[[str, socket.socket], None]) -> bool:
        """Give both ends away by *keep*, under a name each, if nothing is buffered; say whether that was so."""
        ends = {"front": self.front.transport, "back": self.back.transport}
        if self.viewer is None or self._open < 2 or any(end.get_write_buffer_size() for end in ends.values()):
            return False
        if self.kept:
            return False
        for side, transport in ends.items():
            keep(f"{KEPT}.{self.viewer.id}.{side}", transport.get_extra_info("socket"))
        self.kept = True
        self.abort()  # closes our descriptors only; the connections live on in the others
        return True


KEPT = "relay"
"""The first part of the names under which a stopping manager leaves its relays with systemd."""


def pairs(kept: list[tuple[str, socket.socket]]) -> dict[str, tuple[socket.socket, socket.socket]]:
    """Return the relays among *kept* descriptors, (browser's end, ttyd's end) by viewer; closes what has no partner."""
    ends: dict[str, dict[str, socket.socket]] = {}
    for name, sock in kept:
        _, viewer, side = name.split(".")
        ends.setdefault(viewer, {})[side] = sock
    whole = {}
    for viewer, sides in ends.items():
        if len(sides) == 2:
            whole[viewer] = (sides["front"], sides["back"])
        else:
            for sock in sides.values():
                sock.close()
    return whole


def prepare(sock: socket.socket) -> None:
    """Send small writes at once, and notice in minutes that the other machine is gone."""
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 20)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 6)


def page(status: int, body: bytes) -> HttpResponse:
    """Return an HTML page that is not kept by any cache."""
    return HttpResponse(status, body, b"Cache-Control: no-store\r\n", _HTML)
