"""mcpd-stdio as a client starts it: a child with a pipe for each way, and every line it ever wrote."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

import mcpd
from tests.functional.daemon import TIMEOUT_S, Daemon
from tests.functional.mcp import HANDSHAKE, META

Json = dict[str, Any]
INFO = {"name": "test", "version": "0"}


def command(socket_path: Path, *options: str) -> list[str]:
    """Return the command line of mcpd-stdio from this tree."""
    return [sys.executable, "-m", "mcpd.daemons.stdio", "--socket", str(socket_path), *options]


def environment() -> dict[str, str]:
    """Return what the child needs to find this tree."""
    return dict(os.environ) | {"PYTHONPATH": str(Path(mcpd.__file__).parents[1])}


class Bridge:
    """A running mcpd-stdio; ``ask`` waits for one answer, ``take`` for the next line whatever it is."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.lines: list[Json] = []
        self._arrived: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._kept: list[Json] = []
        self._next_id = 100
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._arrived.put(line)
        self._arrived.put(b"")

    def send(self, message: object) -> None:
        """Send *message*: a value as a line of JSON, bytes as they are."""
        assert self.process.stdin is not None
        self.process.stdin.write(message if isinstance(message, bytes) else orjson.dumps(message) + b"\n")
        self.process.stdin.flush()

    def request(
        self, method: str, params: Json | None = None, request_id: object = None, *, modern: bool = True
    ) -> Any:
        """Send a request; return its id."""
        self._next_id += 1
        chosen = self._next_id if request_id is None else request_id
        meta = {"_meta": META} if modern else {}
        self.send({"jsonrpc": "2.0", "id": chosen, "method": method, "params": {**meta, **(params or {})}})
        return chosen

    def ask(self, method: str, params: Json | None = None, *, modern: bool = True) -> Json:
        """Send a request; return its answer, and keep what else comes meanwhile."""
        return self.answer(self.request(method, params, modern=modern))

    def call(self, tool: str, *, modern: bool = True, **arguments: Any) -> Json:
        """Call a tool that must succeed; return its structured content."""
        answer = self.ask("tools/call", {"name": tool, "arguments": arguments}, modern=modern)
        assert answer["result"]["isError"] is False, answer
        content: Json = answer["result"]["structuredContent"]
        return content

    def answer(self, request_id: object) -> Json:
        """Return the answer to the request *request_id*."""
        for place, message in enumerate(self._kept):
            if "method" not in message and message.get("id") == request_id:
                return self._kept.pop(place)
        while True:
            message = self._receive()
            if "method" not in message and message.get("id") == request_id:
                return message
            self._kept.append(message)

    def take(self, timeout_s: float = TIMEOUT_S) -> Json:
        """Return the next message that nobody asked for."""
        return self._kept.pop(0) if self._kept else self._receive(timeout_s)

    def _receive(self, timeout_s: float = TIMEOUT_S) -> Json:
        line = self._arrived.get(timeout=timeout_s)
        assert line, "mcpd-stdio ended"
        message: Json = orjson.loads(line)
        self.lines.append(message)
        return message

    def rest(self) -> list[Json]:
        """Return what came until the end and was not asked for."""
        while line := self._arrived.get(timeout=TIMEOUT_S):
            self._kept.append(orjson.loads(line))
            self.lines.append(self._kept[-1])
        kept, self._kept = self._kept, []
        return kept

    def initialize(self, version: str = HANDSHAKE) -> Json:
        """Open a session and its stream."""
        params = {"protocolVersion": version, "capabilities": {}, "clientInfo": INFO}
        answer = self.ask("initialize", params, modern=False)
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer

    def close(self) -> tuple[int, str]:
        """End the input; return exit status and stderr."""
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        self.process.stdin.close()
        status = self.process.wait(TIMEOUT_S)
        return status, self.process.stderr.read().decode()


@contextmanager
def bridge(rpc: Daemon, *options: str, socket_path: Path | None = None, **popen: Any) -> Iterator[Bridge]:
    """Run mcpd-stdio against *rpc*."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command(socket_path or rpc.socket_path, *options),
        stdin=pipe, stdout=pipe, stderr=pipe, env=environment(), **popen,
    )  # fmt: skip
    try:
        yield Bridge(process)
    finally:
        process.kill()
        process.wait()
