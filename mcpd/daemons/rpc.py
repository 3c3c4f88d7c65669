"""mcpd-rpc: the MCP server. Bytes from the sockets to the core, answers back, and the life of the daemon."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time
from collections.abc import Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import uvloop

from mcpd import __version__, sd
from mcpd.access.callers import Caller, Callers
from mcpd.config import Config
from mcpd.daemons import runtime
from mcpd.daemons.http import Connection, Server
from mcpd.daemons.journal import RequestLog
from mcpd.daemons.runtime import Sockets
from mcpd.errors import Error, StoreUnavailable
from mcpd.plugins import loader
from mcpd.plugins.base import Loaded, Plugin
from mcpd.protocol import headers
from mcpd.protocol.http import HttpLater, HttpRequest
from mcpd.server import websockets
from mcpd.server.core import Core, Exchange
from mcpd.server.websockets import Websockets
from mcpd.store import schema
from mcpd.store.checkpoint import Checkpointer
from mcpd.store.database import Database
from mcpd.terminals import fleet
from mcpd.terminals.fleet import Fleet
from mcpd.ws.doorbell import Doorbell

NAME = "mcpd-rpc"
_GRACE_S = 1.0
_PAUSE_S = 0.005  # our own commits ring too


def parser() -> argparse.ArgumentParser:
    """Return the command line of mcpd-rpc."""
    result = runtime.parser(NAME, "Serve MCP over HTTP.")
    result.add_argument(
        "--listen",
        metavar="ADDRESS",
        action="append",
        default=[],
        help="HOST:PORT or unix:PATH, for development",
    )
    result.add_argument(
        "--agents", metavar="DIRECTORY", type=Path, action="append", help="read agents here instead; for development"
    )
    result.add_argument(
        "--control", metavar="PATH", type=Path, default=fleet.CONTROL, help="where mcpd-ttyd-manager takes orders"
    )
    result.add_argument(
        "--websockets",
        metavar="PATH",
        type=Path,
        default=websockets.COUNT_FILE,
        help="where mcpd-ws says how many clients it has; for development",
    )
    return result


def main() -> None:
    """Run the daemon."""
    arguments = parser().parse_args()
    sys.exit(runtime.run(lambda config: _serve(config, arguments), arguments.config))


def _serve(config: Config, arguments: argparse.Namespace) -> None:
    settings = config.database
    db = Database(
        settings.path, durability=settings.durability, busy_timeout_s=settings.busy_timeout_s,
        slow_query_s=settings.slow_query_s,
    )  # fmt: skip
    schema.check(db)
    key = runtime.session_key(config)
    sockets = runtime.sockets(NAME, arguments.listen)
    agents = Fleet(arguments.agents, arguments.control, config.ports)
    checkpointer = Checkpointer(db, settings.path)
    try:
        plugin, loaded = _load_plugins(config)
        outside = Websockets(config.websocket.port, arguments.websockets)
        core = Core(db, config, key, plugin, loaded, agents, outside)
        run_to_its_end(_run(core, db, config, sockets, agents))
    finally:
        checkpointer.close()
        db.close()


def run_to_its_end(main: Coroutine[Any, Any, None]) -> None:
    """Run *main*, which looks after signals by itself, to its end, whatever is raised beside it.

    asyncio lets SystemExit and KeyboardInterrupt of any task or callback end its loop; those of plug-ins must not. Nor
    is the end waited for of what does not stop when it is told to, as asyncio's own runners do.
    """
    loop = uvloop.new_event_loop()
    _complete(loop, loop.create_task(main))
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        _complete(loop, loop.create_task(asyncio.wait(left, timeout=_GRACE_S)))
    loop.close()


def _complete(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    while not task.done():
        try:
            loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt) as exc:
            if not task.done():
                logging.getLogger(sd.LOGGER_NAME).error("a plug-in's own task wants to exit", exc_info=exc)
    task.result()


def _load_plugins(config: Config) -> tuple[Plugin, Sequence[Loaded]]:
    """Return what plug-ins bring and what became of each, which the journal is told too."""
    log = logging.getLogger(sd.LOGGER_NAME)
    loading = loader.load(Path(config.tools.plugins), config.tools.disabled)
    for plugin in loading.loaded:
        if plugin.state == "broken":
            log.warning("plug-in %s of %s is left out: %s", plugin.name, plugin.source, plugin.error)
            log.debug("what plug-in %s raised", plugin.name, exc_info=loading.faults[plugin.name])
        else:
            log.info("plug-in %s of %s %s", plugin.name, plugin.source, plugin.state)
    for name in set(config.tools.disabled) - {plugin.name for plugin in loading.loaded}:
        log.warning("tools.disabled names %s, but there is no plug-in of that name", name)
    return loading.plugin, loading.loaded


async def _run(core: Core, db: Database, config: Config, sockets: Sockets, agents: Fleet) -> None:
    stopped = runtime.stop_event()
    log = logging.getLogger(sd.LOGGER_NAME)
    requests = RequestLog(log, config.log.requests_per_s)

    def answer_turn(turn: Sequence[Connection]) -> None:
        now_us = time.time_ns() // 1000
        exchanges = [_exchange(c.request, c.caller) for c in turn if c.request is not None]
        answers = core.answer_turn(exchanges, now_us)
        for connection, exchange, answer in zip(turn, exchanges, answers, strict=True):
            connection.respond(answer.response)
            if not isinstance(answer.response, HttpLater):
                requests.answered(exchange, answer, now_us)

    def _exchange(http: HttpRequest, caller: Caller) -> Exchange:
        said = http.headers.get(headers.CALLER)
        return Exchange(http, caller if said is None else callers.on_behalf(caller, said))

    def refused(caller: Caller, error: Error) -> None:
        requests.refused(caller, error, time.time_ns() // 1000)

    is_open = config.access.loopback == "open"
    callers = Callers(config.access.admin_group, open_loopback=is_open, agent_users=agents.users)
    server = Server(config.server, callers, answer_turn, refused)
    core.jobs.wake = server.wake
    core.calls.finished = lambda finished: requests.finished(finished, time.time_ns() // 1000)
    ear = Ear(config.database.path, core)
    core.hub.attended = ear.attend
    await core.start()
    for sock in sockets.listen:
        await server.listen(sock)
    for sock in sockets.connections:
        await server.adopt(sock)
    notifier = sd.Notifier()
    notifier.forget_sockets(runtime.CONNECTION)
    names = ", ".join(runtime.address_of(sock) for sock in sockets.listen)
    kept = len(sockets.connections)
    log.info("mcpd-rpc %s started, listening on %s, took over %d connections", __version__, names, kept)
    notifier.ready(f"serving on {names}")
    watchdog = asyncio.create_task(runtime.feed_watchdog(notifier, db.probe))
    await stopped.wait()
    notifier.stopping()
    log.info("stopping, %d connections open", len(server.connections))
    await core.close()
    await server.drain(partial(notifier.store_socket, runtime.CONNECTION) if notifier.can_store() else None)
    watchdog.cancel()
    ear.attend(False)
    requests.flush()


class Ear:
    """Hears of what other processes commit, as long as there is somebody to be told."""

    def __init__(self, path: str, core: Core) -> None:
        self._path = path
        self._core = core
        self._bell: Doorbell | None = None
        self._log = logging.getLogger(sd.LOGGER_NAME)

    def attend(self, anybody: bool) -> None:
        """Listen if there is *anybody*; who comes first has not read what he missed yet, and must."""
        if self._bell is not None:
            self._bell.close()
            self._bell = None
        if anybody:
            asyncio.get_running_loop().call_soon(self._begin)

    def _begin(self) -> None:
        if self._bell is None and self._core.hub.has_listeners:
            self._bell = Doorbell(self._path, self._look, _PAUSE_S)

    def _look(self) -> bool:
        try:
            self._core.look()
        except StoreUnavailable as error:
            self._log.warning("events of others cannot be read: %s", error.message)
        return True


if __name__ == "__main__":
    main()
