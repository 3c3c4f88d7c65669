"""mcpd-ttyd-manager: the front door of the agents' terminals, and the eye on them."""

from __future__ import annotations

import argparse
import asyncio
import logging
import secrets
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from mcpd import __version__, sd
from mcpd.access.callers import Caller, Callers
from mcpd.access.origins import OriginGuard
from mcpd.agents import files
from mcpd.agents.agent import RUNTIME_DIRECTORY
from mcpd.agents.files import Agents
from mcpd.config import Config
from mcpd.daemons import recorder, relay, runtime
from mcpd.daemons.commander import Commander
from mcpd.daemons.ledger import Ledger
from mcpd.daemons.observer import Observer
from mcpd.daemons.relay import Front, Relay
from mcpd.daemons.terminal import Context, NoTerminal, Terminal, now_us
from mcpd.errors import ConfigError, Error, Unreachable
from mcpd.protocol.head import Head
from mcpd.protocol.http import HttpResponse
from mcpd.store import hooks, schema, terminals
from mcpd.store.database import Database
from mcpd.store.terminals import LiveState, Viewer
from mcpd.terminals import gate, pages
from mcpd.terminals.gate import Kind, Knock
from mcpd.terminals.states import Unit
from mcpd.terminals.systemd import Systemd

NAME = "mcpd-ttyd-manager"
_ATTACH_S = 1.0
WATCH = "mcpd.watch"
"""The name of the socket that the agents' watch units connect to; no agent's has a dot."""
CONTROL = "mcpd.control"
"""The name of the socket on which mcpd-rpc gives orders."""
RUN_DIRECTORY = Path("/run/mcpd/ttyd")
_BACKLOG = 4096
_DRAIN_STEP_S = 0.005
_LOGGED_PER_S = 20


def parser() -> argparse.ArgumentParser:
    """Return the command line of mcpd-ttyd-manager."""
    result = runtime.parser(NAME, "Serve the terminals of agents.")
    result.add_argument(
        "--agents", metavar="DIRECTORY", type=Path, action="append", help="read agents here instead; for development"
    )
    result.add_argument(
        "--run-directory", metavar="DIRECTORY", type=Path, default=RUN_DIRECTORY, help="where ttyd listens"
    )
    result.add_argument(
        "--lock-directory", metavar="DIRECTORY", type=Path, default=RUNTIME_DIRECTORY, help="lock terminals here"
    )
    return result


def main() -> None:
    """Run the daemon."""
    arguments = parser().parse_args()
    sys.exit(runtime.run(lambda config: _serve(config, arguments), arguments.config))


@dataclass(frozen=True, slots=True)
class Passed:
    """What systemd passed: the agents' sockets by name, those to watch and to command, our predecessor's relays."""

    agents: list[tuple[str, socket.socket]]
    watch: list[socket.socket]
    control: list[socket.socket]
    kept: list[tuple[str, socket.socket]]


def passed_sockets() -> Passed:
    """Take the sockets over; raises ``ConfigError`` when there are none."""
    found = Passed([], [], [], [])
    for name, sock in sd.listen_sockets():
        sock.setblocking(False)
        if name == WATCH:
            found.watch.append(sock)
        elif name == CONTROL:
            found.control.append(sock)
        elif name.startswith(f"{relay.KEPT}."):
            found.kept.append((name, sock))
        else:
            found.agents.append((name, sock))
    if not (found.agents or found.watch or found.control):
        raise ConfigError(f"no sockets: {NAME} is started by the sockets of the terminals")
    return found


def _serve(config: Config, arguments: argparse.Namespace) -> None:
    settings = config.database
    db = Database(settings.path, durability=settings.durability, busy_timeout_s=settings.busy_timeout_s)
    schema.check(db)
    agents = files.load(arguments.agents or files.DIRECTORIES)
    try:
        uvloop.run(_run(config, db, agents, passed_sockets(), arguments))
    finally:
        db.close()


