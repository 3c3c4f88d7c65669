"""Every event to everyone, once and in order, whatever they take and when; on a real database, with random clients."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Coroutine

import pytest

from mcpd.store import audit, events
from mcpd.store.audit import Entry
from mcpd.store.database import Database
from mcpd.ws import log
from mcpd.ws.feed import Feed, Listener, Replay
from mcpd.ws.log import Log
from mcpd.ws.topics import Subscription
from mcpd.ws.wire import PLAIN

ALL = Subscription(frozenset({"activity"}))
DATA = {"id": 1, "category": "task", "status": "completed", "component": None, "paths": []}


class Client(Listener):
    """A client that notes what it is told."""

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self.feed = feed
        self.heard: list[int] = []
        self.holes: list[tuple[int | None, int]] = []
        self.numbers_lost: list[int | None] = []
        self.is_blocked = False
        self.room = 1_000_000

    @property
    def blocked(self) -> bool:
        return self.is_blocked

    def write(self, frames: bytes) -> None:
        while frames:
            size, head = frames[1], 2
            if size == 126:
                size, head = int.from_bytes(frames[2:4], "big"), 4
            self.heard.append(json.loads(frames[head : head + size])["seq"])
            frames = frames[head + size :]
            self.room -= 1
        if self.room <= 0:
            self.is_blocked = True
            self.feed.fall_behind(self)

    def lost(self, first: int | None, last: int, number: int | None) -> None:
        self.holes.append((first, last))
        self.numbers_lost.append(number)


def scene(db: Database, work: Callable[[Feed], Coroutine[object, object, None]], max_behind: int = 10_000) -> None:
    async def run() -> None:
        await work(Feed(Log(db), max_behind))

    asyncio.run(run())


def add(db: Database, count: int, size: int = 1) -> None:
    with db.transaction():
        for _ in range(count):
            events.add(db, 1, "activity.logged", "a", DATA | {"activity": "y" * size})


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def numbers(db: Database, behind: int = 0) -> list[int]:
    return [row[0] for row in events.since(db, behind, 100_000)]


def test_who_keeps_up_is_told_what_is_new(db: Database) -> None:
    async def work(feed: Feed) -> None:
        client = Client(feed)
        feed.join(client, ALL, PLAIN, feed.log.seq)
        for _ in range(3):
            add(db, 2)
            assert feed.advance()
        assert not feed.advance()
        assert client.heard == numbers(db)

    scene(db, work)


def test_who_comes_late_is_told_everything_from_its_place_on(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_KEPT", 30)  # so that some of it is read from the database again
    add(db, 500)

    async def work(feed: Feed) -> None:
        client = Client(feed)
        feed.join(client, ALL, PLAIN, 0)
        add(db, 450)
        while feed.advance():
            await settle()
        await settle()
        assert client.heard == numbers(db)

    scene(db, work)


def test_a_replay_comes_before_what_is_new_and_only_of_its_subscription(db: Database) -> None:
    add(db, 10)

    async def work(feed: Feed) -> None:
        client = Client(feed)
        client.replays = (Replay(ALL, 3, 6), Replay(Subscription(frozenset({"none"})), 0, 10))
        feed.join(client, ALL, PLAIN, feed.log.seq)
        add(db, 2)
        feed.advance()
        await settle()
        found = numbers(db)
        assert client.heard == [seq for seq in found if 3 < seq <= 6] + found[-2:]

    scene(db, work)


def test_who_falls_too_far_behind_is_told_what_it_lost(db: Database) -> None:
    async def work(feed: Feed) -> None:
        client, quick = Client(feed), Client(feed)
        client.room = 5
        for each in (client, quick):
            feed.join(each, ALL, PLAIN, feed.log.seq)
        for _ in range(30):
            add(db, 1)
            feed.advance()
        client.is_blocked, client.room = False, 1000
        feed.catch_up(client)
        await settle()
        found = numbers(db)
        assert client.heard == found[:5] + found[-10:]
        assert (client.holes, client.numbers_lost) == ([(found[5], found[-11])], [15])
        assert quick.heard == found

    scene(db, work, max_behind=10)


@pytest.mark.parametrize(("most", "lost"), [(44, 18), (43, None)])
def test_what_is_lost_is_counted_among_what_it_listens_to_unless_it_is_too_much(
    most: int, lost: int | None, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By topic and agent, calls too, which are events by their audit records."""
    monkeypatch.setattr(log, "MAX_COUNTED", most)
    subscription = Subscription(frozenset({"activity", "tool.called"}), frozenset({"a"}))

    async def work(feed: Feed) -> None:
        client = Client(feed)
        feed.join(client, subscription, PLAIN, feed.log.seq)
        client.is_blocked = True
        feed.fall_behind(client)
        with db.transaction():
            for _ in range(10):
                events.add(db, 1, "activity.logged", "a", DATA | {"activity": "x"})
                events.add(db, 1, "activity.logged", "b", DATA | {"activity": "x"})
                events.add(db, 1, "agent.heartbeat", "a", {})
                audit.add(db, Entry(1, "agent:a", "tools/call", "heartbeat", "ok", 1, "r", None, {}))
                audit.add(db, Entry(1, "agent:a", "consent", "heartbeat", "ok", 1, "r", None, {}))
        while feed.advance():
            pass
        client.is_blocked = False
        feed.catch_up(client)
        await settle()
        assert (client.holes, client.numbers_lost, client.heard) == ([(1, 44)], [lost], [46, 49])

    scene(db, work, max_behind=5)


def test_what_is_not_kept_any_more_is_told_to_be_lost(db: Database) -> None:
    add(db, 10)
    with db.transaction():
        events.remove_to(db, 4)

    async def work(feed: Feed) -> None:
        client = Client(feed)
        feed.join(client, ALL, PLAIN, 1)
        await settle()
        assert (client.holes, client.numbers_lost) == ([(2, 4)], [None])
        assert client.heard == numbers(db, 4)

    scene(db, work)


def test_a_log_that_is_another_one_is_told_of(db: Database) -> None:
    add(db, 3)

    async def work(feed: Feed) -> None:
        client = Client(feed)
        feed.join(client, ALL, PLAIN, 0)
        await settle()
        feed.log.use(db)
        feed.restart()
        assert client.holes == [(None, feed.log.seq)]

    scene(db, work)


def happen(feed: Feed, db: Database, clients: list[Client], chance: random.Random) -> None:
    """Let something happen to the log or to one of *clients*."""
    client = chance.choice(clients)
    action = chance.randrange(5)
    if action == 0:
        add(db, chance.randrange(1, 40), chance.choice((1, 2000)))
    elif action == 1:
        feed.advance()
    elif action == 2:
        client.room = chance.randrange(1, 30)
    elif action == 3 and client.is_blocked:
        client.is_blocked, client.room = False, chance.randrange(1, 300)
        feed.catch_up(client)
    else:  # as by a restart, or another subscription
        feed.join(client, ALL, PLAIN, feed.place_of(client))


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_everyone_hears_everything_once_and_in_order(db: Database, seed: int) -> None:
    chance = random.Random(seed)

    async def work(feed: Feed) -> None:
        clients = [Client(feed) for _ in range(10)]
        for client in clients:
            feed.join(client, ALL, PLAIN, 0)
        for _ in range(300):
            happen(feed, db, clients, chance)
            await asyncio.sleep(0)
        while feed.advance():
            await settle()
        for client in clients:
            client.is_blocked, client.room = False, 1_000_000
            feed.catch_up(client)
        for _ in range(100):
            await settle()
        assert all(client.heard == numbers(db) for client in clients)

    scene(db, work)
