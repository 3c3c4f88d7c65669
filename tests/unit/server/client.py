"""A client of a ``Core`` without sockets: posts, gets, hears streams, comes and goes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import orjson

from mcpd.access.callers import Caller
from mcpd.access.scopes import ALL
from mcpd.config import Config
from mcpd.plugins.base import Plugin
from mcpd.protocol.http import HttpLater, HttpRequest, HttpResponse, HttpStream
from mcpd.protocol.revisions import CLIENT_CAPABILITIES, PROTOCOL_VERSION
from mcpd.protocol.signing import KEY_BYTES
from mcpd.protocol.sse import Event, EventReader
from mcpd.server.calls import Finished
from mcpd.server.core import Answer, Core, Exchange
from mcpd.store.database import Database

MODERN = "2026-07-28"
FORM: dict[str, Any] = {"elicitation": {}}
TASKS: dict[str, Any] = {"extensions": {"io.modelcontextprotocol/tasks": {}}}


class Connection:
    """One request's connection: a body, or the events of a stream; ``leave`` it as a client does."""

    def __init__(self) -> None:
        self.status = 0
        self.body = b""
        self.events: list[Event] = []
        self.blocked = False
        self.ended = asyncio.Event()
        self.is_stream = False
        self._reader = EventReader()
        self._answerer: Any = None
        self._news = asyncio.Event()

    def take(self, response: HttpResponse | HttpStream | HttpLater) -> None:
        if isinstance(response, HttpLater):
            self._answerer = response.waiter
            response.waiter.awaited(self.take)
        elif isinstance(response, HttpStream):
            self.status, self.is_stream, self._answerer = response.status, True, response.stream
            response.stream.opened(self)
        else:
            self.status, self.body, self._answerer = response.status, response.body, None
            self.end()

    def send(self, data: bytes) -> None:
        self.events += self._reader.receive_data(data)
        self._news.set()

    def end(self) -> None:
        self._answerer = None
        self.ended.set()
        self._news.set()

    def leave(self) -> None:
        answerer, self._answerer = self._answerer, None
        if answerer is not None:
            answerer.closed()

    @property
    def messages(self) -> list[Any]:
        return [orjson.loads(event.data) for event in self.events if event.data[:1] == b"{"]

    async def message(self, number: int) -> Any:
        """Return message *number* of the stream as soon as it is there."""
        async with asyncio.timeout(5):
            while len(self.messages) <= number:
                assert not self.ended.is_set(), (self.status, self.body, self.messages)
                self._news.clear()
                await self._news.wait()
        return self.messages[number]

    async def answer(self) -> Any:
        """Return the last message once it has come."""
        async with asyncio.timeout(5):
            await self.ended.wait()
        return orjson.loads(self.body) if self.body else self.messages[-1] if self.messages else None


class Site:
    """A core with *plugin*, as one daemon after the other runs it on *db*."""

    def __init__(self, db: Database, plugin: Plugin, config: Config | None = None) -> None:
        self.core = Core(db, config or Config(), bytes(KEY_BYTES), plugin)
        self.finished: list[Finished] = []
        self.now_us = 1_000_000
        self.scopes = ALL
        self.has_faults = False
        self.core.jobs.wake = self._wake
        self.core.calls.finished = self.finished.append

    def _wake(self) -> None:
        asyncio.get_running_loop().call_soon(self.turn)

    def turn(self, exchanges: Sequence[Exchange] = ()) -> list[Answer]:
        self.now_us += 1000
        answers = self.core.answer_turn(exchanges, self.now_us)
        assert self.has_faults or [answer.work.fault for answer in answers if answer.work.fault] == []
        return answers

    def send(
        self, value: Any, headers: dict[bytes, bytes] | None = None, *, method: str = "POST", path: str = "/mcp",
        caller: str = "root",
    ) -> Connection:  # fmt: skip
        path, _, query = path.partition("?")
        lines = {b"host": b"localhost", b"content-type": b"application/json", **(headers or {})}
        body = b"" if value is None else orjson.dumps(value)
        connection = Connection()
        who = Caller(caller, True, scopes=self.scopes)
        exchange = Exchange(HttpRequest(method, path, query, lines, body, True), who)
        connection.take(self.turn([exchange])[0].response)
        return connection

    def modern(
        self, method: str, capabilities: Any = None, *, caller: str = "root", meta: Any = None, headers: Any = None,
        **params: Any,
    ) -> Connection:  # fmt: skip
        """Send a request of the stateless era."""
        known = {PROTOCOL_VERSION: MODERN, CLIENT_CAPABILITIES: capabilities or {}, **(meta or {})}
        value = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": known}}
        name = params.get("name", params.get("taskId", ""))
        lines = {b"mcp-protocol-version": MODERN.encode(), b"mcp-method": method.encode(), b"mcp-name": name.encode()}
        return self.send(value, {**lines, **(headers or {})}, caller=caller)

    def call(self, name: str, capabilities: Any = None, **more: Any) -> Connection:
        """Call a tool in the stateless era."""
        return self.modern("tools/call", capabilities, name=name, **more)


class Session:
    """A session of the handshake era on a ``Site``, and on the one that comes after it."""

    def __init__(self, site: Site, version: str = "2025-11-25", capabilities: Any = None) -> None:
        self.site = site
        params = {
            "protocolVersion": version,
            "capabilities": capabilities or {},
            "clientInfo": {"name": "t", "version": "1"},
        }
        value = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        lines = {b"host": b"localhost", b"content-type": b"application/json"}
        exchange = Exchange(HttpRequest("POST", "/mcp", "", lines, orjson.dumps(value), True), Caller("root", True))
        [answer] = site.turn([exchange])
        assert isinstance(answer.response, HttpResponse)
        found = answer.response.headers.split(b"Mcp-Session-Id: ")[1]
        self._headers = {b"mcp-session-id": found.split(b"\r\n")[0]}

    def post(self, value: Any, **headers: bytes) -> Connection:
        return self.site.send(value, {**self._headers, **{k.encode(): v for k, v in headers.items()}})

    def ask(self, method: str, request_id: int = 1, **params: Any) -> Connection:
        return self.post({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})

    def call(self, name: str, request_id: int = 1, **params: Any) -> Connection:
        return self.ask("tools/call", request_id, name=name, **params)

    def answer(self, request_id: str, result: Any) -> Connection:
        return self.post({"jsonrpc": "2.0", "id": request_id, "result": result})

    def get(self, last_event_id: str | None = None) -> Connection:
        lines = {} if last_event_id is None else {b"last-event-id": last_event_id.encode()}
        return self.site.send(None, {**self._headers, **lines}, method="GET")

    def delete(self) -> Connection:
        return self.site.send(None, self._headers, method="DELETE")
