"""Requests to the daemon on its Unix socket, over its restarts.

Every request has a connection of its own: an answer that does not come is then never the fault of a connection that
was left over, and it is known of each request whether all of it was sent. The socket is systemd's, so that connecting
succeeds while the daemon is away, and the request waits there.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httptools

from mcpd.errors import AccessDenied, Error, Unreachable
from mcpd.protocol.sse import Event, EventReader

_START = "systemctl start mcp.target"
_ADMIT = "usermod -aG mcp-admin"
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.02, 0.5
_REPEATS = 3


class AnswerLost(Exception):
    """All of a request was sent, and the connection broke before all of the answer came."""


class Reply:
    """An answer: ``status``, ``headers``, and either its ``body`` or, where ``is_stream``, its ``events``."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._has_head = False
        self._complete = False
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""

    @property
    def is_stream(self) -> bool:
        """Whether the answer comes as server-sent events."""
        return self.headers.get(b"content-type", b"").startswith(b"text/event-stream")

    async def send(self, request: bytes) -> bool:
        """Say whether all of *request* was sent; if not, the daemon may have said why before it closed."""
        try:
            await self._loop.sock_sendall(self._sock, request)
        except OSError:
            return False
        return True

    async def begin(self) -> None:
        """Read the head, and the body unless that is a stream; raises ``AnswerLost``."""
        while not (self._complete or (self._has_head and self.is_stream)):
            await self._receive()
        if not self.is_stream:
            self.body = b"".join(self._parts)

    async def events(self) -> AsyncIterator[Event]:
        """Yield each event as it comes; raises ``AnswerLost`` if the stream breaks off."""
        reader = EventReader()
        while True:
            parts, self._parts = self._parts, []
            for event in reader.receive_data(b"".join(parts)):
                yield event
            if self._complete:
                return
            await self._receive()

    def close(self) -> None:
        """Close the connection; the daemon stops what it was still doing for it."""
        self._sock.close()

    async def _receive(self) -> None:
        try:
            data = await self._loop.sock_recv(self._sock, 65536)
            if not data:
                raise AnswerLost("the connection was closed")
            self._parser.feed_data(data)
        except (OSError, httptools.HttpParserError) as exc:
            raise AnswerLost(str(exc)) from exc

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._has_head = True

    def on_body(self, data: bytes) -> None:
        self._parts.append(data)

    def on_message_complete(self) -> None:
        self._complete = True


class Upstream:
    """The daemon behind the socket *path*; it may be away for *timeout_s* before that is an error."""

    def __init__(self, path: str, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s
        self._loop = asyncio.get_running_loop()
        self._was_there = False

    async def ask(self, request: bytes, *, repeat: bool) -> Reply:
        """Send *request*; return the answer when its head is there, and its body unless that is a stream.

        What was not sent whole is sent again, what was only with *repeat*, and a few times. Raises ``AnswerLost``;
        and ``Unreachable`` or ``AccessDenied``, after which there is no use in asking again.
        """
        give_up_s = self._loop.time() + self._timeout_s
        pause_s = _FIRST_PAUSE_S
        lost = 0
        while True:
            reply = Reply(await self.connect())
            sent = False
            try:
                sent = await reply.send(request)
                await reply.begin()
            except AnswerLost as exc:
                reply.close()
                lost += sent
                if sent and (not repeat or lost > _REPEATS):
                    raise AnswerLost(f"the connection to mcpd broke before the answer came ({exc})") from exc
                if self._loop.time() > give_up_s:
                    raise Unreachable(f"mcpd at {self._path} takes no request; see: mcpctl health") from exc
            except BaseException:
                reply.close()
                raise
            else:
                return reply
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    async def connect(self) -> socket.socket:
        """Return a connection, waiting for the socket to come back if it was there once or is only refusing."""
        give_up_s = self._loop.time() + self._timeout_s
        pause_s = _FIRST_PAUSE_S
        while True:
            sock = socket.socket(socket.AF_UNIX)
            sock.setblocking(False)
            try:
                sock.connect(self._path)  # never waits: it succeeds, fails, or finds the queue full
                self._was_there = True
                return sock
            except OSError as exc:
                sock.close()
                missing = isinstance(exc, FileNotFoundError) and not self._was_there
                waits = isinstance(exc, FileNotFoundError | ConnectionError | BlockingIOError) and not missing
                waits = waits and not self._is_other_file()
                if not waits or self._loop.time() > give_up_s:
                    raise self._explain(exc) from exc
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _is_other_file(self) -> bool:
        """Say whether there is a file that is no socket; the kernel refuses the connection in either case."""
        path = Path(self._path)
        try:
            return path.exists() and not path.is_socket()
        except OSError:
            return False

    def _explain(self, exc: OSError) -> Error:
        path = self._path
        if self._is_other_file():
            return Unreachable(f"{path} is no socket; expected that of mcpd-rpc")
        if isinstance(exc, PermissionError):
            who = f"user {_user()} may not connect to {path}"
            return AccessDenied(f"{who}; an administrator may run: {_ADMIT} {_user()}")
        if isinstance(exc, FileNotFoundError):
            return Unreachable(f"there is no socket {path}, mcpd is not started; run: {_START}")
        if isinstance(exc, ConnectionRefusedError):
            return Unreachable(f"nobody listens at {path}, for {self._timeout_s:g} s now; run: {_START}")
        return Unreachable(f"cannot connect to {path}: {exc.strerror or exc}; see: mcpctl health")


def _user() -> str:
    uid = os.geteuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
