"""The manager's control socket: mcpd-rpc's orders carried out, each as far as systemd and the agent's tmux let it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mcpd import sd
from mcpd.daemons.terminal import NoTerminal, Terminal
from mcpd.errors import Error, InvalidParams
from mcpd.terminals import control, orders, typing, watched
from mcpd.terminals.fleet import STATES
from mcpd.terminals.orders import Answer, AnyOrder, Changed, Inspected, Pane, Refused, Sent, Shown
from mcpd.terminals.states import State
from mcpd.terminals.tmux import TIMEOUT_S as TMUX_TIMEOUT_S
from mcpd.terminals.watched import WatchedTmux

_CREDENTIALS = struct.Struct("=iII")
_WATCH_S = 5.0
"""How long the watch of an agent may take to come, after its start or ours."""

_STOP_S = 60.0
_DOWN = (State.ABSENT, State.EXITED)


class Commander:
    """Carry out orders for the agents that *find* knows; their terminals are locked in *directory*/NAME for typing."""

    def __init__(self, find: Callable[[str], Terminal | None], directory: Path) -> None:
        self._find = find
        self._directory = directory
        self._log = logging.getLogger(sd.LOGGER_NAME)
        self._tasks: set[asyncio.Task[None]] = set()
        self._carry_out: dict[type, Callable[[Terminal, Any], Awaitable[Answer]]] = {
            orders.Start: self._start,
            orders.Stop: self._stop,
            orders.Restart: self._restart,
            orders.Open: self._open,
            orders.Send: self._send,
            orders.Read: self._read,
            orders.Inspect: self._inspect,
        }

    async def listen(self, sock: socket.socket) -> asyncio.Server:
        """Serve *sock*, which stays systemd's: a server of Unix sockets would remove its file when it closes.

        Its name says whether whoever connects there may do all, or only learn of agents.
        """
        loop = asyncio.get_running_loop()
        allowed = orders.HARMLESS if Path(sock.getsockname()).name == STATES.name else tuple(self._carry_out)

        def protocol() -> asyncio.StreamReaderProtocol:
            reader = asyncio.StreamReader(limit=orders.MAX_LINE_BYTES)
            return asyncio.StreamReaderProtocol(reader, partial(self._connected, allowed))

        return await loop.create_server(protocol, sock=sock)

    def _connected(self, allowed: tuple[type, ...], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._converse(allowed, reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _converse(
        self, allowed: tuple[type, ...], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            if _is_ours(writer.get_extra_info("socket")):
                while line := await reader.readline():
                    writer.write(orders.encode(await self._answer(line, allowed)))
                    await writer.drain()
        except (OSError, ValueError):  # gone, or a line without end
            pass
        finally:
            writer.close()

    async def _answer(self, line: bytes, allowed: tuple[type, ...]) -> Answer:
        try:
            order = orders.decode_order(line)
            if not isinstance(order, allowed):
                return Refused(f"this socket takes no order to {type(order).__name__.lower()}", wrong=True)
            terminal = self._find(order.agent)
            if terminal is None:
                why = f"mcpd-ttyd-manager does not know the agent {order.agent}; if its file is new: mcpctl health"
                return Refused(why, wrong=True)
            return await self._obey(terminal, order)
        except NoTerminal as exc:
            advice = f" ({'; '.join(exc.trouble.advice)})" if exc.trouble.advice else ""
            return Refused(exc.trouble.reason + advice)
        except Error as error:
            return Refused(error.message, wrong=isinstance(error, InvalidParams))

    async def _obey(self, terminal: Terminal, order: AnyOrder) -> Answer:
        terminal.enter()
        try:
            answer = await self._carry_out[type(order)](terminal, order)
        finally:
            terminal.leave()
        verb = type(order).__name__.lower()
        self._log.info("%s: %s", terminal.agent.name, verb, extra={"MCPD_AGENT": terminal.agent.name})
        return answer

    async def _start(self, terminal: Terminal, _order: orders.Start) -> Answer:
        terminal.require_thawed()
        before = terminal.state
        if before is State.EXITED and terminal.unit.is_up:
            await terminal.control("RestartUnit", _STOP_S)
        elif before in _DOWN or not terminal.unit.is_up:
            await terminal.control("StartUnit", _STOP_S)
        return Changed(before, terminal.state)

    async def _stop(self, terminal: Terminal, _order: orders.Stop) -> Answer:
        before = terminal.state
        await terminal.control("StopUnit", _STOP_S)
        return Changed(before, terminal.state)

    async def _restart(self, terminal: Terminal, _order: orders.Restart) -> Answer:
        before = terminal.state
        await terminal.control("RestartUnit", _STOP_S)
        return Changed(before, terminal.state)

    async def _open(self, terminal: Terminal, _order: orders.Open) -> Answer:
        terminal.require_thawed()
        before = terminal.state
        await terminal.start()
        return Changed(before, terminal.state)

    async def _send(self, terminal: Terminal, order: orders.Send) -> Answer:
        tmux = await self._tmux(terminal)
        typed = await asyncio.to_thread(typing.type_text, tmux, order.text, enter=order.enter)
        return Sent(typed.was_seen)

    async def _read(self, terminal: Terminal, order: orders.Read) -> Answer:
        _check_history(order)
        tmux = await self._tmux(terminal)

        def look() -> Shown:
            screen = tmux.screen()
            lines = tmux.capture(order.history_lines) if order.history_lines else screen.lines
            return Shown(lines, *screen.cursor, screen.ended)

        return await asyncio.to_thread(look)

    async def _inspect(self, terminal: Terminal, order: orders.Inspect) -> Answer:
        _check_history(order)
        pane, unseen = None, ""
        try:
            pane = await asyncio.to_thread(_pane, await self._tmux(terminal), order.history_lines)
        except NoTerminal as exc:
            unseen = exc.trouble.reason
        except Error as error:
            unseen = error.message
        unit = terminal.unit
        return Inspected(terminal.state, unit.active, unit.result, unit.pid, unit.exit_status, pane, unseen)

    async def _tmux(self, terminal: Terminal) -> WatchedTmux:
        """Return the agent's tmux, asked by its watch from a thread; after a start that may need a moment."""
        terminal.require_thawed()
        session = terminal.agent.session
        if not terminal.unit.is_up:
            raise watched.not_running(session)
        observer = await terminal.observer(_WATCH_S)
        if observer is None:
            raise watched.gone(session)
        loop = asyncio.get_running_loop()

        def ask(lines: Sequence[bytes]) -> Sequence[control.Answer]:
            future = asyncio.run_coroutine_threadsafe(observer.ask(lines), loop)
            try:
                return future.result(TMUX_TIMEOUT_S)
            except (concurrent.futures.CancelledError, TimeoutError) as exc:
                future.cancel()
                raise watched.gone(session) from exc

        return WatchedTmux(self._directory / terminal.agent.name / "tmux.sock", session, ask)

    def close(self) -> None:
        """Let go of those who wait; the manager stops."""
        for task in self._tasks:
            task.cancel()


def _check_history(order: orders.Read | orders.Inspect) -> None:
    if not 0 <= order.history_lines <= orders.MAX_HISTORY_LINES:
        raise InvalidParams(f"history_lines: expected 0 to {orders.MAX_HISTORY_LINES}")


def _pane(tmux: WatchedTmux, history_lines: int) -> Pane:
    screen, (width, height, title, running, cwd) = tmux.screen(), tmux.facts()
    above, lines = tmux.capture_whole(history_lines)
    fitting = orders.fitting(lines)
    above = max(0, above - (len(lines) - len(fitting)))
    return Pane(width, height, *screen.cursor, screen.pid, cwd, running, title, screen.ended, above, fitting)


def _is_ours(connection: socket.socket) -> bool:
    """Say whether root or our own user is at the other end; the mode of the socket says so already."""
    with contextlib.suppress(OSError):
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        return _CREDENTIALS.unpack(raw)[1] in (0, os.geteuid())
    return False
