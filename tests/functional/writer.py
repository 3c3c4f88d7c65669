"""A process that writes to mcpd at a steady rate, and remembers when each write was acknowledged.

``python -m tests.functional.writer PORT RATE``, 0 for as fast as it goes, until its standard input ends; then it prints
a ``Written`` as JSON. Times are of CLOCK_MONOTONIC, which all processes share.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import orjson

_CONNECTIONS = 16
_BODY = orjson.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {
            "name": "log_activity",
            "arguments": {"agent": "writer", "activity": "one of many", "category": "task"},
        },
    }
)
_HEAD = "POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_REQUEST = f"{_HEAD}Content-Length: {len(_BODY)}\r\n\r\n".encode() + _BODY


@dataclass
class Written:
    """Each write that was acknowledged: its id, when, and how long that took; *failed* are the other answers."""

    ids: list[int] = field(default_factory=list)
    at_ns: list[int] = field(default_factory=list)
    took_us: list[int] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def before(self, at_ns: int) -> set[int]:
        """The ids of those that were acknowledged before then."""
        return {number for number, at in zip(self.ids, self.at_ns, strict=True) if at < at_ns}

    def per_s(self, from_ns: int, to_ns: int) -> float:
        """How many a second were acknowledged in that time."""
        return sum(from_ns <= at < to_ns for at in self.at_ns) * 1e9 / (to_ns - from_ns)

    def p99_us(self, from_ns: int, to_ns: int) -> int:
        """How long one in a hundred took at least, of those of that time."""
        took = sorted(us for us, at in zip(self.took_us, self.at_ns, strict=True) if from_ns <= at < to_ns)
        return took[len(took) * 99 // 100] if took else 0


@contextmanager
def writing(port: int, rate: int, first: int = 200) -> Iterator[Written]:
    """Write *rate* times a second for the block, which begins after the *first* writes; then the result is filled."""
    written = Written()
    command = [sys.executable, "-m", "tests.functional.writer", str(port), str(rate), str(first)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"going\n"
        try:
            yield written
        finally:
            output, _ = process.communicate(timeout=60)
    for name, value in orjson.loads(output).items():
        setattr(written, name, value)


async def _work(port: int, rate: int, first: int) -> Written:
    written, stopped = Written(), asyncio.Event()
    began_s, turns, going = time.monotonic(), iter(range(1 << 60)), False

    async def one() -> None:
        nonlocal going
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not stopped.is_set():
            if rate:
                await asyncio.sleep(began_s + next(turns) / rate - time.monotonic())
            started_ns = time.monotonic_ns()
            writer.write(_REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            answer = orjson.loads(await reader.readexactly(int(length[15:])))
            at_ns = time.monotonic_ns()
            if "result" not in answer:
                written.failed.append(str(answer))
                continue
            written.ids.append(answer["result"]["id"])
            written.at_ns.append(at_ns)
            written.took_us.append((at_ns - started_ns) // 1000)
            if not going and len(written.ids) >= first:
                going = True
                print("going", flush=True)
        writer.close()

    async def stop() -> None:
        await asyncio.to_thread(sys.stdin.read)
        stopped.set()

    await asyncio.gather(stop(), *(one() for _ in range(_CONNECTIONS)))
    return written


def main() -> None:
    """Write until standard input ends."""
    port, rate, first = map(int, sys.argv[1:])
    print(orjson.dumps(asyncio.run(_work(port, rate, first))).decode())


if __name__ == "__main__":
    main()
