"""``python -m tests.bench.websockets [--short]``: what a WebSocket costs, and how fast one event reaches all.

The same raw clients connect to mcpd-ws and to a bare server of the websockets library (``websockets_floor``), which
takes turns with it. Memory is the server's resident size per idle connection; fan-out is from the commit of an event,
or the sign to the bare server, until the last client has it; latency is from the beginning of mcpd-rpc's transaction
to one subscriber, on a machine that does nothing else.
"""

from __future__ import annotations

import os
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.table import Table

from mcpd.store import events
from mcpd.store.database import Database
from tests.bench.websockets_floor import DATA
from tests.functional.conftest import UNLIMITED
from tests.functional.daemon import Daemon
from tests.functional.websocket import Raw, Ws, frame, handshake, log_activity, opened

_PAGE = os.sysconf("SC_PAGE_SIZE")
_DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
_SETTINGS = "[websocket]\nmax_connections = 20000\nmax_connections_per_caller = 20000\ncompression = true\n"


@dataclass(frozen=True)
class Size:
    """How much is measured: idle connections, subscribers of one event, rounds, events for the latency."""

    idle: int
    subscribers: tuple[int, ...]
    rounds: int
    latencies: int


FULL = Size(5000, (1000, 5000), 15, 500)
SHORT = Size(100, (100,), 3, 20)


class Server(Protocol):
    """A server under test."""

    port: int

    @property
    def pid(self) -> int:
        """Its process."""

    def ring(self) -> None:
        """Have it tell all its clients one event."""


