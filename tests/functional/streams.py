"""A client of event streams that counts what it gets."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from tests.functional.daemon import Daemon
from tests.functional.mcp import ACCEPT, HANDSHAKE, META, MODERN


@dataclass(frozen=True)
class Event:
    """One server-sent event; ``data`` is decoded JSON, None where there was none."""

    id: str | None
    data: Any


class EventStream:
    """One open stream; ``events`` yields what comes until the server ends it."""

    def __init__(
        self, rpc: Daemon, method: str, body: bytes, headers: dict[str, str], timeout_s: float = 10, path: str = "/mcp"
    ) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", rpc.port, timeout=timeout_s)
        self._connection.request(method, path, body, headers)
        self.response = self._connection.getresponse()
        self.comments = 0

    def events(self) -> Iterator[Event]:
        """Yield each event as it comes."""
        fields: dict[str, str] = {}
        while line := self.response.readline():
            text = line.decode().rstrip("\n")
            if text.startswith(":"):
                self.comments += 1
            elif text:
                name, _, value = text.partition(": ")
                fields[name] = value
            elif fields:
                if "data" in fields:
                    yield Event(fields.get("id"), orjson.loads(fields["data"]) if fields["data"] else None)
                fields = {}

    def take(self, count: int) -> list[Event]:
        """Return the next *count* events."""
        found = self.events()
        return [next(found) for _ in range(count)]

    def close(self) -> None:
        """Go away without a word."""
        self._connection.close()


def listen(rpc: Daemon, request_id: int | str, **notifications: Any) -> EventStream:
    """Open a ``subscriptions/listen`` stream."""
    headers = ACCEPT | {"MCP-Protocol-Version": MODERN, "Mcp-Method": "subscriptions/listen"}
    params = {"_meta": META, "notifications": notifications}
    body = {"jsonrpc": "2.0", "id": request_id, "method": "subscriptions/listen", "params": params}
    return EventStream(rpc, "POST", orjson.dumps(body), headers | {"Content-Type": "application/json"})


def session_stream(
    rpc: Daemon, session_id: str, last_event_id: str | None = None, version: str = HANDSHAKE
) -> EventStream:
    """Open the GET stream of a session."""
    headers = {"Accept": "text/event-stream", "Mcp-Session-Id": session_id, "MCP-Protocol-Version": version}
    if last_event_id is not None:
        headers["Last-Event-ID"] = last_event_id
    return EventStream(rpc, "GET", b"", headers)
