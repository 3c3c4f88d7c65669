"""``python -m tests.bench.doorbells [--short]``: how one daemon may learn that another has committed.

A writer commits events at a steady rate, each with its time; a reader in another process learns of them by asking for
``PRAGMA data_version`` every few milliseconds, by inotify on the write-ahead log as mcpd-ws does (``ws.doorbell``), or
by a datagram that the writer sends behind each commit. What it costs the writer, the reader while there are events, and
the reader while there are none, is processor time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import uvloop
from rich.console import Console
from rich.table import Table

from mcpd.store import events, schema
from mcpd.store.database import Database
from mcpd.ws.doorbell import Doorbell

METHODS = ("data_version 5 ms", "data_version 1 ms", "inotify", "datagram")
RATE = 100
_TOPIC = "agent.new"


def write(path: str, count: int, bell: str) -> float:
    """Commit *count* events, ringing at *bell* behind each if there is one; return the processor seconds it took."""
    db = Database(path)
    ringer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ringer.setblocking(False)
    started_s = time.process_time()
    for _ in range(count):
        with db.transaction():
            events.add(db, time.monotonic_ns() // 1000, _TOPIC, None, {})
        if bell:
            with contextlib.suppress(BlockingIOError):  # it is ringing
                ringer.sendto(b"", bell)
        time.sleep(1 / RATE)
    return time.process_time() - started_s


class Reader:
    """Learn of events by *method* and note how late each was."""

    def __init__(self, path: str, method: str, bell: str) -> None:
        self._path, self._method, self._bell = path, method, bell
        self._db = Database(path, read_only=True)
        self._seq = 0
        self.late_us: list[int] = []

    def look(self) -> bool:
        """Read what is new."""
        rows = events.since(self._db, self._seq, 1000)
        now_us = time.monotonic_ns() // 1000
        self.late_us += [now_us - row[1] for row in rows if row[2] == _TOPIC]
        self._seq = rows[-1][0] if rows else self._seq
        return bool(rows)

    async def run(self, count: int, idle_s: float) -> dict[str, object]:
        """Wait for *count* events, then idle; return what was seen."""
        stop = self._begin()
        print("ready", flush=True)
        started_s = time.process_time()
        deadline = time.monotonic() + 60
        while len(self.late_us) < count and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        busy_s = time.process_time() - started_s
        await asyncio.sleep(idle_s)
        idle_cpu_s = time.process_time() - started_s - busy_s
        stop()
        return {"late_us": self.late_us, "busy_s": busy_s, "idle_percent": 100 * idle_cpu_s / idle_s}

    def _begin(self) -> Callable[[], object]:
        loop = asyncio.get_running_loop()
        if self._method == "inotify":
            return Doorbell(self._path, self.look).close
        if self._method == "datagram":
            bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            bell.bind(self._bell)
            bell.setblocking(False)
            loop.add_reader(bell, lambda: (bell.recv(1), self.look()))
            return bell.close
        interval_s = int(self._method.split()[1]) / 1000
        return asyncio.create_task(self._poll(interval_s)).cancel

    async def _poll(self, interval_s: float) -> None:
        version = 0
        while True:
            await asyncio.sleep(interval_s)
            found = self._db.value("PRAGMA data_version")
            if found != version:
                version = found
                self.look()


def compare(count: int, idle_s: float) -> dict[str, dict[str, float]]:
    """Return, by method, latencies in ms and processor time in percent."""
    found = {}
    for method in METHODS:
        with tempfile.TemporaryDirectory(prefix="mcpd") as place:
            path, bell = f"{place}/mcp.db", f"{place}/bell"
            db = Database(path)
            schema.migrate(db, 1)
            command = [
                sys.executable,
                "-m",
                "tests.bench.doorbells",
                "read",
                path,
                method,
                bell,
                str(count),
                str(idle_s),
            ]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
                assert reader.stdout is not None
                assert reader.stdout.readline() == "ready\n"
                writer_s = write(path, count, bell if method == "datagram" else "")
                seen = json.loads(reader.stdout.readline())
            db.close()
        late = sorted(seen["late_us"])
        assert len(late) == count, f"{method}: {len(late)} of {count} events came"
        found[method] = {
            "p50": late[count // 2] / 1000,
            "p95": late[int(count * 0.95)] / 1000,
            "p99": late[int(count * 0.99)] / 1000,
            "reader": 100 * seen["busy_s"] * RATE / count,
            "idle": seen["idle_percent"],
            "writer": 1e6 * writer_s / count,
        }
    return found


def show(found: dict[str, dict[str, float]], console: Console) -> None:
    """Print the comparison."""
    columns = ("p50 ms", "p95 ms", "p99 ms", "reader %", "idle %", "writer µs each")
    table = Table("learns by", *columns, title=f"From a commit to another process, {RATE} events/s")
    for method, figures in found.items():
        table.add_row(method, *(f"{value:.2f}" for value in figures.values()))
    console.print(table)


def main() -> None:
    if sys.argv[1:2] == ["read"]:
        path, method, bell, count, idle_s = sys.argv[2:]
        print(json.dumps(uvloop.run(Reader(path, method, bell).run(int(count), float(idle_s)))), flush=True)
        os._exit(0)
    size = (50, 1.0) if "--short" in sys.argv[1:] else (1000, 5.0)
    show(compare(*size), Console(width=110))


if __name__ == "__main__":
    main()
