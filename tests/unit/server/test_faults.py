"""Whatever the function of a plug-in raises is the end of its call alone: the daemon, the store and others go on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mcpd.errors import InvalidParams, ToolFailed
from mcpd.plugins.base import Plugin
from mcpd.protocol.content import Text
from mcpd.resources.base import Resource
from mcpd.store.database import Database
from mcpd.tools.asynchronous import AsyncTool
from mcpd.tools.base import Arguments, Call, Result, Tool
from mcpd.tools.context import Context
from tests.unit.server.client import Connection, Session, Site

INTERNAL = {"code": -32603, "message": "internal error; the journal has the details"}
RAISED = [
    ValueError("the secret detail"), SystemExit(3), KeyboardInterrupt(), BaseException("base"), GeneratorExit(),
    asyncio.CancelledError(), TimeoutError("its own"), StopIteration(), ToolFailed(object()),  # type: ignore[arg-type]
    InvalidParams("with data", object()),
]  # fmt: skip


class Faulty:
    """A plug-in whose functions raise ``raised``, each in its own way."""

    def __init__(self, raised: BaseException) -> None:
        self.raised = raised

    def _raise(self, *_: object) -> Any:
        raise self.raised

    def sync(self, call: Call, _arguments: Arguments) -> Result:
        call.event("half", "a", {})
        return self._raise()  # type: ignore[no-any-return]

    async def waiting(self, _context: Context, _arguments: object) -> str:
        return str(self._raise())

    async def in_thread(self, context: Context, _arguments: object) -> str:
        return str(await context.in_thread(self._raise))

    async def in_store(self, context: Context, _arguments: object) -> str:
        return str(await context.store(self._raise))

    def plugin(self) -> Plugin:
        tools: list[Any] = [
            AsyncTool(name=function.__name__, title="T", description="A test.", function=function)
            for function in (self.waiting, self.in_thread, self.in_store)
        ]
        tools.append(
            Tool(name="sync", title="T", description="A test.", arguments=Arguments, result=Result, function=self.sync)
        )
        return Plugin(tools=tools, resources=[Resource("faulty://x", "x", "X", "It.", "text/plain", self._raise)])


def play(db: Database, plugin: Plugin, scene: Callable[[Site], Awaitable[None]]) -> None:
    async def main() -> None:
        site = Site(db, plugin)
        site.has_faults = True
        await scene(site)

    asyncio.run(main())


async def goes_on(site: Site, db: Database) -> None:
    """Requests are answered still, and what they change is kept."""
    beat = await site.call("heartbeat", arguments={"agent": "after"}).answer()
    assert beat["result"]["isError"] is False
    assert not db.connection.in_transaction
    assert db.value("SELECT count(*) FROM agents WHERE name = 'after'") == 1
    assert db.value("SELECT count(*) FROM events WHERE topic = 'half'") == 0


@pytest.mark.parametrize("raised", RAISED, ids=lambda raised: type(raised).__name__)
@pytest.mark.parametrize("name", ["sync", "waiting", "in_thread", "in_store"])
def test_what_a_function_raises_ends_its_call_alone(db: Database, name: str, raised: BaseException) -> None:
    async def scene(site: Site) -> None:
        answer = await site.call(name).answer()
        assert answer["error"] == INTERNAL
        await goes_on(site, db)
        assert (await Session(site).call(name).answer())["error"] == INTERNAL

    play(db, Faulty(raised).plugin(), scene)


@pytest.mark.parametrize("raised", RAISED[:6], ids=lambda raised: type(raised).__name__)
def test_a_resource_that_raises_ends_its_read_alone(db: Database, raised: BaseException) -> None:
    async def scene(site: Site) -> None:
        read = {b"mcp-name": b"faulty://x"}
        answer = await site.modern("resources/read", uri="faulty://x", headers=read).answer()
        assert answer["error"] == INTERNAL
        await goes_on(site, db)

    play(db, Faulty(raised).plugin(), scene)


def test_others_that_wait_for_the_same_commit_get_theirs(db: Database) -> None:
    async def scene(site: Site) -> None:
        first, second = site.call("in_store"), site.call("stores")
        assert (await first.answer())["error"] == INTERNAL
        assert (await second.answer())["result"]["isError"] is False

    async def stores(context: Context, _arguments: object) -> str:
        return str(await context.store(lambda call: call.heard_of("somebody")))

    plugin = Faulty(StopIteration()).plugin()
    other = AsyncTool(name="stores", title="T", description="A test.", function=stores)
    play(db, Plugin(tools=[*plugin.tools, other]), scene)


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26"])
def test_a_fault_in_a_batch_or_on_a_stream_is_told_beside_the_other_answers(db: Database, version: str) -> None:
    async def scene(site: Site) -> None:
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "sync"}}
        if version == "2025-03-26":
            answers = await Session(site, version).post([ping, call]).answer()
        else:
            stream = _opened(site)
            for message in (ping, call):
                assert site.send(message, path=stream.events[0].data.decode()).status == 202
            answers = [await stream.message(number) for number in (1, 2)]
        assert [answer["id"] for answer in answers] == [1, 2]
        assert answers[1]["error"] == INTERNAL
        await goes_on(site, db)

    play(db, Faulty(SystemExit(3)).plugin(), scene)


def _opened(site: Site) -> Connection:
    stream = site.send(None, {b"accept": b"text/event-stream"}, method="GET", path="/sse")
    params = {"protocolVersion": "2024-11-05", "capabilities": {}, "clientInfo": {}}
    begin = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
    assert site.send(begin, path=stream.events[0].data.decode()).status == 202
    return stream


def test_what_cannot_be_told_is_a_fault_and_audited_once(db: Database) -> None:
    async def untold(_context: Context, _arguments: object) -> Text:
        return Text("\ud800")

    async def stops_itself(_context: Context, _arguments: object) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return "stopped"

    async def scene(site: Site) -> None:
        assert (await site.call("untold").answer())["error"] == INTERNAL
        assert db.rows("SELECT outcome FROM audit") == [("failed",)]
        assert (await site.call("stops_itself").answer())["error"] == INTERNAL
        await goes_on(site, db)
        assert all(finished.fault is not None for finished in site.finished)

    functions: list[Callable[[Context, Any], Awaitable[Any]]] = [untold, stops_itself]
    names = ("untold", "stops_itself")
    tools = [
        AsyncTool(name=name, title="T", description="A test.", function=function)
        for name, function in zip(names, functions, strict=True)
    ]
    play(db, Plugin(tools=tools), scene)


def test_a_fault_of_ours_in_a_turn_leaves_no_transaction_open(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(site: Site) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(site.core, "_with_headers", lambda *_: sys.exit(3))
            with pytest.raises(SystemExit):
                site.call("heartbeat", arguments={"agent": "before"})
        await goes_on(site, db)
        assert db.value("SELECT count(*) FROM agents WHERE name = 'before'") == 0

    play(db, Plugin(), scene)


@pytest.mark.parametrize("told", [(float("nan"),), (1, "2"), (1, 2, 3), (True,), (float("inf"), None)])
@pytest.mark.parametrize("threaded", [False, True])
def test_progress_that_is_none_is_the_functions_fault(db: Database, told: Any, threaded: bool) -> None:
    async def reports(context: Context, _arguments: object) -> str:
        if threaded:
            await context.in_thread(lambda _: context.progress(*told))
        context.progress(*told)
        return "reported"

    async def scene(site: Site) -> None:
        connection = site.call("reports", meta={"progressToken": 1})
        assert (await connection.answer())["error"] == INTERNAL
        assert not connection.is_stream
        assert isinstance(site.finished[0].fault, TypeError)

    tool = AsyncTool(name="reports", title="T", description="A test.", function=reports)
    play(db, Plugin(tools=[tool]), scene)
