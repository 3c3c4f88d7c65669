"""Watch an agent's tmux server from outside its user: the connection that ``mcp-watch@NAME.service`` makes for us.

That unit runs ``tmux -C`` as the agent's user with our socket as its standard input and output, so the manager never
runs anything as somebody else and obeys nothing that an agent's server says; it only reads text.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, cast

from mcpd.terminals import control
from mcpd.terminals.control import Answer, Attached, ControlError, ControlReader, Drawing, Output, Pane

_SETTLED_S = 1.2  # window_activity counts seconds: what follows within one makes no change that tmux would tell
_CREDENTIALS = struct.Struct("=iII")
_UNIT = re.compile(r"/mcp-watch@([A-Za-z0-9_.-]+)\.service$", re.MULTILINE)


class Watched(Protocol):
    """An agent that is watched."""

    @property
    def records(self) -> bool:
        """Whether ``printed`` is wanted."""

    def pane_changed(self, pane: Pane) -> None:
        """Something about the pane is new."""

    def screen_read(self, lines: tuple[str, ...]) -> None:
        """This is on the screen."""

    def recording_began(self, shown: Drawing) -> None:
        """This is on the screen; what is printed from now on comes to ``printed``."""

    def printed(self, data: bytes) -> bool:
        """The pane printed *data*. Return whether ``recording_began`` is wanted again."""

    def watch_began(self, observer: Observer) -> None:
        """*observer* watches from now on, instead of any other."""

    def watch_ended(self, observer: Observer) -> None:
        """*observer* is gone."""


def agent_of(connection: socket.socket, proc: Path = Path("/proc")) -> str | None:
    """Return the agent whose watch unit holds the other end of *connection*, by the kernel's word, or None."""
    pid = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[0]
    with contextlib.suppress(OSError):
        found = _UNIT.search((proc / str(pid) / "cgroup").read_text())
        return None if found is None else found[1]
    return None


class Observer(asyncio.Protocol):
    """One control-mode connection. It asks for the screen when the pane changed, and never twice at once."""

    def __init__(self, find: Callable[[str], Watched | None]) -> None:
        self._find = find
        self._watched: Watched | None = None
        self._transport: asyncio.Transport
        self._reader = ControlReader()
        self._answers: deque[Callable[[Answer], None]] = deque()
        self._asking: set[asyncio.Future[Answer]] = set()
        self._pane = ""
        self._asked = self._stale = self._subscribed = self._beginning = False
        self._last_look: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        name = agent_of(transport.get_extra_info("socket"))
        self._watched = None if name is None else self._find(name)
        if self._watched is None:
            transport.close()
            return
        self._watched.watch_began(self)

    def data_received(self, data: bytes) -> None:
        if self._watched is None:
            return
        try:
            for message in self._reader.feed(data):
                self._take(message, self._watched)
        except ControlError:
            self._transport.abort()

    def connection_lost(self, _exc: Exception | None) -> None:
        if self._last_look is not None:
            self._last_look.cancel()
        for future in list(self._asking):
            future.cancel()
        if self._watched is not None:
            self._watched.watch_ended(self)

    async def ask(self, commands: Sequence[bytes]) -> list[Answer]:
        """Return tmux's answers to *commands*, a line each; raises ``CancelledError`` if the watch ends before."""
        futures = [self._future(command) for command in commands]
        return [await future for future in futures]

    def _future(self, command: bytes) -> asyncio.Future[Answer]:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._asking.add(future)
        future.add_done_callback(self._asking.discard)
        self._send(command, lambda answer: None if future.done() else future.set_result(answer))
        return future

    @property
    def attached(self) -> bool:
        """Whether tmux's client reads what we send, and so also learns that the connection has ended."""
        return self._subscribed

    def close(self) -> None:
        """End the watch; tmux's client ends with it."""
        self._transport.close()

    def _take(self, message: control.Message, watched: Watched) -> None:
        if isinstance(message, Output):
            if watched.printed(message.data):
                self._begin_recording(watched)
        elif isinstance(message, Attached):
            self._subscribe(watched)
        elif isinstance(message, Pane):
            self._pane = message.id
            watched.pane_changed(message)
            if message.dead and message.dead_status is None:  # by a signal, or not noticed
                self._send(control.REAP, lambda _answer: None)
            self._look()
            if self._last_look is not None:
                self._last_look.cancel()
            self._last_look = asyncio.get_running_loop().call_later(_SETTLED_S, self._look)
        elif self._answers:
            self._answers.popleft()(message)

    def _subscribe(self, watched: Watched) -> None:
        """Ask to be told; only now, since what tmux reads before it has attached us comes to nothing."""
        if self._subscribed:
            return
        self._subscribed = True
        self._send(control.SUBSCRIBE, self._must_do)
        if watched.records:
            self._send(control.output_wanted(True), self._must_do)
            self._begin_recording(watched)

    def _begin_recording(self, watched: Watched) -> None:
        if self._beginning:
            return
        self._beginning = True
        place: list[str] = []

        def shown(answer: Answer) -> None:
            self._beginning = False
            if answer.ok and place:
                watched.recording_began(control.drawing(answer.lines, place[0]))

        self._send(control.PLACE, lambda answer: place.extend(answer.lines[:1]))
        self._send(control.CAPTURE_COLOURS, shown)

    def _must_do(self, answer: Answer) -> None:
        if not answer.ok:
            self._transport.abort()  # the unit connects again

    def _look(self) -> None:
        if self._asked:
            self._stale = True
            return
        self._asked, self._stale = True, False
        self._send(control.capture(self._pane), self._looked)

    def _looked(self, answer: Answer) -> None:
        self._asked = False
        if answer.ok and self._watched is not None:
            self._watched.screen_read(answer.lines)
        if self._stale:
            self._look()

    def _send(self, command: bytes, then: Callable[[Answer], None]) -> None:
        self._answers.append(then)
        self._transport.write(command)
