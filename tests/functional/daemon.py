"""A real daemon as a child: sockets passed as systemd passes them, readiness by its own READY=1, no sleeps."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

import mcpd
from mcpd.errors import StoreUnavailable
from mcpd.protocol.events import CATALOGUE, check
from mcpd.store import events
from mcpd.store.database import Database, store_errors

TIMEOUT_S = 20.0
# LISTEN_PID must name the process that the shell becomes.
_EXEC = ["/bin/sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh"]


@dataclass
class Daemon:
    """One mcpd-rpc on its own directory; the listening sockets are ours and outlive each start, as systemd's do."""

    directory: Path
    settings: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    # What a service manager's file-descriptor store would hold, by name.
    stored: list[tuple[str, int]] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    options: list[str] = field(default_factory=list)
    stderr: Path = field(init=False)

    def __post_init__(self) -> None:
        self.database = self.directory / "mcp.db"
        self.config = self.directory / "mcpd.toml"
        self.config.write_text(f'[database]\npath = "{self.database}"\n{self.settings}')
        self.stderr = self.directory / "stderr"
        # AF_UNIX paths are short; pytest's directories are not.
        self._runtime = tempfile.TemporaryDirectory(prefix="mcpd")
        self.socket_path = Path(self._runtime.name) / "mcp.sock"
        self._tcp = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self.port: int = self._tcp.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._unix = socket.socket(socket.AF_UNIX)
        self._unix.bind(str(self.socket_path))
        self._unix.listen(4096)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.bind(f"{self._runtime.name}/notify")
        self.notifications: list[str] = []

    def migrate(self) -> None:
        """Bring the database up with the real mcpd-migrate."""
        command = [sys.executable, "-m", "mcpd.daemons.migrate", "--config", str(self.config)]
        subprocess.run(command, check=True, env=self._environment(), capture_output=True, timeout=TIMEOUT_S)

    def start(self) -> None:
        """Start the daemon and wait for READY=1."""
        found = [*self.listening(), *self.stored]
        passed = {number: fd for number, (_, fd) in enumerate(found, start=3)}
        environment = self._environment() | {
            "LISTEN_FDS": str(len(passed)),
            "LISTEN_FDNAMES": ":".join(name for name, _ in found),
            "NOTIFY_SOCKET": f"{self._runtime.name}/notify",
        }
        command = [*_EXEC, sys.executable, "-m", *self.program(), "--config", str(self.config)]
        with self.stderr.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=environment, stderr=log, close_fds=False, preexec_fn=lambda: _place(passed)
            )
        self.wait_for("READY=1")

    def program(self) -> list[str]:
        """The module to run, and its options."""
        # Not the machine's agents, where mcpd is installed.
        return ["mcpd.daemons.rpc", "--agents", str(self.directory / "agents.d"), *self.options]

    def listening(self) -> list[tuple[str, int]]:
        """The listening sockets to pass, each with its name."""
        return [("mcpd-rpc", self._tcp.fileno()), ("mcpd-rpc", self._unix.fileno())]

    def wait_for(self, state: str, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until the daemon has notified *state*."""
        assert self.process is not None
        deadline = time.monotonic() + timeout_s
        self._notify.settimeout(0.05)
        while not any(line == state for message in self.notifications for line in message.splitlines()):
            if not self._receive():
                assert self.process.poll() is None, f"the daemon ended: {self.log()}"
                assert time.monotonic() < deadline, f"no {state} within {timeout_s} s; stderr: {self.log()}"

    def _receive(self) -> bool:
        """Take one notification, as the service manager does; False when none came."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._notify, 4096, 253)
        except TimeoutError:
            return False
        message = data.decode()
        self.notifications.append(message)
        name = next((line[7:] for line in message.splitlines() if line.startswith("FDNAME=")), "")
        if "BARRIER=1" in message:
            for descriptor in descriptors:
                os.close(descriptor)
            return True
        self.stored.extend((name, descriptor) for descriptor in descriptors)
        if "FDSTOREREMOVE=1" in message:
            self._forget(name)
        return True

    def _forget(self, name: str | None = None) -> None:
        for stored in [stored for stored in self.stored if name in (None, stored[0])]:
            self.stored.remove(stored)
            os.close(stored[1])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the daemon by signal *number*; return its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        deadline = time.monotonic() + TIMEOUT_S
        self._notify.settimeout(0.02)
        while self._receive() or self.process.poll() is None:
            assert time.monotonic() < deadline, f"the daemon does not end: {self.log()}"
        status = self.process.wait(TIMEOUT_S)
        self.process = None
        self.notifications.clear()
        return status

    def restart(self) -> None:
        """Stop and start again on the same sockets; clients that connect meanwhile wait in the backlog."""
        assert self.stop() == 0
        self.start()

    def close(self) -> None:
        """Stop what runs and give everything back; the daemon must end well."""
        try:
            if self.process is not None:
                assert self.stop() == 0, self.log()
            assert "Traceback" not in self.log(), self.log()
            self.check_events()
        finally:
            if self.process is not None:
                self.process.kill()
                self.process.wait()
            for sock in (self._tcp, self._unix, self._notify):
                sock.close()
            self._forget()
            self._runtime.cleanup()

    def check_events(self) -> None:
        """Every event that there is holds what the catalogue says; a database that a test has spoilt has none."""
        with contextlib.suppress(StoreUnavailable):
            db = Database(str(self.database), read_only=True)
            try:
                with store_errors():
                    rows = events.since(db, 0, 100_000)
            finally:
                db.close()
            for _, _, topic, _, data in rows:
                if topic in CATALOGUE:
                    check(topic, data)

    def log(self) -> str:
        """Return what the daemon wrote to stderr."""
        return self.stderr.read_text() if self.stderr.exists() else ""

    def raw(self, data: bytes, timeout_s: float = TIMEOUT_S) -> bytes:
        """Send *data* on a connection of its own; return all that comes until the daemon closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s) as connection:
            connection.sendall(data)
            return read_all(connection)

    def post(self, path: str, body: object, headers: dict[str, str] | None = None) -> Reply:
        """POST *body* (bytes, or a value sent as JSON) to *path*."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        return self.request("POST", path, data, {"Content-Type": "application/json"} | (headers or {}))

    def request(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
        """Send one request; return the reply."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Reply(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def _environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MCP_", "LISTEN_", "NOTIFY"))}
        return kept | {"PYTHONPATH": str(Path(mcpd.__file__).parents[1])} | self.environment


@dataclass(frozen=True)
class Reply:
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return orjson.loads(self.body)


def read_all(connection: socket.socket) -> bytes:
    """Read until the peer closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def _place(passed: dict[int, int]) -> None:
    """In the child: put our descriptors where sd_listen_fds(3) looks for them."""
    high = {number: os.dup2(fd, 500 + number) for number, fd in passed.items()}
    for number, fd in high.items():
        os.dup2(fd, number)