async def _run(config: Config, db: Database, agents: Agents, passed: Passed, arguments: argparse.Namespace) -> None:
    log = logging.getLogger(sd.LOGGER_NAME)
    for fault in agents.faults:
        log.warning("%s", fault)
    stopped = runtime.stop_event()
    notifier = sd.Notifier()
    ledger = Ledger(db, log)
    manager = Manager(config, agents, ledger, arguments.run_directory, arguments.lock_directory)
    known, rows = {live.agent: live for live in terminals.states(db)}, terminals.viewers(db)
    await manager.start(known)
    await manager.adopt(passed.kept, rows, notifier)
    await manager.listen(passed)
    names = {name for name, _ in passed.agents}
    log.info("%s %s started: %d terminals, took over %d viewers", NAME, __version__, len(names),
             len(manager.relays))  # fmt: skip
    notifier.ready(f"{len(names)} terminals")
    tasks = [
        asyncio.create_task(runtime.feed_watchdog(notifier, lambda: None)),
        asyncio.create_task(manager.keep_sampling(stopped)),
        asyncio.create_task(manager.end_with_the_bus(stopped)),
    ]
    await stopped.wait()
    notifier.stopping()
    await manager.drain(notifier)
    for task in tasks:
        task.cancel()
    await ledger.close()
    if manager.lost_bus:
        raise Unreachable("the system bus went away")


