"""A real mcpd-ws beside a real mcpd-rpc, and clients that count what they are told."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect, unix_connect

from tests.functional.daemon import TIMEOUT_S, Daemon

Json = dict[str, Any]


@dataclass
class Ws(Daemon):
    """One mcpd-ws on the database of *rpc*."""

    rpc: Daemon = field(kw_only=True)
    upstream: Path | None = field(default=None, kw_only=True)  # instead of the socket of rpc itself

    def __post_init__(self) -> None:
        super().__post_init__()
        self.config.write_text(f'[database]\npath = "{self.rpc.database}"\n{self.settings}')
        self.url = f"ws://127.0.0.1:{self.port}"

    def program(self) -> list[str]:
        """The module to run, and its options."""
        agents = str(self.directory / "agents.d")
        return ["mcpd.daemons.ws", "--agents", agents, "--rpc", str(self.upstream or self.rpc.socket_path)]

    def listening(self) -> list[tuple[str, int]]:
        """The listening sockets to pass, each with its name."""
        return [("mcpd-ws", fd) for _, fd in super().listening()]

    def connect(self, **options: Any) -> ClientConnection:
        """Open a WebSocket over TCP."""
        settings: dict[str, Any] = {"proxy": None, "open_timeout": TIMEOUT_S, "compression": None}
        connection: ClientConnection = connect(self.url, **(settings | options))
        return connection

    def connect_unix(self, **options: Any) -> ClientConnection:
        """Open a WebSocket over the Unix socket."""
        connection: ClientConnection = unix_connect(
            str(self.socket_path), "ws://localhost/", open_timeout=TIMEOUT_S, **options
        )
        return connection

    @contextlib.contextmanager
    def client(self, **options: Any) -> Iterator[Client]:
        """Open a WebSocket of the event dialect, and take its greeting."""
        with self.connect(**options) as connection:
            client = Client(connection)
            client.greeting = client.take()
            assert client.greeting["type"] == "connection"
            assert client.take()["type"] == "heartbeat"
            yield client


@dataclass
class Client:
    """A client of the event dialect."""

    connection: ClientConnection
    greeting: Json = field(default_factory=dict)

    def send(self, **message: Any) -> None:
        self.connection.send(json.dumps(message))

    def take(self, timeout_s: float = TIMEOUT_S) -> Json:
        """Return the next message."""
        message: Json = json.loads(self.connection.recv(timeout_s))
        return message

    def until(self, wanted: Callable[[Json], bool], timeout_s: float = TIMEOUT_S) -> Json:
        """Return the next message that is *wanted*; those before it are dropped."""
        deadline = time.monotonic() + timeout_s
        while True:
            message = self.take(max(deadline - time.monotonic(), 0.01))
            if wanted(message):
                return message

    def ask(self, **message: Any) -> Json:
        """Send *message*; return its answer."""
        message.setdefault("id", f"q{time.monotonic_ns()}")
        self.send(**message)
        return self.until(lambda said: said.get("id") == message["id"])

    def events(self, count: int) -> list[Json]:
        """Return the next *count* messages that have a number."""
        return [self.until(lambda said: "seq" in said and said["type"] != "connection") for _ in range(count)]

    def nothing_more(self, timeout_s: float = 0.3) -> bool:
        """Say whether no event comes for a while."""
        try:
            self.until(lambda said: "seq" in said, timeout_s)
        except TimeoutError:
            return True
        return False

    def closed(self) -> tuple[int, str]:
        """Return the code and the reason of the close that comes next."""
        try:
            while True:
                self.connection.recv(TIMEOUT_S)
        except ConnectionClosed as closed:
            assert closed.rcvd is not None, closed
            return closed.rcvd.code, closed.rcvd.reason


class Load:
    """Events as fast as one writer makes them, until the block ends."""

    def __init__(self, rpc: Daemon, pause_s: float = 0.0) -> None:
        self._rpc = rpc
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.written = 0

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._pause_s):
            log_activity(self._rpc, f"load {self.written}")
            self.written += 1


def log_activity(rpc: Daemon, text: str, agent: str = "load") -> None:
    """Make an event of the topic activity.logged."""
    arguments = {"agent": agent, "activity": text, "category": "task"}
    params = {"name": "log_activity", "arguments": arguments}
    reply = rpc.post("/jsonrpc", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    assert "result" in reply.json, reply.json


def handshake(headers: str = "", path: str = "/", host: str = "localhost") -> bytes:
    """Return the request to open a WebSocket."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    ).encode()


def opened(ws: Ws, headers: str = "") -> socket.socket:
    """Return a connection whose WebSocket is open and whose greeting is still to be read; bytes are the test's."""
    connection = socket.create_connection(("127.0.0.1", ws.port), timeout=TIMEOUT_S)
    connection.sendall(handshake(headers))
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1)
    assert head.startswith(b"HTTP/1.1 101 "), head
    return connection


def make(directory: Path, rpc: Daemon, settings: str = "", **environment: str) -> Ws:
    """Start an mcpd-ws."""
    directory.mkdir(exist_ok=True)
    ws = Ws(directory, settings, environment, rpc=rpc)
    ws.start()
    return ws


def frame(payload: bytes, first: int = 0x81) -> bytes:
    """A client's frame, masked with zeros."""
    size = len(payload)
    head = bytes([first, 0x80 | size]) if size < 126 else bytes([first, 0x80 | 126]) + size.to_bytes(2, "big")
    return head + bytes(4) + payload


class Raw:
    """A server's frames, read one by one."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rb")

    def frame(self) -> tuple[int, bytes]:
        first, size = self._file.read(2)
        if size == 126:
            size = int.from_bytes(self._file.read(2), "big")
        elif size == 127:
            size = int.from_bytes(self._file.read(8), "big")
        return first, self._file.read(size)

    def take(self) -> dict[str, Any]:
        first, payload = self.frame()
        assert first == 0x81, hex(first)
        message: dict[str, Any] = json.loads(payload)
        return message
