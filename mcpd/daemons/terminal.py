"""One agent's terminal: its two units, what was seen on it, who looks at it, and the way to its ttyd."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from mcpd.agents.agent import Agent
from mcpd.config import Terminals as Settings
from mcpd.daemons.ledger import Ledger
from mcpd.daemons.observer import Observer
from mcpd.daemons.recorder import DAY_US, Recorder
from mcpd.errors import Unreachable
from mcpd.store import terminals
from mcpd.store.hooks import HookState
from mcpd.store.terminals import LiveState
from mcpd.terminals import pages, screen
from mcpd.terminals.accounts import usage
from mcpd.terminals.control import Drawing, Pane
from mcpd.terminals.gate import Kind
from mcpd.terminals.opening import Step, next_step
from mcpd.terminals.pages import Trouble
from mcpd.terminals.states import Hooked, Sight, State, Unit, decide
from mcpd.terminals.systemd import Systemd

_DIAL_STEP_S = 0.005  # ttyd does not tell when it listens
_REFUSED = (FileNotFoundError, ConnectionRefusedError, BlockingIOError)  # not yet, or too many at once


class NoTerminal(Exception):
    """There is no way to the terminal; *trouble* says why."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.reason)
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class Context:
    """What all terminals of a manager share."""

    settings: Settings
    systemd: Systemd
    ledger: Ledger
    log: logging.Logger
    run_directory: Path
    recordings: Path


def now_us() -> int:
    """Return the time in µs since the epoch."""
    return time.time_ns() // 1000


