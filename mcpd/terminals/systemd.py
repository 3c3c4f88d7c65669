"""systemd as the manager needs it: start and stop a unit, and hear of every change (org.freedesktop.systemd1(5)).

polkit decides which units the caller may start. Signals tell of changes, so nothing is asked twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusError

from mcpd.errors import Unreachable
from mcpd.terminals.states import Unit

NAME = "org.freedesktop.systemd1"
_PATH = "/org/freedesktop/systemd1"
_MANAGER = f"{NAME}.Manager"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_DAEMON = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
_CALL_TIMEOUT_S = 10.0
_TOLD = frozenset({"ActiveState", "FreezerState"})

Changed = Callable[[Unit], None]


def unit_path(unit: str) -> str:
    """Return the object path of *unit*: everything but letters and digits as ``_`` and two hexadecimal digits."""
    escaped = "".join(c if c.isascii() and c.isalnum() else "".join(f"_{b:02x}" for b in c.encode()) for c in unit)
    return f"{_PATH}/unit/{escaped}"


class Systemd:
    """A connection to PID 1 over the system bus; *changed* hears of each watched unit whenever its state changes."""

    def __init__(self, changed: Changed) -> None:
        self._changed = changed
        self._bus: MessageBus
        self._watched: dict[str, str] = {}
        self._jobs: dict[str, asyncio.Future[str]] = {}
        self._finished: dict[str, str] = {}  # jobs that ended before we learned their name
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self, units: Iterable[str]) -> None:
        """Connect and watch *units*; raises ``Unreachable``."""
        self._watched = {unit_path(unit): unit for unit in units}
        try:
            self._bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
            self._bus.add_message_handler(self._heard)
            await self._match(f"interface='{_MANAGER}',member='JobRemoved'")
            for path in self._watched:
                await self._match(f"interface='{_PROPERTIES}',member='PropertiesChanged',path='{path}'")
            await self._call(_PATH, _MANAGER, "Subscribe")
        except (OSError, DBusError, EOFError, TimeoutError) as exc:
            raise Unreachable(f"the system bus cannot be used: {exc}") from exc

    async def disconnected(self) -> None:
        """Return when the bus is gone."""
        await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Leave the bus."""
        self._bus.disconnect()

    async def _match(self, rule: str) -> None:
        destination, path, interface = _DAEMON
        full = f"type='signal',sender='{NAME}',{rule}"
        await self._call(path, interface, "AddMatch", "s", [full], destination=destination)

    async def _call(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: list[Any] | None = None,
        destination: str = NAME,
    ) -> list[Any]:
        message = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=body or [],
        )
        try:
            reply = await asyncio.wait_for(self._bus.call(message), _CALL_TIMEOUT_S)
        except (OSError, EOFError, TimeoutError) as exc:
            raise Unreachable(f"systemd does not answer {member}: {exc or type(exc).__name__}") from exc
        if reply is None:
            return []
        if reply.message_type is MessageType.ERROR:
            raise Unreachable(f"systemd refused {member}: {reply.body[0] if reply.body else reply.error_name}")
        body = reply.body
        return list(body)

    async def start(self, unit: str, timeout_s: float) -> str:
        """Start *unit* and all it needs; return and raise as ``job`` does."""
        return await self.job("StartUnit", unit, timeout_s)

    async def stop(self, unit: str, timeout_s: float) -> str:
        """Stop *unit*; return and raise as ``job`` does."""
        return await self.job("StopUnit", unit, timeout_s)

    async def job(self, member: str, unit: str, timeout_s: float) -> str:
        """Do *member* (StartUnit, StopUnit, RestartUnit) with *unit*.

        Return how the job ended: done, failed, dependency, assert, timeout … Raises ``Unreachable`` when systemd does
        not take the job.
        """
        (job,) = await self._call(_PATH, _MANAGER, member, "ss", [unit, "replace"])
        if job in self._finished:
            return self._finished.pop(job)
        # Two calls for one unit may be given the same job.
        future = self._jobs.setdefault(job, asyncio.get_running_loop().create_future())
        try:
            return await asyncio.wait_for(asyncio.shield(future), timeout_s)
        except TimeoutError:
            return "timeout"
        finally:
            self._jobs.pop(job, None)

    async def thaw(self, unit: str) -> None:
        """Let the processes of *unit*, which is frozen, go on; raises ``Unreachable``."""
        await self._call(_PATH, _MANAGER, "ThawUnit", "s", [unit])

    async def forget_failure(self, unit: str) -> None:
        """Have *unit*, which failed, count as stopped; raises ``Unreachable``."""
        await self._call(_PATH, _MANAGER, "ResetFailedUnit", "s", [unit])

    async def unit(self, name: str) -> Unit:
        """Return the state of *name*, which is loaded for it; raises ``Unreachable``."""
        path = unit_path(name)
        general = await self._get_all(path, f"{NAME}.Unit")
        own = await self._get_all(path, f"{NAME}.Service") if name.endswith(".service") else {}
        pid, started = own.get("MainPID", 0), own.get("ExecMainStartTimestampMonotonic", 0)
        return Unit(
            name,
            active=general.get("ActiveState", "inactive"),
            load=general.get("LoadState", "not-found"),
            result=own.get("Result", "success"),
            pid=pid or None,
            exit_status=own.get("ExecMainStatus") if started and not pid else None,
            cgroup=own.get("ControlGroup", ""),
            started_us=own.get("ExecMainStartTimestamp", 0),
            # Also frozen-by-parent, and on the way there.
            is_frozen=general.get("FreezerState", "running").startswith(("freez", "froz")),
        )

    async def booted_us(self) -> int:
        """Return when this system booted, in µs since the epoch."""
        (found,) = await self._call(_PATH, _PROPERTIES, "Get", "ss", [_MANAGER, "UserspaceTimestamp"])
        return int(found.value)

    async def _get_all(self, path: str, interface: str) -> dict[str, Any]:
        (found,) = await self._call(path, _PROPERTIES, "GetAll", "s", [interface])
        return {name: variant.value for name, variant in found.items()}

    def _heard(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.member == "JobRemoved":
            self._job_ended(message.body[1], message.body[3])
        elif message.member == "PropertiesChanged" and message.body[0] == f"{NAME}.Unit":
            unit = self._watched.get(message.path or "")
            if unit is not None and not _TOLD.isdisjoint(message.body[1]):
                self._look(unit)

    def _job_ended(self, job: str, result: str) -> None:
        future = self._jobs.pop(job, None)
        if future is None:
            self._finished[job] = result
            while len(self._finished) > 64:
                self._finished.pop(next(iter(self._finished)))
        elif not future.done():
            future.set_result(result)

    def _look(self, unit: str) -> None:
        task = asyncio.create_task(self._tell(unit))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, name: str) -> None:
        try:
            unit = await self.unit(name)
        except Unreachable:
            return  # the bus is gone; who waits for that hears of it
        self._changed(unit)
