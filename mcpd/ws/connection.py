"""WebSockets over sockets: an ``asyncio.Protocol`` that opens one, moves its frames, and goes to the next process.

An open connection that has nothing under way is no more than its transport, its caller and its dialect's place: the
library's protocol is borrowed for the time of a message (``ws.wire``). There is no timer per connection: once a second
those are looked at whose turn it is.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from email.utils import formatdate
from typing import cast

import msgspec
import orjson
from websockets.frames import CloseCode, Frame, Opcode

from mcpd.access import tokens
from mcpd.access.callers import UNKNOWN, Caller
from mcpd.errors import Error, InsufficientScope, InvalidRequest
from mcpd.protocol import http
from mcpd.protocol.http import HttpRequest, HttpResponse, RequestReader
from mcpd.ws import wire
from mcpd.ws.handover import Record
from mcpd.ws.registry import Registry
from mcpd.ws.room import Session
from mcpd.ws.wire import Framer

_HIGH_WATER_BYTES = 65536
_MAX_REFUSED = 256  # connections too many that may wait to be told so
_LINGER_S = 2.0  # how long a peer may take to close its end
_ADVICE = {
    401: b'WWW-Authenticate: Bearer realm="mcpd"\r\n',
    405: b"Allow: GET\r\n",
    426: b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
}
"""Status of a refusal → the headers that say what to do instead."""


class Connection(asyncio.Protocol):
    """One client's connection."""

    __slots__ = (
        "_closing", "_fragments", "_framer", "_held", "_reader", "_record", "_registry", "_tail", "_transport",
        "blocked", "caller", "codec", "heard_s", "session",
    )  # fmt: skip

    def __init__(self, registry: Registry, record: Record | None = None) -> None:
        self._registry = registry
        self._transport: asyncio.Transport  # from connection_made on
        self._record = record
        self._reader: RequestReader | None = None
        self._framer: Framer | None = None
        self._fragments: bytearray | None = None
        self._tail: bytes | list[bytes] = b""  # what was written last, until it is known to be sent
        self._closing = False
        self._held = False
        self.blocked = False
        self.caller: Caller = UNKNOWN
        self.codec = wire.PLAIN
        self.session: Session | None = None
        self.heard_s = registry.now_s

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports do not derive from it
        self._transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)
        registry = self._registry
        registry.connections.add(self)
        sock = transport.get_extra_info("socket")
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        record, self._record = self._record, None
        if record is not None and record.subprotocol is not None:
            self._take_up(record, record.subprotocol)
            return
        self._reader = RequestReader(registry.limits, registry.heads)
        registry.watch(self, registry.settings.handshake_timeout_s)
        if len(registry.connections) > registry.settings.max_connections + _MAX_REFUSED:
            self._refuse(_full())  # else once the request is there: some clients read no answer before that
            return
        self.caller = registry.callers.identify(sock) if record is None else record.caller
        if record is not None and record.unread:
            self.data_received(record.unread)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._closing = True
        self._registry.forget(self)
        if self.session is not None:
            self.session.closed()
            self.session = None

    def data_received(self, data: bytes) -> None:
        self.heard_s = self._registry.now_s
        if self._reader is None:
            self._receive(data)
        elif not self._closing:
            self._reader.receive_data(data)
            self._open(self._reader)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self.blocked = True
        self._regulate()
        self._registry.watch(self, self._registry.settings.slow_timeout_s)
        if self.session is not None:
            self.session.stuck()

    def resume_writing(self) -> None:
        self.blocked = False
        self.heard_s = self._registry.now_s
        if self._closing:
            return
        self._registry.unwatch(self)
        self._regulate()
        if self.session is not None:
            self.session.drained()

    def become(self, caller: Caller) -> None:
        """Speak for *caller* from now on."""
        self._registry.of_caller[self.caller.name] -= 1
        self.caller = caller
        self._registry.of_caller[caller.name] += 1

    def hold(self, *, held: bool) -> None:
        """Read nothing more while *held*."""
        self._held = held
        self._regulate()

    def _regulate(self) -> None:
        """Read while there is room for what is read, and for the answers."""
        if self._closing or self._transport.is_closing():
            return
        if self.blocked or self._held or self._registry.resting:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # The handshake, and the requests that are none.

    def _open(self, reader: RequestReader) -> None:
        try:
            request = reader.next_request()
            if request is None:
                return
            registry = self._registry
            registry.guard.check(request.headers.get(b"host"), request.headers.get(b"origin"))
            page = registry.pages.get(request.path)
            if page is not None and request.method == "GET" and b"upgrade" not in request.headers:
                origin = request.headers.get(b"origin")
                allowed = b"" if origin is None else b"Access-Control-Allow-Origin: %b\r\nVary: Origin\r\n" % origin
                self._respond(HttpResponse(200, page(request), allowed))
                return
            self._upgrade(request, reader)
        except Error as error:
            self._refuse(error)

    def _upgrade(self, request: HttpRequest, reader: RequestReader) -> None:
        registry = self._registry
        if (authorization := request.headers.get(b"authorization")) is not None:
            client = registry.verify(tokens.bearer(authorization))
            self.caller = replace(client, is_agent=self.caller.is_agent)
        self.caller.require_token()
        self.caller.require_admitted()
        if "read" not in self.caller.scopes:
            raise InsufficientScope("a WebSocket needs the scope read")
        if request.method != "GET":
            raise InvalidRequest("a WebSocket is opened with GET", http_status=405)
        if len(registry.connections) > registry.settings.max_connections:
            raise _full()
        if registry.of_caller[self.caller.name] >= registry.settings.max_connections_per_caller:
            raise Error(f"{self.caller.name} has too many connections", http_status=429)
        response, subprotocol, deflate = wire.accept(
            request.path, request.headers, compression=registry.settings.compression
        )
        if response.status_code != 101:
            # Of its text the first line says what is wrong.
            told = bytes(response.body or b"").decode().partition("\n")[0]
            raise Error(told, http_status=response.status_code)
        self._write(response.serialize())
        self._reader = None
        self.codec = registry.codec(deflate)
        registry.opened(self)
        self.session = registry.make_session(subprotocol, self, None)
        if rest := reader.rest():
            self._receive(rest)

    def _respond(self, response: HttpResponse) -> None:
        self._closing = True
        self._write(http.encode(response, formatdate(usegmt=True).encode("ascii"), keep_alive=False))
        self._transport.write_eof()
        self._registry.watch(self, _LINGER_S)

    def _refuse(self, error: Error) -> None:
        self._registry.refused(self.caller, error)
        status = error.http_status
        self._respond(HttpResponse(status, orjson.dumps({"error": error.message}), _ADVICE.get(status, b"")))

    # Frames in.

    def _receive(self, data: bytes) -> None:
        framer = self._framer
        if framer is None:
            framer = self._framer = self._registry.framers.borrow(self.codec)
        try:
            framer.receive_data(data)
        except EOFError:  # what comes behind the end, after a close
            return
        for event in framer.events_received():
            if self._closing or not isinstance(event, Frame) or not self._take(event, framer):
                break
        self._flush(framer)
        if self._framer is framer and framer.is_at_rest and not self._closing:
            self._framer = None
            self._registry.framers.give_back(framer)

    def _flush(self, framer: Framer) -> None:
        for data in framer.data_to_send():
            if data:
                self._write(data)
            elif not self._transport.is_closing():
                self._transport.write_eof()
        if framer.close_expected() and not self._closing:
            self._closing = True
            self._registry.watch(self, _LINGER_S)

    def _take(self, frame: Frame, framer: Framer) -> bool:
        """Take a whole frame; say whether the next one may come."""
        if frame.opcode is Opcode.BINARY:
            framer.fail(CloseCode.UNSUPPORTED_DATA, "messages are text")
            return False
        if frame.opcode not in (Opcode.TEXT, Opcode.CONT):
            return True
        if self._fragments is not None:
            self._fragments += frame.data
        elif not frame.fin:
            self._fragments = bytearray(frame.data)
        if not frame.fin:
            return True
        data = bytes(frame.data if self._fragments is None else self._fragments)
        self._fragments = None
        return self._take_text(data, framer)

    def _take_text(self, data: bytes, framer: Framer) -> bool:
        try:
            data.decode()
        except UnicodeDecodeError as exc:
            framer.fail(CloseCode.INVALID_DATA, f"not UTF-8: {exc.reason} at byte {exc.start}")
            return False
        if self.session is not None:
            self.session.receive(data)
        return True

    # Frames out.

    def write(self, frames: bytes) -> None:
        """Send whole *frames*."""
        if not self._closing:
            self._write(frames)

    def _write(self, data: bytes) -> None:
        transport = self._transport
        if not transport.get_write_buffer_size():
            self._tail = data
        elif isinstance(self._tail, list):
            self._tail.append(data)
        else:
            self._tail = [self._tail, data]
        transport.write(data)

    def close(self, code: CloseCode, reason: str) -> None:
        """Begin to close, saying why; what was sent before arrives before."""
        if self._closing or self._reader is not None:
            self._transport.close()
            return
        framer = self._framer or self._registry.framers.borrow(self.codec)
        self._framer = framer
        framer.send_close(code, reason.encode()[:120].decode("utf-8", "ignore"))
        self._flush(framer)

    # What the server does once a second.

    def beat(self, heartbeat: bytes, dead_s: float) -> None:
        """Show that the server lives and ask whether the client does; one last heard before *dead_s* is gone."""
        if self.blocked or self._closing or self.session is None:
            return
        if self.heard_s < dead_s:
            self._transport.abort()
            return
        self._write(self.session.beat(heartbeat) + wire.PING)

    def overdue(self) -> None:
        """Act on the deadline: 408 for a handshake that does not end, else the end."""
        if self._reader is not None and not self._closing:
            self._refuse(Error("the request to open a WebSocket took too long to arrive", http_status=408))
        else:
            self._transport.abort()

    # From one process to the next.

    def export(self) -> tuple[int, Record] | None:
        """Return the socket's descriptor, and what the next process must know of it; None where it is being closed.

        Nothing may be written or read afterwards: what the kernel has not taken yet is in the record.
        """
        if self._closing or self._transport.is_closing():
            return None
        unsent_bytes = self._transport.get_write_buffer_size()
        tail = self._tail if isinstance(self._tail, bytes) else b"".join(self._tail)
        unread = b"" if self._framer is None else self._framer.unfinished
        session = self.session
        fd: int = self._transport.get_extra_info("socket").fileno()
        return fd, Record(
            subprotocol=None if session is None else session.subprotocol,
            state=b"" if session is None else msgspec.msgpack.encode(session.export()),
            caller=self.caller,
            deflate=self.codec.deflate,
            unread=unread if self._reader is None else self._reader.rest(),
            unsent=tail[len(tail) - unsent_bytes :] if unsent_bytes else b"",
        )

    def _take_up(self, record: Record, subprotocol: str) -> None:
        registry = self._registry
        self.caller, self.codec = record.caller, registry.codec(record.deflate)
        registry.opened(self, anew=False)
        if record.unsent:
            self._write(record.unsent)
        self.session = registry.make_session(subprotocol, self, record)
        if record.unread:
            self._receive(record.unread)


def _full() -> Error:
    return Error("too many connections; try again later", http_status=503)
