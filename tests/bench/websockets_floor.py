"""The floor of ``tests.bench.websockets``: a bare server of the websockets library that tells one text to all.

PORT [deflate]; an empty datagram to the same port of UDP is the sign to tell it. The text has the size of an event.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys

from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

DATA = {"id": 1, "activity": "x" * 20, "category": "task", "status": "completed", "component": None, "paths": []}
EVENT = {"type": "event", "topic": "activity.logged", "seq": 1, "agent": "bench", "timestamp": "2026-11-26T12:00:00Z"}
TEXT = json.dumps({**EVENT, "data": DATA})


class Bell(asyncio.DatagramProtocol):
    """Tell all when a datagram comes."""

    def __init__(self, connections: set[ServerConnection]) -> None:
        self._connections = connections

    def datagram_received(self, _data: bytes, _address: object) -> None:
        broadcast(self._connections, TEXT)


async def main(port: int, compression: str | None) -> None:
    connections: set[ServerConnection] = set()

    async def handle(connection: ServerConnection) -> None:
        connections.add(connection)
        with contextlib.suppress(ConnectionClosed):
            await connection.send(json.dumps({"type": "connection"}))
            await connection.wait_closed()
        connections.discard(connection)

    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: Bell(connections), local_addr=("127.0.0.1", port))
    async with serve(handle, "127.0.0.1", port, compression=compression, backlog=4096, ping_interval=None):
        print("ready", flush=True)
        await loop.create_future()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), "deflate" if "deflate" in sys.argv[2:] else None))