class Terminal:
    """The terminal of *agent*; ``users`` counts who is connected to it or waits to be."""

    def __init__(self, agent: Agent, context: Context, known: LiveState | None) -> None:
        self.agent = agent
        self.users = 0
        self.stopped = False
        self.units = {name: Unit(name) for name in (agent.unit, agent.ttyd_unit)}
        self._context = context
        self._saved = known
        self._live = known or LiveState(agent.name, State.ABSENT, now_us())
        self._sight = Sight(self.units[agent.unit])
        self._screen: tuple[str, ...] = ()
        self._observer: Observer | None = None
        self._seen = asyncio.Event()
        self._starting: asyncio.Task[None] | None = None
        self._came_up = asyncio.Event()
        self._again: asyncio.TimerHandle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._stopping: asyncio.Task[str] | None = None
        self._recorder = self._make_recorder()

    def _make_recorder(self) -> Recorder | None:
        if not self.agent.record:
            return None
        settings = self._context.settings
        max_age_us = settings.recording_max_age_days * DAY_US
        folder, name, title = self._context.recordings, self.agent.name, self.agent.title
        return Recorder(folder, name, title, settings.recording_max_bytes, max_age_us)

    @property
    def unit(self) -> Unit:
        """The agent's own unit."""
        return self.units[self.agent.unit]

    @property
    def state(self) -> State:
        """What the agent does."""
        return State(self._live.state)

    @property
    def screen(self) -> str:
        """The last text seen on the screen."""
        return "\n".join(self._screen).rstrip()

    @property
    def records(self) -> bool:
        """Whether the terminal is recorded."""
        return self._recorder is not None

    @property
    def is_quiet(self) -> bool:
        """Whether nothing runs here and nobody waits."""
        return not self.users and not any(unit.is_up for unit in self.units.values())

    def require_thawed(self) -> None:
        """Raise ``NoTerminal`` if the agent is frozen."""
        if self.unit.is_frozen:
            raise NoTerminal(pages.frozen(self.agent.name))

    async def look(self) -> None:
        """Ask systemd for the state of both units."""
        for unit in await asyncio.gather(*map(self._context.systemd.unit, self.units)):
            self.unit_changed(unit)

    def unit_changed(self, unit: Unit) -> None:
        """Take note of *unit*'s new state."""
        before, self.units[unit.name] = self.units[unit.name], unit
        if unit.name != self.agent.unit:
            return
        if unit.is_up and not unit.is_frozen:
            self._came_up.set()
        else:
            self._came_up.clear()
        if unit.is_up:
            self.stopped = False
        else:
            self.stopped = self.stopped or (before.is_up and unit.active == "inactive")
        if unit.pid != before.pid and unit.is_up:
            self._sight = Sight(unit, hooked=self._sight.hooked)
        self._sight = replace(self._sight, unit=unit)
        self.refresh()

    def watch_began(self, observer: Observer) -> None:
        """Hear of the pane from *observer* from now on."""
        if self._observer is not None:
            self._observer.close()
        self._observer = observer
        self._seen.clear()

    def watch_ended(self, observer: Observer) -> None:
        """Note that *observer* is gone; its unit connects again."""
        if self._observer is observer:
            self._observer = None
            self._seen.clear()
        if self._recorder is not None:
            self._recorder.close()

    async def observer(self, timeout_s: float) -> Observer | None:
        """Return who watches, once it knows the pane; None if it does not within *timeout_s*."""
        try:
            await asyncio.wait_for(self._seen.wait(), timeout_s)
        except TimeoutError:
            return None
        return self._observer

    def pane_changed(self, pane: Pane) -> None:
        """Take note of what is new about the pane, of which output is one thing."""
        self._seen.set()
        self._sight = replace(self._sight, pane_dead=pane.dead, dead_status=pane.dead_status, output_us=now_us())
        if self._recorder is not None:
            self._recorder.resized(pane.width, pane.height, now_us())
        self.refresh()

    def screen_read(self, lines: tuple[str, ...]) -> None:
        """Take note of what is on the screen."""
        self._screen = lines
        self._sight = replace(self._sight, seen=True, on_screen=screen.read(lines))
        self.refresh()

    def hooked(self, state: HookState) -> None:
        """Take note of what the agent's hooks said last."""
        known = None if state.state == "ended" else Hooked(State(state.state), state.updated_us)
        if known != self._sight.hooked:
            self._sight = replace(self._sight, hooked=known)
            self.refresh()

    def recording_began(self, shown: Drawing) -> None:
        """Record from now on, beginning with what is *shown*."""
        if self._recorder is not None:
            self._recorder.began(shown, now_us())

    def printed(self, data: bytes) -> bool:
        """Record what the pane printed; say whether a recording should begin."""
        return self._recorder is not None and self._recorder.printed(data, now_us())

    def sample(self) -> None:
        """Read what the agent consumed, and keep it if it is new."""
        if self._recorder is not None:
            self._recorder.flush()
        if not self.unit.is_up:
            return
        found = usage(self.unit.cgroup)
        self._live = replace(
            self._live,
            pid=self.unit.pid,
            cpu_us=found.cpu_us,
            memory_bytes=found.memory_bytes,
            tasks=found.tasks,
            io_read_bytes=found.io_read_bytes,
            io_write_bytes=found.io_write_bytes,
            last_line=screen.last_line(self._screen),
        )
        self._save()

    def refresh(self) -> None:
        """Decide anew what the agent does; keep it when it changed."""
        at_us = now_us()
        verdict = decide(self._sight, at_us, int(self._context.settings.stalled_after_s * 1e6))
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if verdict.again_us is not None:
            delay_s = max((verdict.again_us - at_us) / 1e6, 0.05)
            self._again = asyncio.get_running_loop().call_later(delay_s, self.refresh)
        if (verdict.state, verdict.exit_status) == (self._live.state, self._live.exit_status):
            return
        changed = replace(self._live, state=verdict.state, exit_status=verdict.exit_status, since_us=at_us)
        self._live = replace(changed, pid=self.unit.pid, last_line=screen.last_line(self._screen))
        self._context.log.debug("%s is %s", self.agent.name, verdict.state)
        self._save()

    def _save(self) -> None:
        if self._live != self._saved:
            live = self._saved = self._live
            at_us = now_us()
            self._context.ledger.add(lambda db: terminals.save(db, live, at_us))

    async def reach(self, kind: Kind, end: Callable[[], asyncio.BaseProtocol]) -> asyncio.Transport:
        """Return a connection of *end* to ttyd, after starting what is missing; raises ``NoTerminal``."""
        loop = asyncio.get_running_loop()
        limit_s = loop.time() + self._context.settings.start_timeout_s
        while True:
            step = next_step(kind, self.unit, self.units[self.agent.ttyd_unit], stopped=self.stopped)
            if step is Step.CONNECT:
                try:
                    transport, _ = await loop.create_unix_connection(end, str(self._ttyd_socket()))
                    return transport
                except OSError as exc:
                    if loop.time() > limit_s or not isinstance(exc, _REFUSED):
                        raise NoTerminal(pages.no_answer(self.agent.ttyd_unit, exc.strerror or str(exc))) from exc
                await asyncio.sleep(_DIAL_STEP_S)
            elif step is Step.START:
                await self.start()
            elif step is Step.WAIT:
                await self._wait()
            else:
                raise NoTerminal(self._nothing())

    def _ttyd_socket(self) -> Path:
        return self._context.run_directory / self.agent.name / "ttyd.sock"

    async def _wait(self) -> None:
        try:
            await asyncio.wait_for(self._came_up.wait(), self._context.settings.hold_s)
        except TimeoutError:
            raise NoTerminal(self._nothing()) from None

    def _nothing(self) -> Trouble:
        return (pages.frozen if self.unit.is_frozen else pages.stopped)(self.agent.name)

    async def start(self) -> None:
        """Have both units started; who comes meanwhile waits for the same start. Raises ``NoTerminal``."""
        if self._starting is None or self._starting.done():
            self._starting = asyncio.create_task(self._start_units())
        await asyncio.shield(self._starting)

    async def _start_units(self) -> None:
        if self._stopping is not None:
            await asyncio.gather(self._stopping, return_exceptions=True)
        systemd, timeout_s = self._context.systemd, self._context.settings.start_timeout_s
        try:
            await self.look()  # a signal may still be under way
            for name in self.units:
                if self.units[name].active == "active":
                    continue
                job = await systemd.start(name, timeout_s)
                self.unit_changed(await systemd.unit(name))
                if job != "done" or self.units[name].active != "active":
                    raise NoTerminal(pages.not_started(self.agent, self.units[name], job))
        except Unreachable as error:
            raise NoTerminal(pages.no_systemd(error.message)) from error

    async def control(self, member: str, timeout_s: float) -> None:
        """Start, stop or restart the agent by *member* of systemd's manager; raises ``NoTerminal``, ``Unreachable``.

        One that is frozen is thawed first, or systemd would refuse. One that was stopped has not failed, even if it
        had to be killed.
        """
        systemd = self._context.systemd
        if (await systemd.unit(self.agent.unit)).is_frozen:
            await systemd.thaw(self.agent.unit)
        job = await systemd.job(member, self.agent.unit, timeout_s)
        unit = await systemd.unit(self.agent.unit)
        if member == "StopUnit" and unit.active == "failed":
            await systemd.forget_failure(self.agent.unit)
            unit = await systemd.unit(self.agent.unit)
        self.unit_changed(unit)
        if member == "StopUnit" and (job != "done" or unit.is_up):
            raise NoTerminal(pages.not_stopped(unit, job))
        if member != "StopUnit" and (job != "done" or not unit.is_up):
            raise NoTerminal(pages.not_started(self.agent, unit, job))

    def enter(self) -> None:
        """Count one more who is connected or waits."""
        self.users += 1
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def leave(self) -> None:
        """Count one less; ttyd stops a while after the last."""
        self.users -= 1
        if self.users == 0:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(self._context.settings.idle_stop_s, self._stop_ttyd)

    def _stop_ttyd(self) -> None:
        self._idle = None
        if self.units[self.agent.ttyd_unit].is_up:
            self._stopping = asyncio.create_task(self._context.systemd.stop(self.agent.ttyd_unit, 10.0))
            self._stopping.add_done_callback(self._stopped_ttyd)

    def _stopped_ttyd(self, task: asyncio.Task[str]) -> None:
        self._stopping = None
        if not task.cancelled() and task.exception() is not None:
            self._context.log.warning("%s could not be stopped: %s", self.agent.ttyd_unit, task.exception())

    @property
    def attaching(self) -> bool:
        """Whether a watch has begun whose client is not attached yet."""
        return self._observer is not None and not self._observer.attached

    def close(self) -> None:
        """Stop watching; the manager stops."""
        for timer in (self._again, self._idle):
            if timer is not None:
                timer.cancel()
        if self._observer is not None:
            self._observer.close()
        if self._recorder is not None:
            self._recorder.close()
