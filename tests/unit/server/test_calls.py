"""Calls that take longer than a turn: how they answer, report, are cancelled and fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mcpd.config import Config, Tools
from mcpd.store.database import Database
from tests.unit.server.client import FORM, Session, Site
from tests.unit.server.tools import World

Scene = Callable[[Site, World], Awaitable[None]]


def play(db: Database, scene: Scene, config: Config | None = None) -> None:
    """Run *scene* with a site that has the test's tools."""

    async def main() -> None:
        world = World()
        await scene(Site(db, world.plugin(), config), world)

    asyncio.run(main())


def text(answer: Any) -> str:
    content = answer["result"]["content"]
    assert len(content) == 1
    return str(content[0]["text"])


def test_an_answer_with_nothing_said_before_it_is_plain_json_and_audited(db: Database) -> None:
    async def scene(site: Site, _: World) -> None:
        connection = site.call("stored", meta={"traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"})
        assert text(await connection.answer()) == "True"
        assert not connection.is_stream
        rows = db.rows("SELECT caller, operation, resource, outcome, trace FROM audit")
        assert rows == [("root", "tools/call", "stored", "ok", "00-" + "a" * 32 + "-" + "b" * 16 + "-01")]
        assert db.rows("SELECT name FROM agents") == [("somebody",)]
        [finished] = site.finished
        assert (finished.status, finished.refusal, finished.request.name) == (200, None, "stored")

    play(db, scene)


def test_progress_grows_and_only_what_was_asked_for_is_logged(db: Database) -> None:
    async def scene(site: Site, _: World) -> None:
        level = {"io.modelcontextprotocol/logLevel": "warning"}
        connection = site.call("reports", meta={"progressToken": 7, **level})
        assert text(await connection.answer()) == "reported"
        *told, _ = connection.messages
        assert [m["params"] for m in told] == [
            *({"progressToken": 7, "progress": n, "total": 100, "message": f"{n} %"} for n in (0, 50, 100)),
            {"level": "warning", "logger": "tools", "data": {"loudly": True}},
        ]
        quiet = site.call("reports")
        assert text(await quiet.answer()) == "reported"
        assert not quiet.is_stream
        wrong = await site.call("reports", meta={"io.modelcontextprotocol/logLevel": "loud"}).answer()
        assert wrong["error"]["code"] == -32602

    play(db, scene)


def test_a_client_that_takes_no_stream_gets_the_answer_alone(db: Database) -> None:
    async def scene(site: Site, _: World) -> None:
        connection = site.call("reports", meta={"progressToken": 7}, headers={b"accept": b"application/json"})
        assert text(await connection.answer()) == "reported"
        assert not connection.is_stream

    play(db, scene)


def test_a_quiet_call_shows_that_it_lives(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        connection = site.call("waits")
        await world.began.wait()
        connection._answerer.quiet()
        assert connection.is_stream
        world.go.set()
        assert text(await connection.answer()) == "waited"

    play(db, scene)


def test_a_session_hears_from_the_level_on_that_it_set(db: Database) -> None:
    async def scene(site: Site, _: World) -> None:
        session = Session(site)
        connection = session.call("reports")
        await connection.answer()
        assert [m["params"]["level"] for m in connection.messages[:-1]] == ["warning"]
        assert await session.ask("logging/setLevel", level="debug").answer() == {
            "jsonrpc": "2.0",
            "id": 1,
            "result": {},
        }
        after = Session(site)
        for one, heard in ((session, ["debug", "warning"]), (after, ["warning"])):
            connection = one.call("reports")
            await connection.answer()
            assert [m["params"]["level"] for m in connection.messages[:-1]] == heard
        assert (await session.ask("logging/setLevel", level="loud").answer())["error"]["code"] == -32602

    play(db, scene)


@pytest.mark.parametrize(
    ("tool", "told", "fault"),
    [
        ("fails", "it does not want to", False),
        ("breaks", "internal error; the journal has the details", True),
        ("lies", "internal error; the journal has the details", True),
        ("typed", "internal error; the journal has the details", True),
    ],
)
def test_a_failure_is_told_and_a_fault_only_to_the_journal(db: Database, tool: str, told: str, fault: bool) -> None:
    async def scene(site: Site, _: World) -> None:
        answer = await site.call(tool).answer()
        if fault:
            assert answer["error"] == {"code": -32603, "message": told}
        else:
            assert (text(answer), answer["result"]["isError"]) == (told, True)
        [finished] = site.finished
        assert (finished.fault is not None) is fault
        assert db.rows("SELECT outcome FROM audit") == [("failed",)]

    play(db, scene)


def test_arguments_are_held_to_the_schema_and_results_shaped_for_the_revision(db: Database) -> None:
    async def scene(site: Site, _: World) -> None:
        number = {b"mcp-param-number": b"1"}
        answer = await site.call("counts", arguments={"number": 1}, headers=number).answer()
        assert answer["result"]["structuredContent"] == [1, 2]
        assert text(answer) == "[1,2]"
        wrong = await site.call("counts", arguments={"number": "one"}, headers={b"mcp-param-number": b"one"}).answer()
        assert wrong["result"]["isError"] is True
        assert text(wrong) == "Invalid arguments for counts: argument 'number': 'one' is not of type 'integer'"
        old = (await Session(site).call("counts", arguments={"number": 1}).answer())["result"]
        assert "structuredContent" not in old  # objects only, before 2026-07-28
        kinds = {}
        for version in ("2025-06-18", "2025-03-26", "2024-11-05"):
            shown = await Session(site, version).call("shows").answer()
            kinds[version] = [block["type"] for block in shown["result"]["content"]]
        assert kinds == {
            "2025-06-18": ["text", "audio", "resource_link"],
            "2025-03-26": ["text", "audio", "text"],
            "2024-11-05": ["text", "text", "text"],
        }

    play(db, scene)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (b"1", None),
        (b"1.0", None),
        (b"=?base64?MQ==?=", None),
        (b"2", -32020),
        (b"=?base64?MQ?=", -32020),
        (None, -32020),
    ],
)
def test_a_marked_argument_is_repeated_in_its_header(db: Database, header: bytes | None, code: int | None) -> None:
    async def scene(site: Site, _: World) -> None:
        lines = {} if header is None else {b"mcp-param-number": header}
        connection = site.call("counts", arguments={"number": 1}, headers=lines)
        answer = await connection.answer()
        assert answer.get("error", {}).get("code") == code
        assert connection.status == (200 if code is None else 400)
        none = await site.call("counts", arguments={}).answer()
        assert none["result"]["isError"] is True  # an argument that is not there needs no header
        local = site.call("counts", arguments={"number": 1}, headers={b"mcpd-transport": b"stdio"})
        assert "result" in await local.answer()

    play(db, scene)