class Manager:
    """The door to all terminals: judges knocks, opens, and keeps count (``relay.Door``)."""

    def __init__(
        self, config: Config, agents: Agents, ledger: Ledger, run_directory: Path, lock_directory: Path
    ) -> None:
        self.header_timeout_s = config.server.header_timeout_s
        self.max_header_bytes = config.server.max_header_bytes
        self.relays: set[Relay] = set()
        self.lost_bus = False
        self._config = config
        self._agents = agents
        self._ledger = ledger
        self._log = logging.getLogger(sd.LOGGER_NAME)
        self._guard = OriginGuard(config.server.allowed_hosts, config.server.allowed_origins)
        self._callers = Callers(config.access.admin_group, open_loopback=config.access.loopback == "open")
        self._systemd = Systemd(self._unit_changed)
        recordings = Path(config.database.path).with_name(recorder.FOLDER)
        self._context = Context(config.terminals, self._systemd, ledger, self._log, run_directory, recordings)
        self._terminals: dict[str, Terminal] = {}
        self._by_unit: dict[str, Terminal] = {}
        self._commander = Commander(self._find, lock_directory)
        self._fronts: set[Front] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listeners: list[asyncio.Server] = []
        self._logged = (0, 0)

    async def start(self, known: dict[str, LiveState]) -> None:
        """Connect to systemd and learn what runs; *known* is what was last said of each agent."""
        for name, agent in self._agents.agents.items():
            terminal = self._terminals[name] = Terminal(agent, self._context, known.get(name))
            self._by_unit |= dict.fromkeys(terminal.units, terminal)
        await self._systemd.connect(self._by_unit)
        booted_us = await self._systemd.booted_us()
        for name, live in known.items():
            if name in self._terminals:
                self._terminals[name].stopped = live.state == "absent" and live.since_us > booted_us
        await asyncio.gather(*(terminal.look() for terminal in self._terminals.values()))

    async def adopt(self, kept: list[tuple[str, socket.socket]], rows: Sequence[Viewer], notifier: sd.Notifier) -> None:
        """Go on with the relays that our predecessor left; note that the other viewers it knew (*rows*) are gone."""
        whole = relay.pairs(kept)
        for name, _ in kept:
            notifier.forget_sockets(name)
        for viewer in rows:
            ends = whole.pop(viewer.id, None)
            if ends is None or viewer.agent not in self._terminals:
                self._note_closed(viewer)
                continue
            adopted = Relay(self, viewer.agent, viewer)
            self.relays.add(adopted)
            self._terminals[viewer.agent].enter()
            await adopted.adopt(*ends)
        for ends in whole.values():
            for sock in ends:
                sock.close()

    async def listen(self, passed: Passed) -> None:
        """Serve the agents' ports, the watch socket and the control socket."""
        loop = asyncio.get_running_loop()
        for name, sock in passed.agents:
            server = await loop.create_server(lambda name=name: Front(self, name), sock=sock, backlog=_BACKLOG)  # type: ignore[misc]
            self._listeners.append(server)
        for sock in passed.watch:
            # Not create_unix_server: that would remove the file, which is systemd's, when it closes.
            self._listeners.append(await loop.create_server(lambda: Observer(self._find), sock=sock))
        for sock in passed.control:
            self._listeners.append(await self._commander.listen(sock))

    def _find(self, name: str) -> Terminal | None:
        return self._terminals.get(name)

    def _unit_changed(self, unit: Unit) -> None:
        self._by_unit[unit.name].unit_changed(unit)

    def identify(self, front: Front) -> Caller:
        """Return who connected; raises ``Error`` when there are too many."""
        self._fronts.add(front)
        if len(self._fronts) + len(self.relays) > self._config.server.max_connections:
            raise Error("too many connections; try again later", http_status=503)
        return self._callers.identify(front.transport.get_extra_info("socket"))

    def admit(self, front: Front, head: Head) -> Knock:
        """Return what the request wants; raises ``Error``."""
        return gate.admit(head, self._guard, front.caller)

    def open(self, front: Front, knock: Knock, early: bytes) -> None:
        """Bring *front* to a ttyd or give it a page, in time."""
        task = asyncio.create_task(self._open(front, knock, early))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self, front: Front, knock: Knock, early: bytes) -> None:
        terminal = self._terminals.get(front.agent)
        if terminal is None:
            self._apologise(front, knock, pages.no_agent(front.agent), "")
            return
        viewer = None
        if knock.kind is Kind.TERMINAL:
            viewer = Viewer(secrets.token_hex(8), front.agent, front.caller.name, now_us())
        opened = Relay(self, front.agent, viewer)
        terminal.enter()
        try:
            await terminal.reach(knock.kind, lambda: opened.back)
        except NoTerminal as exc:
            self._log.warning("no terminal for %s at %s: %s", front.caller.name, front.agent, exc.trouble.reason)
            self._apologise(front, knock, exc.trouble, terminal.screen)
            terminal.leave()
            return
        if front.gone or opened.broken:
            self._apologise(front, knock, pages.no_answer(terminal.agent.ttyd_unit, "it closed the connection"), "")
            opened.back.transport.abort()
            terminal.leave()
            return
        self._fronts.discard(front)
        self.relays.add(opened)
        opened.begin(front, knock.head, early)
        if viewer is not None:
            self._note_opened(viewer)

    def _apologise(self, front: Front, knock: Knock, trouble: pages.Trouble, screen: str) -> None:
        faults = [str(fault) for fault in self._agents.faults if fault.file.stem == front.agent]
        body = pages.render(front.agent, trouble, "\n".join(faults) or screen)
        front.answer(relay.page(trouble.status, body), body=not knock.is_head)

    def refused(self, front: Front, error: Error) -> HttpResponse:
        """Return the answer to a request that was not admitted."""
        second = now_us() // 1_000_000
        self._logged = (second, self._logged[1] + 1 if self._logged[0] == second else 1)
        if self._logged[1] <= _LOGGED_PER_S:  # a page that tries again and again must not fill the journal
            who = front.caller.name if hasattr(front, "caller") else "somebody"
            fields = {"MCPD_CALLER": who, "MCPD_AGENT": front.agent, "MCPD_STATUS": str(error.http_status)}
            text = "refused %s at %s: %d %s"
            self._log.warning(text, who, front.agent, error.http_status, error.message, extra=fields)
        body = pages.render(front.agent, pages.Trouble(error.http_status, f"{error.message}."))
        return relay.page(error.http_status, body)

    def lost(self, front: Front) -> None:
        """*front* went before it was connected."""
        self._fronts.discard(front)

    def ended(self, ended: Relay) -> None:
        """Both ends of *ended* are gone."""
        self.relays.discard(ended)
        self._terminals[ended.agent].leave()
        if ended.viewer is not None and not ended.kept:
            self._note_closed(ended.viewer)

    def _note_opened(self, viewer: Viewer) -> None:
        fields = {"MCPD_CALLER": viewer.caller, "MCPD_AGENT": viewer.agent}
        self._log.info("%s opened the terminal of %s", viewer.caller, viewer.agent, extra=fields)
        self._ledger.add(lambda db: terminals.opened(db, viewer))

    def _note_closed(self, viewer: Viewer) -> None:
        at_us = now_us()
        fields = {"MCPD_CALLER": viewer.caller, "MCPD_AGENT": viewer.agent}
        text = "%s closed the terminal of %s after %d s"
        self._log.info(text, viewer.caller, viewer.agent, (at_us - viewer.opened_us) // 1_000_000, extra=fields)
        self._ledger.add(lambda db: terminals.closed(db, viewer, at_us))

    async def keep_sampling(self, stopped: asyncio.Event) -> None:
        """Read again and again what agents consume and hooks say; end the daemon once nothing runs for a while."""
        loop = asyncio.get_running_loop()
        busy_s = loop.time()
        while True:
            await asyncio.sleep(self._config.terminals.sample_interval_s)
            for terminal in self._terminals.values():
                terminal.sample()
            for state in await self._ledger.read(hooks.states) or ():
                if state.agent in self._terminals:
                    self._terminals[state.agent].hooked(state)
            if self._fronts or not all(terminal.is_quiet for terminal in self._terminals.values()):
                busy_s = loop.time()
            elif loop.time() - busy_s > self._config.terminals.idle_stop_s:
                self._log.info("nothing runs and nobody looks: the next connection starts %s again", NAME)
                stopped.set()

    async def end_with_the_bus(self, stopped: asyncio.Event) -> None:
        """End the daemon when systemd cannot be heard any more; it is then started again."""
        await self._systemd.disconnected()
        self.lost_bus = not stopped.is_set()
        stopped.set()

    async def drain(self, notifier: sd.Notifier) -> None:
        """Stop accepting, finish what is short, and hand the open terminals over to the next start."""
        for listener in self._listeners:
            listener.close()
        await self._attached()
        for task in list(self._tasks):
            task.cancel()
        self._commander.close()
        for terminal in self._terminals.values():
            terminal.close()
        if notifier.can_store():
            await self._hand_over(notifier)
        ends: list[Relay | Front] = [*self.relays, *self._fronts]
        for end in ends:
            end.abort()
        await asyncio.sleep(0)
        self._systemd.close()

    async def _attached(self) -> None:
        """Let watches that have just begun get so far that they can be ended.

        A tmux client whose connection ends within its first two milliseconds or so never notices, and stays for good.
        """
        loop = asyncio.get_running_loop()
        limit_s = loop.time() + _ATTACH_S
        while any(terminal.attaching for terminal in self._terminals.values()) and loop.time() < limit_s:  # noqa: ASYNC110
            await asyncio.sleep(_DRAIN_STEP_S)

    async def _hand_over(self, notifier: sd.Notifier) -> None:
        loop = asyncio.get_running_loop()
        limit_s = loop.time() + self._config.server.drain_timeout_s
        for left in self.relays:
            left.pause()
        while self.relays and loop.time() < limit_s:
            for left in list(self.relays):
                left.hand_over(notifier.store_socket)
            await asyncio.sleep(_DRAIN_STEP_S)


if __name__ == "__main__":
    main()
