"""A load client that hides nothing: every request is one write, sent once, never again.

Run as a process of its own (``python3 load.py --help``) until SIGTERM, then it prints a ``Result`` as JSON. A request
counts as *sent* when its last byte is handed to the kernel on an open connection, as *answered* when a complete
successful answer to it is read. What was sent and not answered is *lost*, on a fresh connection or on a reused one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from dataclasses import asdict, dataclass, field

TIMEOUT_S = 30.0


@dataclass
class Result:
    """What became of the requests; ``acknowledged`` holds the text of every answered write."""

    sent: int = 0
    answered: int = 0
    refused: int = 0
    lost_fresh: int = 0
    lost_reused: int = 0
    wrong: int = 0
    connections: int = 0
    slowest_s: float = 0.0
    acknowledged: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def failed(self) -> int:
        return self.refused + self.lost_fresh + self.lost_reused + self.wrong

    def note(self, what: str) -> None:
        if len(self.errors) < 20:
            self.errors.append(f"{time.time():.3f} {what}")


@dataclass
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: bool = False


class Load:
    """Some workers, each with at most one connection, that write until they are stopped."""

    def __init__(self, port: int, name: str, keep_alive: bool, pause_s: float) -> None:
        self.port, self.name, self.keep_alive, self.pause_s = port, name, keep_alive, pause_s
        self.result = Result()
        self.stopping = asyncio.Event()
        self._number = 0

    async def run(self, workers: int) -> Result:
        await asyncio.gather(*(self._work() for _ in range(workers)))
        return self.result

    async def _work(self) -> None:
        connection: Connection | None = None
        while not self.stopping.is_set():
            connection = await self._request(connection)
            await asyncio.sleep(self.pause_s)
        if connection:
            connection.writer.close()

    async def _request(self, connection: Connection | None) -> Connection | None:
        """Send one write; return the connection if it may be used again."""
        if connection and connection.reader.at_eof():  # closed by the server while idle, as HTTP allows
            connection.writer.close()
            connection = None
        connection = connection or await self._connect()
        if not connection:
            return None
        self._number += 1
        text = f"{self.name} {self._number}"
        started = time.monotonic()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                reusable = await self._exchange(connection, text)
        except (OSError, EOFError, TimeoutError, ValueError) as exc:
            self._lost(connection, exc)
            reusable = False
        self.result.slowest_s = max(self.result.slowest_s, time.monotonic() - started)
        connection.used = True
        if reusable:
            return connection
        connection.writer.close()
        return None

    async def _connect(self) -> Connection | None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                connection = Connection(*await asyncio.open_connection("127.0.0.1", self.port))
        except (OSError, TimeoutError) as exc:
            self.result.refused += 1
            self.result.note(f"refused: {exc!r}")
            return None
        self.result.connections += 1
        return connection

    def _lost(self, connection: Connection, exc: Exception) -> None:
        if connection.used:
            self.result.lost_reused += 1
        else:
            self.result.lost_fresh += 1
        self.result.note(f"lost on a {'reused' if connection.used else 'fresh'} connection: {exc!r}")

    async def _exchange(self, connection: Connection, text: str) -> bool:
        connection.writer.write(self._message(text))
        await connection.writer.drain()
        self.result.sent += 1
        head = (await connection.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status, _, fields = head.partition("\r\n")
        headers = dict(line.split(": ", 1) for line in fields.split("\r\n") if ": " in line)
        body = await connection.reader.readexactly(int(headers["content-length"]))
        self._judge(text, status, body)
        return self.keep_alive and headers.get("connection") != "close"

    def _judge(self, text: str, status: str, body: bytes) -> None:
        if " 200 " in f"{status} " and json.loads(body).get("result", {}).get("success") is True:
            self.result.answered += 1
            self.result.acknowledged.append(text)
        else:
            self.result.wrong += 1
            self.result.note(f"wrong: {status} {body[:200]!r}")

    def _message(self, text: str) -> bytes:
        arguments = {"agent": "load-1", "activity": text, "category": "task"}
        call = {"name": "log_activity", "arguments": arguments}
        body = json.dumps({"jsonrpc": "2.0", "id": self._number, "method": "tools/call", "params": call})
        connection = "keep-alive" if self.keep_alive else "close"
        head = (
            f"POST /jsonrpc HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: application/json\r\n"
            f"Connection: {connection}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return (head + body).encode()


async def _main(options: argparse.Namespace) -> Result:
    load = Load(options.port, options.name, options.keep_alive, options.pause)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, load.stopping.set)
    print("ready", flush=True)
    return await load.run(options.workers)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--name", default="n", help="first word of every write")
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--pause", type=float, default=0.01, help="seconds that a worker waits between two requests")
    parser.add_argument("--keep-alive", action="store_true", help="many requests on a connection instead of one")
    json.dump(asdict(asyncio.run(_main(parser.parse_args()))), sys.stdout)


if __name__ == "__main__":
    main()