def test_the_client_that_leaves_stops_a_stateless_call(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        connection = site.call("waits")
        await world.began.wait()
        connection.leave()
        await asyncio.wait_for(world.stopped.wait(), 5)
        await asyncio.sleep(0.01)
        assert db.rows("SELECT outcome FROM audit") == [("cancelled",)]
        assert [finished.refusal for finished in site.finished] == ["cancelled by its client"]

    play(db, scene)


def test_a_session_cancels_by_notification_and_gets_no_answer(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        session, other = Session(site), Session(site)
        connection = session.call("waits", 5)
        await world.began.wait()
        cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 5}}
        assert other.post(cancel).status == 202
        await asyncio.sleep(0.01)
        assert not world.stopped.is_set()  # one session cannot cancel another's
        assert session.post(cancel).status == 202
        await asyncio.wait_for(world.stopped.wait(), 5)
        assert await connection.answer() is None

    play(db, scene)


def test_work_in_a_thread_is_told_to_stop(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        connection = site.call("threads")
        await world.began.wait()
        connection.leave()
        await asyncio.wait_for(world.thread_stopped.wait(), 5)

    play(db, scene)


def test_a_call_ends_at_its_time_and_there_are_not_too_many(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        first = site.call("waits")
        await world.began.wait()
        second = site.call("waits")
        assert (await second.answer())["error"]["message"] == "1 calls are under way already; try again later"
        assert second.status == 200  # the transport works; clients take a 503 for a dead server
        assert text(await first.answer()) == "this did not end within 0.05 seconds and was stopped"
        assert world.stopped.is_set()

    play(db, scene, Config(tools=Tools(max_calls=1, timeout_s=0.05)))


def test_a_batch_is_answered_when_the_last_of_it_is(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        session = Session(site, "2025-03-26")
        names = ("waits", "plain")
        calls = [{"jsonrpc": "2.0", "id": name, "method": "tools/call", "params": {"name": name}} for name in names]
        connection = session.post([*calls, {"jsonrpc": "2.0", "id": 3, "method": "ping"}])
        await world.began.wait()
        assert not connection.ended.is_set()
        world.go.set()
        answers = await connection.answer()
        assert [answer["id"] for answer in answers] == ["waits", "plain", 3]

    play(db, scene)


def test_ending_a_session_stops_its_calls(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        session = Session(site, capabilities=FORM)
        session.call("waits")
        asking = session.call("asks_two", 2)
        await asking.message(0)
        await world.began.wait()
        assert session.delete().status == 204
        await asyncio.wait_for(world.stopped.wait(), 5)
        assert db.value("SELECT count(*) FROM calls") == 0

    play(db, scene)


def test_the_old_dialect_calls_such_tools_too(db: Database) -> None:
    async def scene(site: Site, _: World) -> None:
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "plain"}}
        assert text(await site.send(call, path="/jsonrpc").answer()) == "plain"
        call["params"] = {"name": "asks_two"}
        assert (await site.send(call, path="/jsonrpc").answer())["result"]["isError"] is True

    play(db, scene)


def test_a_notification_to_the_old_dialect_need_not_declare_what_its_client_can(db: Database) -> None:
    async def scene(site: Site, _: World) -> None:
        meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}
        for declared in ({}, {"io.modelcontextprotocol/clientCapabilities": "none"}):
            params = {"name": "plain", "_meta": meta | declared}
            connection = site.send({"jsonrpc": "2.0", "method": "tools/call", "params": params}, path="/jsonrpc")
            await connection.answer()
            assert connection.status in (200, 204)

    play(db, scene)
