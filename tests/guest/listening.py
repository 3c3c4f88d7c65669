"""Clients of the event dialect, run in the guest's network: they listen until told to stop, and count.

PORT CLIENTS IDLE RATE; IDLE more are connected and listen to nothing that happens. A thread has so many events written
a second, over port 8099. Says ``ready`` when all listen. A line on standard input ends the writing, after which
``quiet`` is said; the next one tells the numbers of all events since ``ready``, and is answered with what came of that,
as JSON.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import resource
import sys
import threading
from dataclasses import asdict, dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

TOPIC = "activity.logged"
NOTHING = "nothing"
STOP = threading.Event()
GIVE_UP_S = 60.0


@dataclass
class Heard:
    """What all clients together heard: how many were ``closed`` (with which words), who heard ``wrong`` numbers, and
    the ``counts`` of events, of each that listens; ``idle`` is how many others there were.
    """

    closed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    idle: int = 0


@dataclass
class Client:
    """One client: the numbers that it heard."""

    connection: ClientConnection
    seqs: list[int] = field(default_factory=list)
    closed: str | None = None

    async def listen(self) -> None:
        try:
            async for text in self.connection:
                message: dict[str, Any] = json.loads(text)
                if message["type"] == "event":
                    self.seqs.append(message["seq"])
                elif message["type"] in ("lagged", "error"):
                    self.closed = str(message)
            self.closed = f"{self.connection.close_code} {self.connection.close_reason}"
        except ConnectionClosed as closed:
            self.closed = str(closed)


async def begin(port: int, clients: int, topic: str) -> list[Client]:
    connections: list[ClientConnection] = []
    while len(connections) < clients:
        some = min(25, clients - len(connections))
        url = f"ws://127.0.0.1:{port}"
        connections += await asyncio.gather(
            *(connect(url, proxy=None, compression=None, open_timeout=GIVE_UP_S) for _ in range(some))
        )
    for connection in connections:
        await connection.send(json.dumps({"type": "subscribe", "topics": [topic], "id": "s"}))
        while json.loads(await connection.recv()).get("id") != "s":
            pass
    return [Client(connection) for connection in connections]


def counted(clients: list[Client], idle: list[Client], numbers: list[int]) -> Heard:
    """Compare what *clients* heard with the *numbers* of all events, and what *idle* ones did with none."""
    heard = Heard(closed=[client.closed for client in (*clients, *idle) if client.closed], idle=len(idle))
    heard.wrong = [f"idle, but heard {client.seqs[:10]}" for client in idle if client.seqs]
    for client in clients:
        if client.seqs != numbers:
            missing = sorted(set(numbers) - set(client.seqs))
            heard.wrong.append(f"{len(client.seqs)} of {len(numbers)}, missing {missing[:10]}")
        heard.counts.append(len(client.seqs))
    return heard


def write(rate: float) -> None:
    """Have events written until the process ends."""
    arguments = {"agent": "load", "activity": "x", "category": "task"}
    params = {"name": "log_activity", "arguments": arguments}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    connection = http.client.HTTPConnection("127.0.0.1", 8099, timeout=GIVE_UP_S)
    while not STOP.wait(1 / rate):
        connection.request("POST", "/jsonrpc", body, {"Content-Type": "application/json"})
        connection.getresponse().read()


async def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    port, number, idlers, rate = *map(int, sys.argv[1:4]), float(sys.argv[4])
    clients, idle = await begin(port, number, TOPIC), await begin(port, idlers, NOTHING)
    tasks = [asyncio.create_task(client.listen()) for client in (*clients, *idle)]
    print("ready", flush=True)
    writer = threading.Thread(target=write, args=(rate,))
    if rate:
        writer.start()
    await asyncio.to_thread(sys.stdin.readline)
    if writer.is_alive():
        STOP.set()
        await asyncio.to_thread(writer.join)
    print("quiet", flush=True)
    numbers: list[int] = json.loads(await asyncio.to_thread(sys.stdin.readline))
    loop = asyncio.get_running_loop()
    deadline = loop.time() + GIVE_UP_S
    while loop.time() < deadline and any(  # noqa: ASYNC110 - it has a limit
        len(client.seqs) < len(numbers) and not client.closed for client in clients
    ):
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.2)  # one too many would come now
    for task in tasks:
        task.cancel()
    print(json.dumps(asdict(counted(clients, idle, numbers))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
