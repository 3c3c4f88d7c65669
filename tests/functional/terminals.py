"""A real mcpd-ttyd-manager on a machine without systemd: real tmux and ttyd, and a real bus with a stand-in for PID 1.

The stand-in starts what the units would start and says so as systemd does; nothing else of the way is replaced.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from mcpd.terminals.systemd import NAME, unit_path
from tests.functional.daemon import TIMEOUT_S, Daemon

TTYD = os.environ.get("MCPD_TTYD") or shutil.which("ttyd") or ""
_CGROUPS = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
_BUS = """<busconfig><type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/></policy>
</busconfig>"""


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = TIMEOUT_S) -> Any:
    """Wait until *condition* is true and return its value; the test fails after *timeout_s*."""
    deadline_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline_s, f"{what} within {timeout_s} s"
        time.sleep(0.02)
    return value


@dataclass
class FakeUnit:
    """A unit of the stand-in: its processes and what systemd would say of it."""

    start: Callable[[], list[subprocess.Popen[bytes]]]
    active: str = "inactive"
    result: str = "success"
    status: int = 0
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def properties(self) -> dict[str, Variant]:
        pid = self.processes[0].pid if self.processes and self.active == "active" else 0
        return {
            "ActiveState": Variant("s", self.active),
            "LoadState": Variant("s", "loaded"),
            "Result": Variant("s", self.result),
            "MainPID": Variant("u", pid),
            "ExecMainStatus": Variant("i", self.status),
            "ExecMainStartTimestampMonotonic": Variant("t", 1 if self.processes or self.status else 0),
            "ControlGroup": Variant("s", ""),
        }


class FakeSystemd:
    """org.freedesktop.systemd1 on a private bus at *address*, in a thread of its own."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.units: dict[str, FakeUnit] = {}
        self.calls: list[tuple[str, str]] = []
        self.refuses: dict[str, str] = {}  # unit → how its start job shall end
        self._jobs = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(TIMEOUT_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.run_forever()

    async def _serve(self) -> None:
        self._bus = await MessageBus(bus_address=self._address, bus_type=BusType.SYSTEM).connect()
        self._bus.add_message_handler(self._answer)
        await self._bus.request_name(NAME)
        self._ready.set()

    def _answer(self, message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        if message.member in ("StartUnit", "StopUnit", "RestartUnit"):
            return self._job(message)
        if message.member == "GetAll":
            unit = next((unit for name, unit in self.units.items() if unit_path(name) == message.path), None)
            return Message.new_method_return(message, "a{sv}", [unit.properties() if unit else {}])
        if message.member == "Get":
            return Message.new_method_return(message, "v", [Variant("t", 1)])
        if message.member == "Subscribe":
            return Message.new_method_return(message)
        return None

    def _job(self, message: Message) -> Message:
        name, self._jobs = message.body[0], self._jobs + 1
        member = str(message.member)
        self.calls.append((member, name))
        job = f"/org/freedesktop/systemd1/job/{self._jobs}"
        self._loop.call_soon(self._carry_out, member, name, job)
        return Message.new_method_return(message, "o", [job])

    def _carry_out(self, member: str, name: str, job: str) -> None:
        result = "done" if member == "StopUnit" else self.refuses.get(name, "done")
        if member in ("StopUnit", "RestartUnit"):
            self.end(name)
        if member == "StopUnit":
            pass
        elif result == "done" and self.units[name].active != "active":
            self.units[name].processes = self.units[name].start()
            self.change(name, "active")
        elif result == "failed":
            self.units[name].status, self.units[name].processes = 3, []
            self.change(name, "failed", "exit-code")
        body = [self._jobs, job, name, result]
        self._signal("/org/freedesktop/systemd1", f"{NAME}.Manager", "JobRemoved", "uoss", body)

    def change(self, name: str, active: str, result: str = "success") -> None:
        """Say that *name* is in another state now."""
        self.units[name].active, self.units[name].result = active, result
        body = [f"{NAME}.Unit", {"ActiveState": Variant("s", active)}, []]
        interface = "org.freedesktop.DBus.Properties"
        self._loop.call_soon_threadsafe(self._signal, unit_path(name), interface, "PropertiesChanged", "sa{sv}as", body)

    def _signal(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        self._bus.send(Message.new_signal(path, interface, member, signature, body))

    def end(self, name: str, active: str = "inactive") -> None:
        """End the processes of *name*, as ``systemctl stop`` does."""
        for process in self.units[name].processes:
            process.kill()
            process.wait()
        self.change(name, active)

    def close(self) -> None:
        """End everything."""
        for unit in self.units.values():
            for process in unit.processes:
                process.kill()
                process.wait()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(TIMEOUT_S)


class Terminals(Daemon):
    """One manager with its agents; ``ports`` are theirs by name."""

    def __init__(self, directory: Path, names: tuple[str, ...] = ("alpha",), settings: str = "") -> None:
        super().__init__(directory, settings, {"FDSTORE": "64"})
        self._groups: list[Path] = []
        self.run = Path(self._runtime.name)
        self.agents = directory / "agents"
        self.agents.mkdir()
        self._sockets = {name: socket.create_server(("127.0.0.1", 0), backlog=4096) for name in names}
        self.ports = {name: sock.getsockname()[1] for name, sock in self._sockets.items()}
        self._watch = socket.socket(socket.AF_UNIX)
        self._watch.bind(f"{self.run}/watch.sock")
        self._watch.listen(64)
        self.control = self.run / "control.sock"
        self._control = socket.socket(socket.AF_UNIX)
        self._control.bind(str(self.control))
        self._control.listen(64)
        self.states = self.run / "states.sock"
        self._states = socket.socket(socket.AF_UNIX)
        self._states.bind(str(self.states))
        self._states.listen(64)
        self._bus = self._start_bus()
        self.systemd = FakeSystemd(self.environment["DBUS_SYSTEM_BUS_ADDRESS"])
        for number, name in enumerate(names):
            text = f'port = {number + 20000}\nuser = "root"\nworkdir = "/"\n'
            (self.agents / f"{name}.toml").write_text(text)
            self.systemd.units[f"mcp-agent@{name}.service"] = FakeUnit(lambda name=name: self._start_agent(name))  # type: ignore[misc]
            self.systemd.units[f"mcp-ttyd@{name}.service"] = FakeUnit(lambda name=name: self._start_ttyd(name))  # type: ignore[misc]

    def program(self) -> list[str]:
        found = {"agents": self.agents, "run-directory": self.run, "lock-directory": self.run}
        return ["mcpd.daemons.ttyd_manager", *(f"--{option}={path}" for option, path in found.items())]

    def listening(self) -> list[tuple[str, int]]:
        found = [(name, sock.fileno()) for name, sock in self._sockets.items()]
        return [
            *found,
            ("mcpd.watch", self._watch.fileno()),
            *(("mcpd.control", sock.fileno()) for sock in (self._control, self._states)),
        ]

    def _start_bus(self) -> subprocess.Popen[bytes]:
        path, config = self.run / "bus", self.run / "bus.conf"
        config.write_text(_BUS.format(path=path))
        process = subprocess.Popen(["dbus-daemon", f"--config-file={config}", "--nofork"], stderr=subprocess.DEVNULL)
        wait_until(lambda: path.exists() and not _refuses(path), "the bus listens")
        self.environment["DBUS_SYSTEM_BUS_ADDRESS"] = f"unix:path={path}"
        return process

    def tmux(self, name: str, *words: str) -> str:
        """Give the tmux server of *name* a command."""
        command = ["tmux", "-N", "-S", str(self.run / name / "tmux.sock"), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT_S).stdout

    def _start_agent(self, name: str) -> list[subprocess.Popen[bytes]]:
        (self.run / name).mkdir(exist_ok=True)
        path = self.run / name / "tmux.sock"
        configuration = self.run / "tmux.conf"
        configuration.write_text(
            "set -g status off\nset -g window-size latest\nset -g remain-on-exit on\nset -g history-limit 50000\n"
            f"new-session -d -s claude-{name} -x 80 -y 24 -- /bin/sh\n"
        )
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TMUX")}
        server = subprocess.Popen(["tmux", "-D", "-S", str(path), "-f", str(configuration)], env=environment)
        has = ["tmux", "-N", "-S", str(path), "has-session", "-t", f"=claude-{name}"]
        wait_until(lambda: not subprocess.run(has, capture_output=True, check=False).returncode, "tmux has a session")
        return [server]

    def _start_ttyd(self, name: str) -> list[subprocess.Popen[bytes]]:
        attach = ["tmux", "-S", str(self.run / name / "tmux.sock"), "attach-session", "-t", f"=claude-{name}"]
        command = [TTYD, "-W", "-i", str(self.run / name / "ttyd.sock"), *attach]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TMUX")}
        return [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)]

    def watch(self, name: str, program: Sequence[str] = ()) -> subprocess.Popen[bytes]:
        """Do what mcp-watch@NAME.service does: tmux's control mode in that cgroup, the manager at its other end.

        Or *program*, which speaks as tmux does.
        """
        group = next(root for root in _CGROUPS if (root / "cgroup.procs").exists()) / f"mcp-watch@{name}.service"
        group.mkdir(exist_ok=True)
        self._groups.append(group)
        tmux = ["tmux", "-u", "-C", "-S", str(self.run / name / "tmux.sock")]
        attach = ["attach-session", "-f", "ignore-size,no-output", "-t", f"=claude-{name}"]
        connect = [sys.executable, "-c", _CONNECT, str(group / "cgroup.procs"), f"{self.run}/watch.sock"]
        return subprocess.Popen([*connect, *(program or [*tmux, *attach])])

    def close(self) -> None:
        try:
            super().close()
        finally:
            self.systemd.close()
            self._bus.kill()
            self._bus.wait()
            for sock in (*self._sockets.values(), self._watch, self._control, self._states):
                sock.close()
            for group in self._groups:
                with contextlib.suppress(OSError):  # another test's process may be in it
                    group.rmdir()


def _refuses(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as connection:
        return bool(connection.connect_ex(str(path)))


# systemd connects standard input and output in the process that becomes the program, within the unit's cgroup.
_CONNECT = """
import os, socket, sys
open(sys.argv[1], "w").write(str(os.getpid()))
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[2])
os.dup2(connection.fileno(), 0); os.dup2(connection.fileno(), 1)
environment = {key: value for key, value in os.environ.items() if not key.startswith("TMUX")}
os.execvpe(sys.argv[3], sys.argv[3:], environment)
"""
