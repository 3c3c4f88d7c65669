"""What is fuzzed: bytes as a socket would bring them, through the HTTP reader into the whole core."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import orjson

from mcpd.access.callers import Caller
from mcpd.config import Config
from mcpd.errors import Error
from mcpd.protocol.head import HeadMemory
from mcpd.protocol.http import HttpResponse, Limits, RequestReader
from mcpd.protocol.signing import KEY_BYTES
from mcpd.server.calls import Finished
from mcpd.server.core import Core, Exchange
from mcpd.store import schema
from mcpd.store.database import Database
from tests.unit.server.client import Connection
from tests.unit.server.tools import World

SEEDS = Path(__file__).with_name("seeds")
LIMITS = Limits(max_header_bytes=8192, max_body_bytes=65536)
ROOT = Caller("root", True)


class Target:
    """A core on a database of its own; ``feed`` it bytes."""

    def __init__(self, directory: str) -> None:
        db = Database(f"{directory}/mcp.db")
        schema.migrate(db, 1)
        self._core = Core(db, Config(), bytes(KEY_BYTES), World().plugin())
        self._core.calls.finished = self._finished
        self._heads = HeadMemory()
        self._runner = asyncio.Runner()
        self._faults: list[BaseException] = []

    def feed(self, data: bytes) -> int:
        """Send *data* in two pieces, cut where its first byte says; return how many requests it made.

        Raises whatever is a fault of ours: an exception of the reader that is no ``Error``, a fault of the core, an
        answer that is not JSON.
        """
        count = self._runner.run(self._feed(data))
        if self._faults:
            raise self._faults.pop()
        return count

    async def _feed(self, data: bytes) -> int:
        connections: list[Connection] = []
        try:
            return self._read(data, connections)
        finally:
            for _ in range(3):  # what was begun gets a few turns, then everybody leaves
                self._core.answer_turn([], 1)
                await asyncio.sleep(0)
            for connection in connections:
                connection.leave()
            await asyncio.sleep(0)
            self._core.answer_turn([], 1)

    def _read(self, data: bytes, connections: list[Connection]) -> int:
        reader = RequestReader(LIMITS, self._heads)
        cut = data[0] if data else 0
        count = 0
        for piece in (data[1 : cut + 1], data[cut + 1 :]):
            reader.receive_data(piece)
            try:
                while (request := reader.next_request()) is not None:
                    count += 1
                    connections.append(self._answer(Exchange(request, ROOT)))
            except Error as error:
                assert 400 <= error.http_status < 506
                return count
        return count

    def _answer(self, exchange: Exchange) -> Connection:
        (answer,) = self._core.answer_turn([exchange], 1)
        if answer.work.fault is not None:
            raise answer.work.fault
        if isinstance(answer.response, HttpResponse) and answer.response.body[:1] in b"{[":
            orjson.loads(answer.response.body or b"{}")
        connection = Connection()
        connection.take(answer.response)
        return connection

    def _finished(self, finished: Finished) -> None:
        # One of the tools breaks on purpose; it is the test's own.
        if finished.fault is not None and finished.request.name not in ("breaks", "lies", "typed"):
            self._faults.append(finished.fault)


def new_target() -> Target:
    """Return a target in a fresh directory, which the system's own cleaning of temporary files removes."""
    return Target(tempfile.mkdtemp(prefix="mcpd-fuzz"))
