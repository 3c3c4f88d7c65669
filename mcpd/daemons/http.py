"""HTTP/1.1 over sockets: an ``asyncio.Protocol`` around ``protocol.http``, with limits, deadlines and a drain.

A connection has one request under way; what it sends meanwhile waits in its buffer, and when that is full, in the
kernel. Requests that are complete in one turn of the event loop are answered together (``Server._flush``): one commit
for all of them, then the answers. Deadlines are looked at once a second, so a request costs no timer.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from email.utils import formatdate
from typing import cast

import msgspec

from mcpd.access.callers import UNKNOWN, Caller, Callers
from mcpd.config import Server as Settings
from mcpd.errors import Error
from mcpd.protocol import http, sse
from mcpd.protocol.head import HeadMemory
from mcpd.protocol.http import (
    HttpLater,
    HttpRequest,
    HttpResponse,
    HttpStream,
    Limits,
    Phase,
    RequestReader,
    Stream,
    Waiter,
)
from mcpd.server import replies

AnswerTurn = Callable[[Sequence["Connection"]], None]
KeepSocket = Callable[[socket.socket], None]

_MAX_AHEAD_BYTES = 65536  # what a pipelining client may send ahead before we stop reading
_LINGER_S = 2.0  # how long a refused peer may go on sending
_QUIET_S = 15.0  # after which a stream shows that it lives
_DRAIN_STEP_S = 0.005
_MAX_TURN = 256  # requests answered in one turn, so that none waits long for the commit
BACKLOG = 4096


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.Transport  # from connection_made on
        self._reader = RequestReader(server.limits, server.heads)
        self._phase = Phase.IDLE
        self._busy = False
        self._eof = False
        self._blocked = False  # the peer does not take what we write
        self._paused = False  # we do not read
        self._closing = False
        self._keep_alive = True
        self._stream: Stream | None = None
        self._waiter: Waiter | None = None
        self._later_headers = b""
        self._chunked = True
        self._quiet_since_s = 0.0
        self.caller: Caller = UNKNOWN
        self.request: HttpRequest | None = None
        self.deadline_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports do not derive from it
        server = self._server
        server.connections.add(self)
        sock = transport.get_extra_info("socket")
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(server.connections) > server.settings.max_connections:
            self._refuse(Error("too many connections; try again later", http_status=503))
            return
        self.caller = server.callers.identify(sock)
        self._wait_for(Phase.IDLE)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._closing = True
        self._server.forget(self)
        if self._stream is not None:
            self._stream.closed()
            self._stream = None
        if self._waiter is not None:
            self._waiter.closed()
            self._waiter = None

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._reader.receive_data(data)
        if not (self._busy or self._blocked):
            self._advance()
        self._regulate()

    def eof_received(self) -> bool:
        """Keep the connection open for the answers under way; a client may half-close after its last request.

        But one that listens or waits for long is taken to have gone: nobody else would notice for as long.
        """
        self._eof = True
        if self._stream is not None or self._waiter is not None:
            return False
        return self._busy or self._blocked

    def pause_writing(self) -> None:
        self._blocked = True
        self.deadline_s = self._server.now_s() + self._server.settings.body_timeout_s
        self._regulate()

    def resume_writing(self) -> None:
        self._blocked = False
        if self._stream is not None:
            self._stream.drained()
        elif not (self._busy or self._closing):
            self._wait_for(Phase.IDLE)
            self._advance()
        self._regulate()

    def _regulate(self) -> None:
        """Read no more than there is room for: not behind a long queue, and nothing while the peer takes no answers."""
        pause = self._blocked or (self._busy and self._reader.buffered_bytes > _MAX_AHEAD_BYTES)
        if pause is self._paused or self._closing:
            return
        self._paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _advance(self) -> None:
        """Hand the next whole request to the server, or set the deadline for what is still to come."""
        try:
            self.request = self._reader.next_request()
        except Error as error:
            self._refuse(error)
            return
        if self.request is not None:
            self._busy = True
            self._server.submit(self)
            return
        if self._reader.wants_continue():
            self._write(http.CONTINUE)
        if self._reader.phase is not self._phase:
            self._wait_for(self._reader.phase)

    def _wait_for(self, phase: Phase) -> None:
        self._phase = phase
        self.deadline_s = self._server.now_s() + self._server.time_for(phase)

    def respond(self, response: HttpResponse | HttpStream | HttpLater) -> None:
        """Send the answer to the request under way, begin the stream that is the answer, or wait for it."""
        request = self.request
        assert request is not None
        if self._closing:
            if isinstance(response, HttpStream):
                response.stream.closed()
            elif isinstance(response, HttpLater):
                response.waiter.closed()
            return
        if isinstance(response, HttpLater):
            self._waiter, self._later_headers = response.waiter, response.headers
            self._quiet_since_s = self._server.now_s()
            response.waiter.awaited(self._respond_later)
            return
        self._keep_alive = request.keep_alive and not self._is_last() and not self._server.closes
        if isinstance(response, HttpStream):
            self._begin(response, request)
            return
        encoded = http.encode(response, self._server.date(), keep_alive=self._keep_alive)
        if request.method == "HEAD":
            encoded = encoded[: len(encoded) - len(response.body)]
        self._write(encoded)
        self._finish()

    def _respond_later(self, response: HttpResponse | HttpStream) -> None:
        self._waiter = None
        self.respond(msgspec.structs.replace(response, headers=self._later_headers + response.headers))

    def _is_last(self) -> bool:
        return self._eof and not self._reader.buffered_bytes

    def _begin(self, response: HttpStream, request: HttpRequest) -> None:
        self._chunked = request.version == "1.1"
        self._keep_alive = self._keep_alive and self._chunked
        head = http.encode_stream_head(
            response, self._server.date(), chunked=self._chunked, keep_alive=self._keep_alive
        )
        self._write(head)
        if request.method == "HEAD":  # the stream is not opened, and does nothing before it is
            self._finish()
            return
        self._stream = response.stream
        self._quiet_since_s = self._server.now_s()
        response.stream.opened(self)

    @property
    def blocked(self) -> bool:
        """Whether the client takes nothing for now."""
        return self._blocked

    def send(self, data: bytes) -> None:
        """Send *data* as the next part of the stream."""
        if self._closing:
            return
        self._quiet_since_s = self._server.now_s()
        self._write(http.encode_chunk(data) if self._chunked else data)

    def end(self) -> None:
        """End the stream and go on with what came behind its request."""
        self._stream = None
        if self._closing:
            return
        if self._chunked:
            self._write(http.encode_chunk(b""))
        self._finish()

    def _finish(self) -> None:
        """Go on behind an answer that was written whole."""
        self.request, self._busy = None, False
        if not self._keep_alive or self._server.closes:
            self.close()
            return
        if not self._blocked:  # else its deadline stands
            self._wait_for(Phase.IDLE)
            if self._reader.buffered_bytes:
                self._advance()
        self._regulate()

    def _write(self, data: bytes) -> None:
        self._transport.write(data)

    def _refuse(self, error: Error) -> None:
        """Answer a request that never became one, and close: where the next request would begin is unknown.

        What the peer still sends is read and dropped for a while: to close over unread bytes would make the kernel
        reset the connection, and the peer would lose the answer (RFC 9112 section 9.6).
        """
        self._server.refused(self.caller, error)
        response = HttpResponse(error.http_status, replies.rest_error(error))
        self._write(http.encode(response, self._server.date(), keep_alive=False))
        self._closing = True
        self.deadline_s = self._server.now_s() + _LINGER_S
        self._transport.write_eof()

    def close(self) -> None:
        """Close once what was written is sent, for which the peer has a limited time."""
        self._closing = True
        self.deadline_s = self._server.now_s() + self._server.settings.body_timeout_s
        self._transport.close()

    def check(self, now_s: float) -> None:
        """Act on a deadline that has passed: 408 for a request that does not end, else just close."""
        if self._stream is not None:
            self._check_stream(now_s)
            return
        if self._waiter is not None and now_s - self._quiet_since_s >= _QUIET_S:
            self._waiter.quiet()
        if self._busy or now_s < self.deadline_s:
            return
        phase = self._reader.phase
        if self._closing:
            self._transport.abort()
        elif phase is Phase.IDLE or self._blocked:
            self.close()
        else:
            self._refuse(Error(f"the request's {phase.value} took too long to arrive", http_status=408))

    def _check_stream(self, now_s: float) -> None:
        if self._blocked and now_s > self.deadline_s:
            self._transport.abort()
        elif not self._blocked and now_s - self._quiet_since_s >= _QUIET_S:
            self.send(sse.KEEP_ALIVE)

    def hand_over(self, keep: KeepSocket) -> bool:
        """Give the open connection away by *keep* if nothing is under way on it; say whether that was so.

        Under way are a request, a part of one, or an answer still to be sent. What arrives from now on waits in the
        kernel for whoever takes the connection up.
        """
        started = self._busy or self._reader.phase is not Phase.IDLE or self._transport.get_write_buffer_size() > 0
        if started or self._closing or self._eof:
            return False
        self._closing = True
        self._transport.pause_reading()
        keep(self._transport.get_extra_info("socket"))
        self._transport.abort()  # closes our descriptor only; the connection lives on in the other one
        return True


class Server:
    """Accept connections on sockets and have their requests answered, a turn at a time."""

    def __init__(
        self,
        settings: Settings,
        callers: Callers,
        answer_turn: AnswerTurn,
        refused: Callable[[Caller, Error], None],
    ) -> None:
        self.settings = settings
        self.callers = callers
        self.refused = refused
        self.limits = Limits(settings.max_header_bytes, settings.max_body_bytes)
        self.heads = HeadMemory()
        self.connections: set[Connection] = set()
        self.closes = False  # after each answer, since we stop and nobody takes the connections over
        self._answer_turn = answer_turn
        self._loop = asyncio.get_running_loop()
        self.now_s = self._loop.time
        self._ready: list[Connection] = []
        self._listeners: list[asyncio.Server] = []
        self._date = (0, b"")
        self._times_s = {
            Phase.IDLE: settings.idle_timeout_s,
            Phase.HEAD: settings.header_timeout_s,
            Phase.BODY: settings.body_timeout_s,
        }
        self._ticker = self._loop.call_later(1.0, self._tick)

    async def listen(self, sock: socket.socket) -> None:
        """Accept connections on the listening (or merely bound) *sock*."""
        sock.setblocking(False)
        self._listeners.append(await self._loop.create_server(lambda: Connection(self), sock=sock, backlog=BACKLOG))

    def time_for(self, phase: Phase) -> float:
        """Return how many seconds a connection may stay in *phase*."""
        return self._times_s[phase]

    def date(self) -> bytes:
        """Return the value of the Date header, made once a second."""
        second = int(time.time())
        if self._date[0] != second:
            self._date = (second, formatdate(second, usegmt=True).encode("ascii"))
        return self._date[1]

    def submit(self, connection: Connection) -> None:
        """Queue *connection*'s request for this turn's answers."""
        if not self._ready:
            self._loop.call_soon(self._flush)
        self._ready.append(connection)

    def wake(self) -> None:
        """Have a turn even if no request comes."""
        if not self._ready:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        turn, self._ready = self._ready[:_MAX_TURN], self._ready[_MAX_TURN:]
        if self._ready:
            self._loop.call_soon(self._flush)
        self._answer_turn(turn)

    def forget(self, connection: Connection) -> None:
        """Drop a connection that is gone."""
        self.connections.discard(connection)

    def _tick(self) -> None:
        self._ticker = self._loop.call_later(1.0, self._tick)
        now_s = self.now_s()
        for connection in list(self.connections):
            connection.check(now_s)

    async def adopt(self, sock: socket.socket) -> None:
        """Go on with a connection that an earlier process handed over."""
        sock.setblocking(False)
        await self._loop.connect_accepted_socket(lambda: Connection(self), sock)

    async def drain(self, keep: KeepSocket | None) -> None:
        """Stop accepting, finish what is under way, and hand the idle connections over by *keep*.

        Without *keep* they are answered once more, told to close, and closed at the limit. The listening sockets stay
        open in the service manager either way, so that new clients wait for the next start.
        """
        for listener in self._listeners:
            listener.close()
        self.closes = keep is None
        limit_s = self.now_s() + self.settings.drain_timeout_s
        while self.connections and self.now_s() < limit_s:
            if keep is not None:
                for connection in list(self.connections):
                    connection.hand_over(keep)
            await asyncio.sleep(_DRAIN_STEP_S)
        for connection in list(self.connections):
            connection.close()
        await asyncio.sleep(0)
        self._ticker.cancel()
