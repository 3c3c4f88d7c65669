"""The ways back to sessions' clients: refused calls leave none behind, and each that is open comes to its end."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from mcpd.access.scopes import ALL
from mcpd.config import Config, Limits, Tools
from mcpd.server import channels
from mcpd.store.database import Database
from tests.unit.server.client import FORM, Connection, Session, Site
from tests.unit.server.test_calls import play
from tests.unit.server.tools import World

FREE = Limits(requests_per_min=0)
BATCHES = "2025-03-26"


def call(name: str, request_id: int) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": {"name": name}}


def cancelled(request_id: object) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": request_id}}


PING = {"jsonrpc": "2.0", "id": 9, "method": "ping"}


def known(site: Site) -> int:
    return len(site.core.calls.channels._by_call)


async def answered(connection: Connection, session: Session) -> Any:
    """Answer the questions of *connection* with a name and an age until it ends; return its last message."""
    for number, content in enumerate(({"name": "Bob"}, {"age": 7})):
        asked = await connection.message(number)
        assert session.answer(asked["id"], {"action": "accept", "content": content}).status == 202
    return await connection.answer()


@pytest.mark.parametrize("config", [Config(limits=FREE), Config(limits=FREE, tools=Tools(max_calls=1))])
def test_a_refused_call_leaves_nothing_behind(db: Database, config: Config) -> None:
    async def scene(site: Site, world: World) -> None:
        session = Session(site)
        if config.tools.max_calls == 1:
            session.call("waits")
            await world.began.wait()
        else:
            site.scopes = frozenset({"read"})
        before = known(site)
        for number in range(20):
            assert "error" in await session.call("plain", number).answer()
        assert known(site) == before
        site.scopes = ALL
        world.go.set()

    play(db, scene, config)


def test_an_answered_call_is_forgotten_and_of_the_others_the_oldest(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "_KEPT", 3)

    async def scene(site: Site, _: World) -> None:
        session = Session(site, capabilities=FORM)
        for number in range(5):
            await session.call("plain", number).answer()
        await asyncio.sleep(0)
        assert known(site) == 0
        for number in range(5):
            await session.call("reports", number).answer()
        await asyncio.sleep(0)
        assert known(site) == 3
        waiting = [session.call("asks_two", number) for number in range(5)]
        for connection in waiting:
            await connection.message(0)
        await asyncio.sleep(0)
        assert known(site) == 3 + 5  # who is there is not forgotten
        for connection in waiting:
            connection.leave()
        assert known(site) == 3
        [place] = [event.id for event in waiting[0].events if b"elicitation" in event.data]
        assert place is not None
        again = session.get(f"{place.rsplit('-', 1)[0]}-0")
        assert (await answered(again, session))["result"]["content"][0]["text"] == "{'name': 'Bob'} {'age': 7}"

    play(db, scene, Config(limits=FREE))


@pytest.mark.parametrize("config", [Config(), Config(tools=Tools(max_calls=1))])
def test_a_batch_with_a_refused_call_is_answered(db: Database, config: Config) -> None:
    async def scene(site: Site, world: World) -> None:
        session = Session(site, BATCHES)
        if config.tools.max_calls == 1:
            session.call("waits")
            await world.began.wait()
        else:
            site.scopes = frozenset({"read"})
        answers = await session.post([PING, call("plain", 2)]).answer()
        assert [(answer["id"], "error" in answer) for answer in answers] == [(9, False), (2, True)]
        world.go.set()

    play(db, scene, config)


def test_a_cancelled_member_is_left_out_of_its_batch(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        session = Session(site, BATCHES)
        at_once = session.post([call("waits", 2), cancelled(2), PING])
        assert [answer["id"] for answer in await at_once.answer()] == [9]
        later = session.post([call("waits", 3), PING])
        await world.began.wait()
        assert session.post(cancelled(3)).status == 202
        assert [answer["id"] for answer in await later.answer()] == [9]
        for alone in (session.post([call("waits", 4), cancelled(4)]), session.post([call("waits", 5)])):
            session.post(cancelled(5))
            await alone.answer()
            assert (alone.status, alone.body) == (202, b"")
        await asyncio.sleep(0.01)
        assert known(site) == 0
        assert {outcome for (outcome,) in db.rows("SELECT outcome FROM audit")} == {"cancelled"}

    play(db, scene)


def test_a_member_that_asks_is_answered_in_its_batch(db: Database) -> None:
    async def scene(site: Site, _: World) -> None:
        session = Session(site, BATCHES, FORM)
        connection = session.post([PING, call("asks_two", 2)])
        await answered(connection, session)
        answers = orjson.loads(connection.events[-1].data)
        assert [answer["id"] for answer in answers] == [9, 2]
        assert answers[1]["result"]["content"][0]["text"] == "{'name': 'Bob'} {'age': 7}"
        await asyncio.sleep(0)
        assert known(site) == 0

    play(db, scene)


def test_a_call_cancelled_in_the_turn_that_began_it_ends(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        for version in ("2025-11-25", BATCHES):
            session = Session(site, version)
            connection = session.call("waits", 5)
            session.post(cancelled(5))
            await connection.answer()
            assert connection.status == 202 or not connection.messages
        await asyncio.sleep(0.01)
        assert world.runs == 0

    play(db, scene)


@pytest.mark.parametrize("request_id", [[], {}, True, None, 1.0, [1]])
def test_what_is_no_id_cancels_nothing(db: Database, request_id: object) -> None:
    async def scene(site: Site, world: World) -> None:
        session = Session(site)
        connection = session.call("waits", 1)
        await world.began.wait()
        assert session.post(cancelled(request_id)).status == 202
        world.go.set()
        assert (await connection.answer())["id"] == 1

    play(db, scene)


def test_ending_a_session_ends_its_streams(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        session, other = Session(site, capabilities=FORM), Session(site)
        asking, running = session.call("asks_two", 1), session.call("waits", 2)
        await asking.message(0)
        await world.began.wait()
        listening, others = session.get(), other.get()
        assert session.ask("resources/subscribe", uri="activity://recent").status == 200
        assert session.delete().status == 204
        await asyncio.wait_for(asyncio.gather(*(one.ended.wait() for one in (asking, running, listening))), 5)
        heard = len(listening.events)
        site.call("log_activity", arguments={"agent": "a", "activity": "x", "category": "task", "status": "started"})
        await asyncio.sleep(0.01)
        assert len(listening.events) == heard
        assert not others.ended.is_set()
        assert known(site) == 0

    play(db, scene)