class Floor:
    """The bare server."""

    def __init__(self, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        command = [sys.executable, "-m", "tests.bench.websockets_floor", str(self.port), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        self._bell = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    @property
    def pid(self) -> int:
        return self.process.pid

    def ring(self) -> None:
        self._bell.sendto(b"", ("127.0.0.1", self.port))

    def close(self) -> None:
        self._bell.close()
        self.process.kill()
        self.process.wait()


class Ours:
    """mcpd-ws; an event is committed to its database by nobody but us."""

    def __init__(self, ws: Ws) -> None:
        self.ws = ws
        self.port = ws.port
        self._db = Database(str(ws.rpc.database))

    @property
    def pid(self) -> int:
        assert self.ws.process is not None
        return self.ws.process.pid

    def ring(self) -> None:
        with self._db.transaction():
            events.add(self._db, time.time_ns() // 1000, "activity.logged", "bench", DATA)

    def close(self) -> None:
        self._db.close()


@contextmanager
def ours() -> Iterator[Ours]:
    """Start mcpd-rpc and mcpd-ws."""
    with tempfile.TemporaryDirectory(prefix="mcpd") as place:
        rpc = Daemon(Path(place), UNLIMITED)
        (Path(place) / "ws").mkdir()
        ws = Ws(Path(place) / "ws", _SETTINGS, rpc=rpc)
        rpc.migrate()
        rpc.start()
        ws.start()
        server = Ours(ws)
        try:
            yield server
        finally:
            server.close()
            ws.close()
            rpc.close()


@contextmanager
def floor(*options: str) -> Iterator[Floor]:
    """Start the bare server."""
    server = Floor(*options)
    try:
        yield server
    finally:
        server.close()


class Clients:
    """Connections whose WebSocket is open, read by one epoll."""

    def __init__(self, port: int, count: int, headers: str = "") -> None:
        self._sockets = {}
        self._epoll = select.epoll()
        request = handshake(headers)
        for start in range(0, count, 200):
            batch = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(min(200, count - start))]
            for connection in batch:
                connection.sendall(request)
            for connection in batch:
                head = connection.recv(65536)
                assert b" 101 " in head, head
                self._sockets[connection.fileno()] = connection
        time.sleep(0.5)
        for connection in self._sockets.values():
            connection.setblocking(False)
            self._epoll.register(connection, select.EPOLLIN | select.EPOLLET)
        self.drain()

    def drain(self) -> None:
        """Read what there is."""
        while found := self._epoll.poll(0.2):
            for fd, _ in found:
                self._sockets[fd].recv(65536)

    def all_told_s(self, server: Server) -> float:
        """Return the time until the last one has what *server* tells all."""
        waiting = set(self._sockets)
        started_s = time.perf_counter()
        server.ring()
        while waiting:
            found = self._epoll.poll(10.0)
            assert found, f"{len(waiting)} clients were not told"
            for fd, _ in found:
                self._sockets[fd].recv(65536)
                waiting.discard(fd)
        return time.perf_counter() - started_s

    def close(self) -> None:
        for connection in self._sockets.values():
            connection.close()
        self._epoll.close()


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_kb(server: Server, count: int, headers: str = "") -> float:
    """Return the kB that each of *count* idle connections costs *server*; a few come first, which fill its caches."""
    warm = Clients(server.port, 20, headers)
    before = resident_bytes(server.pid)
    clients = Clients(server.port, count, headers)
    grown = resident_bytes(server.pid) - before
    clients.close()
    warm.close()
    time.sleep(1.0)
    return grown / count / 1000


@dataclass(frozen=True)
class Fanout:
    """One event to *subscribers*: medians in ms to the last one, and µs of the server's processor for each."""

    subscribers: int
    ours_ms: float
    floor_ms: float
    ours_cpu_us: float
    floor_cpu_us: float

    @property
    def ratio(self) -> float:
        return self.ours_ms / self.floor_ms


def fanout(mine: Server, bare: Server, count: int, rounds: int, headers: str = "") -> Fanout:
    """Compare the two, which take turns."""
    both = [(mine, Clients(mine.port, count, headers)), (bare, Clients(bare.port, count, headers))]
    times: list[list[float]] = [[], []]
    used = [0.0, 0.0]
    for server, clients in both:
        clients.all_told_s(server)
    for _ in range(rounds):
        for place, (server, clients) in enumerate(both):
            before = cpu_s(server.pid)
            times[place].append(clients.all_told_s(server) * 1000)
            time.sleep(0.05)
            used[place] += cpu_s(server.pid) - before
    for _, clients in both:
        clients.close()
    time.sleep(1.0)
    each = [1e6 * seconds / rounds / count for seconds in used]
    return Fanout(count, statistics.median(times[0]), statistics.median(times[1]), *each)


def latencies_ms(server: Ours, count: int) -> tuple[list[float], list[float]]:
    """Return how long each of *count* events took from mcpd-rpc's transaction to a subscriber, one at a time.

    And how long the calls took that made them, to which the machine does the same.
    """
    found: list[float] = []
    calls: list[float] = []
    with opened(server.ws) as connection:
        wire = Raw(connection)
        connection.sendall(frame(b'{"type":"subscribe","topics":["activity.logged"]}'))
        while wire.take()["type"] != "subscribed":
            pass

        def read() -> None:
            while len(found) < count:
                event = wire.take()
                if event["type"] == "event":
                    found.append(1000 * (time.time() - datetime.fromisoformat(event["timestamp"]).timestamp()))

        reader = threading.Thread(target=read)
        reader.start()
        for number in range(count):
            started_s = time.perf_counter()
            log_activity(server.ws.rpc, f"latency {number}")
            calls.append(1000 * (time.perf_counter() - started_s))
            time.sleep(0.01)
        reader.join()
    return found, calls


def quantile(values: list[float], part: float) -> float:
    return sorted(values)[min(int(len(values) * part), len(values) - 1)]


def measure(size: Size, console: Console) -> dict[str, float]:
    """Print a table for each question; return the figures that a test looks at."""
    found: dict[str, float] = {}
    memory = Table("kB per idle connection", "mcpd-ws", "websockets", title=f"Memory, {size.idle} connections")
    speed = Table("one event to", "mcpd-ws ms", "websockets ms", "ratio", "CPU µs each", "websockets", title="Fan-out")
    times: list[float] = []
    calls: list[float] = []
    for name, headers, options in (("plain", "", ()), ("compressed", _DEFLATE, ("deflate",))):
        with ours() as mine:
            with floor(*options) as bare:
                mine_kb, bare_kb = memory_kb(mine, size.idle, headers), memory_kb(bare, size.idle, headers)
                memory.add_row(name, f"{mine_kb:.1f}", f"{bare_kb:.1f}")
                found[f"memory {name}"] = mine_kb
                for count in size.subscribers:
                    one = fanout(mine, bare, count, size.rounds, headers)
                    speed.add_row(
                        f"{count} {name}", f"{one.ours_ms:.1f}", f"{one.floor_ms:.1f}", f"{one.ratio:.2f}",
                        f"{one.ours_cpu_us:.1f}", f"{one.floor_cpu_us:.1f}",
                    )  # fmt: skip
                    found[f"ratio {count} {name}"] = one.ratio
            seen, asked = latencies_ms(mine, size.latencies)
            times, calls = times + seen, calls + asked
    console.print(memory, speed)
    for name, values in (("mcpd-rpc's transaction to a subscriber", times), ("call to answer, for comparison", calls)):
        shown = ", ".join(f"p{part * 100:.0f} {quantile(values, part):.2f} ms" for part in (0.5, 0.95, 0.99))
        console.print(f"From {name}: {shown}")
    found["latency p95"] = quantile(times, 0.95)
    return found


if __name__ == "__main__":
    measure(SHORT if "--short" in sys.argv[1:] else FULL, Console(width=110))
