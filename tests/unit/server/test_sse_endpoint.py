"""HTTP with SSE, the transport of 2024-11-05: one stream for everything, posts that are only accepted."""

from __future__ import annotations

import asyncio
from typing import Any

from mcpd.store.database import Database
from tests.unit.server.client import FORM, Connection, Site
from tests.unit.server.test_asking import BOB, OLD
from tests.unit.server.test_calls import play, text
from tests.unit.server.tools import World


class Old:
    """A client of that time."""

    def __init__(self, site: Site, version: str = "2024-11-05", capabilities: Any = None) -> None:
        self.site = site
        self.stream = site.send(None, {b"accept": b"text/event-stream"}, method="GET", path="/sse")
        self.endpoint = self.stream.events[0].data.decode()
        params = {"protocolVersion": version, "capabilities": capabilities or {}, "clientInfo": {}}
        self.initialize = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}

    def post(self, value: Any, caller: str = "root") -> Connection:
        return self.site.send(value, path=self.endpoint, caller=caller)

    async def ask(self, method: str, request_id: int = 1, **params: Any) -> Any:
        """Return the next message that is no notification."""
        heard = len(self.stream.messages)
        assert self.post({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}).status == 202
        while "id" not in (message := await self.stream.message(heard)):
            heard += 1
        return message


async def begun(site: Site, version: str = "2024-11-05", capabilities: Any = None) -> Old:
    client = Old(site, version, capabilities)
    assert client.post(client.initialize).status == 202
    opened = await client.stream.message(0)
    assert opened["result"]["protocolVersion"] == version
    return client


def test_the_stream_brings_all_answers(db: Database) -> None:
    async def scene(site: Site, _: World) -> None:
        client = await begun(site)
        assert client.endpoint.startswith("/messages?session=")
        assert (await client.ask("ping"))["result"] == {}
        beat = await client.ask("tools/call", name="heartbeat", arguments={"agent": "a"})
        assert beat["result"]["isError"] is False
        assert text(await client.ask("tools/call", name="plain")) == "plain"
        assert (await client.ask("no/such"))["error"]["code"] == -32601
        assert (await client.ask("tools/call", name="no_such"))["error"]["code"] == -32602
        assert client.post({"jsonrpc": "2.0", "method": "notifications/initialized"}).status == 202

    play(db, scene)


def test_a_change_that_was_not_kept_is_not_told_as_done(db: Database) -> None:
    async def scene(site: Site, _: World) -> None:
        client = await begun(site)
        db.connection.set_commit_hook(lambda: True)
        answer = await client.ask("tools/call", name="heartbeat", arguments={"agent": "a"})
        assert "nothing of this request was kept" in answer["error"]["message"]

    play(db, scene)


def test_it_can_be_asked_subscribe_and_cancel(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        client = await begun(site, "2025-06-18", FORM)
        question = await client.ask("tools/call", 5, name="asks_two")
        client.post({"jsonrpc": "2.0", "id": question["id"], "result": BOB})
        second = await client.stream.message(2)
        client.post({"jsonrpc": "2.0", "id": second["id"], "result": OLD})
        assert text(await client.stream.message(3)) == "{'name': 'Bob'} {'age': 99}"
        assert (await client.ask("resources/subscribe", uri="activity://recent"))["result"] == {}
        logged = {"agent": "a", "activity": "x", "category": "task"}
        await client.ask("tools/call", name="log_activity", arguments=logged)
        await client.stream.message(7)
        methods = [message.get("method") for message in client.stream.messages]
        assert "notifications/resources/updated" in methods
        client.post({"jsonrpc": "2.0", "id": 8, "method": "tools/call", "params": {"name": "waits"}})
        await world.began.wait()
        client.post({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 8}})
        await asyncio.wait_for(world.stopped.wait(), 5)

    play(db, scene)


def test_a_session_is_its_openers_and_ends_with_its_stream(db: Database) -> None:
    async def scene(site: Site, world: World) -> None:
        client = Old(site)
        early = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        assert client.post(early).status == 202
        assert "initialize" in (await client.stream.message(0))["error"]["message"]
        client.post(client.initialize)
        assert client.post(early, caller="mallory").status == 404
        client.post({"jsonrpc": "2.0", "id": 8, "method": "tools/call", "params": {"name": "waits"}})
        await world.began.wait()
        client.stream.leave()
        await asyncio.wait_for(world.stopped.wait(), 5)
        assert client.post(early).status == 404
        assert site.send(early, path="/messages").status == 404
        assert client.site.send(None, {b"accept": b"text/html"}, method="GET", path="/sse").status == 406

    play(db, scene)
