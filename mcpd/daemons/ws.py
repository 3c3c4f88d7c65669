"""mcpd-ws: events and MCP over WebSockets. It executes nothing: it reads the event log, and has mcpd-rpc answer."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec
import orjson
import uvloop
from websockets.frames import CloseCode

from mcpd import __version__, sd
from mcpd.access import tokens
from mcpd.access.callers import Caller, Callers
from mcpd.access.origins import OriginGuard
from mcpd.access.tokens import Authority
from mcpd.bridge.conversation import State as Told
from mcpd.bridge.upstream import Upstream
from mcpd.config import Config
from mcpd.daemons import runtime
from mcpd.errors import ConfigError, Error, StoreUnavailable
from mcpd.ports import Ports
from mcpd.protocol.http import HttpRequest
from mcpd.store import clients, schema
from mcpd.store.database import Database, store_errors
from mcpd.terminals.fleet import Fleet
from mcpd.ws import handover, wire
from mcpd.ws.connection import Connection
from mcpd.ws.dialect import Dialect, State
from mcpd.ws.doorbell import Doorbell
from mcpd.ws.feed import Feed
from mcpd.ws.follower import Follower
from mcpd.ws.handover import Record
from mcpd.ws.log import Log
from mcpd.ws.mcp import Mcp
from mcpd.ws.registry import Registry
from mcpd.ws.room import Peer, Room, Session
from mcpd.ws.streams import Meter, Streams

NAME = "mcpd-ws"
RPC = "/run/mcpd/mcp.sock"
_UNIT = f"{NAME}.service"
_JOB_TIMEOUT_S = 2.0
_RPC_TIMEOUT_S = 30.0
_BACKLOG = 4096
_BARRIER_S = 5.0
_STEP_S = 0.01


def parser() -> argparse.ArgumentParser:
    """Return the command line of mcpd-ws."""
    result = runtime.parser(NAME, "Serve events and MCP over WebSockets.")
    result.add_argument(
        "--listen", metavar="ADDRESS", action="append", default=[], help="HOST:PORT or unix:PATH, for development"
    )
    result.add_argument(
        "--agents", metavar="DIRECTORY", type=Path, action="append", help="read agents here instead; for development"
    )
    result.add_argument("--rpc", metavar="PATH", default=RPC, help="the Unix socket of mcpd-rpc")
    return result


def main() -> None:
    """Run the daemon."""
    arguments = parser().parse_args()
    sys.exit(runtime.run(lambda config: _serve(config, arguments), arguments.config))


def _serve(config: Config, arguments: argparse.Namespace) -> None:
    db = Database(config.database.path, busy_timeout_s=config.database.busy_timeout_s, read_only=True)
    try:
        schema.check(db)
        uvloop.run(Daemon(config, db, arguments).run())
    finally:
        db.close()


class Daemon:
    """One mcpd-ws, from its sockets to its end."""

    def __init__(self, config: Config, db: Database, arguments: argparse.Namespace) -> None:
        self._config = config
        self._db = db
        self._arguments = arguments
        self._authority = Authority.of(runtime.session_key(config), config.access.public_url)
        self._log = logging.getLogger(sd.LOGGER_NAME)
        self._notifier = sd.Notifier()
        self._listeners: list[asyncio.Server] = []
        directory = os.environ.get("RUNTIME_DIRECTORY")
        self._count_file = None if directory is None else Path(directory, "clients")
        self._counted: int | None = None
        self._refusals = 0

    async def run(self) -> None:
        """Serve until a signal says stop."""
        listen, sockets, records = self._passed()
        self._begin()
        for sock in listen:
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            server = await loop.create_server(lambda: Connection(self._registry), sock=sock, backlog=_BACKLOG)
            self._listeners.append(server)
        stopped = runtime.stop_event()
        self._room.feed.hold()
        kept = await self._adopt(sockets, records)
        names = ", ".join(map(runtime.address_of, listen))
        self._log.info("mcpd-ws %s started, listening on %s, took over %d connections", __version__, names, kept)
        self._notifier.ready(f"serving on {names}")
        self._room.feed.release()
        watchdog = asyncio.create_task(runtime.feed_watchdog(self._notifier, self._follower.probe))
        await stopped.wait()
        self._notifier.stopping()
        self._log.info("stopping, %d WebSockets open", self._registry.open)
        await self._end()
        watchdog.cancel()

    def _passed(self) -> tuple[list[socket.socket], list[socket.socket], dict[int, Record]]:
        """Return the sockets to listen on, the connections that another process left, and what it knew of them."""
        passed = sd.listen_descriptors()
        listen = [socket.socket(fileno=fd) for name, fd in passed if name in (NAME, "unknown")]
        listen += [runtime.bind(address) for address in self._arguments.listen]
        if not listen:
            raise ConfigError(f"no sockets: start {NAME} by its socket unit, systemd-socket-activate or with --listen")
        connections = handover.unpack([fd for name, fd in passed if name == handover.BOX])
        files = [fd for name, fd in passed if name == handover.STATE]
        records = handover.read(files)
        for fd in files:
            os.close(fd)
        # Not later: what is told from now on must not be told again by the next process, should this one be killed.
        self._notifier.forget_sockets(handover.BOX)
        self._notifier.forget_sockets(handover.STATE)
        return listen, connections, records

    def _begin(self) -> None:
        config = self._config
        settings = config.websocket
        fleet = Fleet(self._arguments.agents, ports=self._config.ports)
        is_open = config.access.loopback == "open"
        self._registry = Registry(
            settings,
            Callers(config.access.admin_group, open_loopback=is_open, agent_users=fleet.users),
            OriginGuard(config.server.allowed_hosts, config.server.allowed_origins),
            self._refused,
            {"/ws-config": partial(_ws_config, self._config.ports)},
            self._verify,
        )
        feed = Feed(Log(self._db), settings.max_behind)
        self._room = Room(
            feed, Upstream(self._arguments.rpc, _RPC_TIMEOUT_S), lambda: self._registry.open, self._verify
        )
        meter = Meter(lambda: self._registry.open, lambda: sum(self._room.subscriptions().values()), lambda: feed.told)
        self._streams = Streams(self._db, meter)
        self._follower = Follower(config.database.path, self._db, feed, self._streams)
        self._registry.make_session = self._make_session
        self._doorbell = Doorbell(config.database.path, self._follower.ring)
        if not self._doorbell.hears:
            self._log.warning("inotify is not to be had: events come up to two seconds late")
        self._tick()

    def _verify(self, token: str) -> Caller:
        with store_errors():
            return tokens.verify(token, self._authority, time.time_ns() // 1000, partial(clients.stands, self._db))

    def _make_session(self, subprotocol: str, peer: Peer, record: Record | None) -> Session:
        if subprotocol == wire.MCP:
            client = Mcp(peer, self._room)
            if record is not None:
                client.take_up(msgspec.msgpack.decode(record.state, type=Told))
            return client
        dialect = Dialect(peer, self._room, self._streams)
        if record is None:
            dialect.open()
        else:
            dialect.take_up(msgspec.msgpack.decode(record.state, type=State))
        return dialect

    def _refused(self, caller: Caller, error: Error) -> None:
        """Log a refusal, unless there were too many this second."""
        self._refusals += 1
        if self._refusals > self._config.log.requests_per_s:
            return
        fields = {"MCPD_CALLER": caller.name, "MCPD_STATUS": str(error.http_status)}
        self._log.warning("refused %s: %d %s", caller.name, error.http_status, error.message, extra=fields)

    def _tick(self) -> None:
        self._ticker = asyncio.get_running_loop().call_later(1.0, self._tick)
        if self._refusals > self._config.log.requests_per_s:
            self._log.warning("refused %d in a second", self._refusals)
        self._refusals = 0
        self._registry.tick()
        with contextlib.suppress(StoreUnavailable):  # which the follower reports
            self._streams.tick()
        self._tell_count()

    def _tell_count(self) -> None:
        """Let mcpd-rpc read how many WebSockets are open; systemd removes the file with us."""
        if self._count_file is not None and self._counted != self._registry.open:
            self._counted = self._registry.open
            partial_file = self._count_file.with_suffix(".new")
            partial_file.write_text(str(self._counted), "ascii")
            partial_file.replace(self._count_file)

    async def _adopt(self, sockets: Sequence[socket.socket], records: dict[int, Record]) -> int:
        """Go on with *sockets*; of one that nothing is known of, the client is told to come back."""
        kept = 0
        loop = asyncio.get_running_loop()
        for sock in sockets:
            record = records.get(handover.cookie(sock))
            if record is None:
                with contextlib.suppress(OSError), sock:
                    sock.send(wire.close_frame(CloseCode.SERVICE_RESTART, "mcpd-ws was replaced; connect again"))
                continue
            sock.setblocking(False)
            await loop.connect_accepted_socket(partial(Connection, self._registry, record), sock)
            kept += 1
        return kept

    async def _end(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._doorbell.close()
        self._ticker.cancel()
        loop = asyncio.get_running_loop()
        limit_s = loop.time() + self._config.server.drain_timeout_s
        connections = [connection for connection in self._registry.connections if isinstance(connection, Connection)]
        code, reason = CloseCode.SERVICE_RESTART, "mcpd-ws is stopping; connect again"
        if self._notifier.can_store():
            # Whatever else it is, or cannot be found out, may be a restart.
            if await asyncio.to_thread(sd.job_of, _UNIT, _JOB_TIMEOUT_S) != "stop":
                await self._settle(connections, limit_s)
                self._hand_over(connections)
            await self._answered(connections, limit_s)
            code, reason = CloseCode.GOING_AWAY, "mcpd-ws was stopped"
        for connection in connections:
            connection.close(code, reason)
        while (self._registry.connections or self._room.tasks) and loop.time() < limit_s:  # noqa: ASYNC110
            await asyncio.sleep(_STEP_S)

    async def _settle(self, connections: Sequence[Connection], limit_s: float) -> None:
        """Read nothing more, and have those requests answered that the next process could not ask again."""
        self._registry.resting = True
        for connection in connections:
            connection.hold(held=True)
        for session in await self._answered(connections, limit_s):
            await session.rest()

    async def _answered(self, connections: Sequence[Connection], limit_s: float) -> list[Session]:
        """Wait until what is under way on *connections* is answered, but no longer than *limit_s*; return who asked."""
        sessions = [connection.session for connection in connections if connection.session is not None]
        loop = asyncio.get_running_loop()
        while loop.time() < limit_s and any(session.is_busy() for session in sessions):  # noqa: ASYNC110
            await asyncio.sleep(_STEP_S)
        return sessions

    def _hand_over(self, connections: Sequence[Connection]) -> None:
        """Leave *connections* with the service manager, and end.

        The process ends in here: were the event loop to run once more, it might send what is in the records.
        """
        exported = [found for connection in connections if (found := connection.export()) is not None]
        records = {handover.cookie(socket.socket(fileno=os.dup(fd))): record for fd, record in exported}
        self._notifier.store(handover.STATE, [handover.write(records)])
        self._notifier.store(handover.BOX, [box.detach() for box in handover.pack([fd for fd, _ in exported])])
        if not self._notifier.barrier(_BARRIER_S):
            self._log.warning("the service manager does not say that it has the connections")
        self._log.info("left %d connections with the service manager", len(exported))
        logging.shutdown()
        os._exit(0)


def _ws_config(ports: Ports, request: HttpRequest) -> bytes:
    """Say where the WebSocket is, as the old system's clients ask."""
    host = request.header(b"host")
    config = {
        "ws_enabled": True, "ws_url": f"ws://{host}" if host else ports.ws_url, "polling_fallback": True,
        "polling_interval": 10_000, "reconnect_interval": 5_000,
    }  # fmt: skip
    return orjson.dumps(config)


if __name__ == "__main__":
    main()
