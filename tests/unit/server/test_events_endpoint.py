"""Events as clients read them: a stream or a document, behind a place that may be gone or not there yet."""

from __future__ import annotations

from typing import Any

import jsonschema
import orjson
import pytest

from mcpd.plugins.base import Plugin
from mcpd.protocol import events as catalogue
from mcpd.server.events_endpoint import PATH
from mcpd.store import events
from mcpd.store.database import Database
from tests.unit.server.client import Connection, Session, Site


@pytest.fixture
def site(db: Database) -> Site:
    return Site(db, Plugin())


def stream(site: Site, query: str = "", **headers: str) -> Connection:
    lines = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    opened = site.send(None, lines, method="GET", path=f"{PATH}?{query}")
    assert opened.is_stream, opened.body
    return opened


def page(site: Site, query: str = "") -> Any:
    answer = site.send(None, method="GET", path=f"{PATH}?follow=false&{query}")
    assert answer.status == 200, answer.body
    return orjson.loads(answer.body)


def happen(site: Site, *agents: str, tool: str = "heartbeat") -> None:
    for agent in agents:
        site.call(tool, arguments={"agent": agent})


def heard(connection: Connection) -> list[tuple[int, str, str | None]]:
    return [(message["seq"], message["topic"], message["agent"]) for message in connection.messages if "seq" in message]


def named(connection: Connection) -> list[tuple[str | None, Any]]:
    return [(event.name, orjson.loads(event.data)) for event in connection.events if event.name]


def test_a_stream_begins_now_and_tells_everything_in_order(site: Site) -> None:
    happen(site, "a")
    opened = stream(site)
    assert (opened.status, [event.id for event in opened.events], opened.events[0].retry_ms) == (200, [None, "3"], 500)
    happen(site, "a", "b")
    assert heard(opened) == [
        (4, "agent.heartbeat", "a"), (5, "tool.called", "a"),
        (6, "agent.new", "b"), (7, "agent.heartbeat", "b"), (8, "tool.called", "b"),
    ]  # fmt: skip
    assert [event.id for event in opened.events[2:]] == ["4", "5", "6", "7", "8"]
    validator = jsonschema.Draft202012Validator(catalogue.schema())
    for message in opened.messages:
        validator.validate(message)
    opened.leave()
    happen(site, "a")
    assert len(heard(opened)) == 5


def test_topics_and_agents_narrow_it(site: Site) -> None:
    new, of_b, both = (
        stream(site, "topic=agent.new"),
        stream(site, "agent=b&topic=agent"),
        stream(site, "topic=tool,*.new"),
    )
    happen(site, "a", "b", "a")
    assert [topic for _, topic, _ in heard(new)] == ["agent.new"] * 2
    assert [(topic, agent) for _, topic, agent in heard(of_b)] == [("agent.new", "b"), ("agent.heartbeat", "b")]
    assert [topic for _, topic, _ in heard(both)] == ["agent.new", "tool.called"] * 2 + ["tool.called"]


@pytest.mark.parametrize("how", ["since", "header"])
def test_a_client_that_comes_back_misses_nothing(site: Site, how: str) -> None:
    first = stream(site)
    happen(site, "a", "b")
    first.leave()
    last = heard(first)[2][0]
    happen(site, "c")
    back = stream(site, f"since={last}") if how == "since" else stream(site, "since=0", last_event_id=str(last))
    happen(site, "d")
    assert heard(first)[:3] + heard(back) == heard(stream(site, "since=0"))


def test_a_number_that_no_event_has_yet_is_told(site: Site) -> None:
    happen(site, "a")
    opened = stream(site, "since=1000")
    assert named(opened) == [("reset", {"asked": 1000, "after": 3})]
    happen(site, "a")
    assert [number for number, _, _ in heard(opened)] == [4, 5]
    found = page(site, "since=1000")
    assert (found["events"], found["reset"], found["next"], found["gap"]) == ([], {"asked": 1000, "after": 5}, 5, None)


def test_what_retention_removed_is_told(site: Site, db: Database) -> None:
    happen(site, "a", "b", "c")
    events.remove_to(db, 5)
    opened = stream(site, "since=2")
    assert named(opened) == [("gap", {"asked": 2, "after": 5})]
    assert [event.id for event in opened.events if event.name] == ["5"]
    assert [number for number, _, _ in heard(opened)] == [6, 7, 8, 9]
    assert named(stream(site, "since=5")) == []
    found = page(site, "since=2")
    assert (found["gap"], found["events"][0]["seq"]) == ({"asked": 2, "after": 5}, 6)
    events.remove_to(db, 9)
    found = page(site, "since=2")
    assert (found["gap"], found["next"], found["events"]) == ({"asked": 2, "after": 9}, 9, [])
    assert page(site)["gap"] is None


def test_a_client_that_is_slow_reads_on_from_its_place_or_is_told_what_it_lost(site: Site, db: Database) -> None:
    slow = stream(site, "topic=agent.heartbeat")
    slow.blocked = True
    happen(site, "a", "b")
    assert heard(slow) == []
    slow.blocked = False
    slow._answerer.drained()
    assert [agent for _, _, agent in heard(slow)] == ["a", "b"]
    slow.blocked = True
    happen(site, "c", "d")
    events.remove_to(db, events.newest(db))
    slow.blocked = False
    slow._answerer.drained()
    happen(site, "e")
    assert [agent for _, _, agent in heard(slow)] == ["a", "b", "e"]
    assert named(slow) == [("gap", {"asked": 5, "after": 12})]


def test_a_client_that_hears_little_learns_how_far_it_has_come(site: Site, db: Database) -> None:
    rare = stream(site, "topic=alert")
    with db.transaction():
        for _ in range(1200):
            events.add(db, 1, "agent.heartbeat", "a", {})
    site.core.look()
    places = [event.id for event in rare.events if event.id]
    assert places == ["0", "500", "1000"]
    assert rare.messages == []


def test_a_document_of_the_last_and_of_what_is_behind_a_number(site: Site) -> None:
    happen(site, *(f"a{number}" for number in range(20)))
    last = page(site, "limit=3&topic=agent.new")
    assert [event["agent"] for event in last["events"]] == ["a17", "a18", "a19"]
    assert (last["next"], last["newest"], last["more"]) == (60, 60, False)
    found: list[int] = []
    place, more = 0, True
    while more:
        answer = page(site, f"since={place}&limit=7&topic=agent,tool")
        found += [event["seq"] for event in answer["events"]]
        place, more = answer["next"], answer["more"]
    assert found == list(range(1, 61))
    assert page(site, "since=0&topic=alert") == {
        "events": [], "next": 60, "newest": 60, "more": False, "gap": None, "reset": None
    }  # fmt: skip


def test_a_number_that_is_no_event_s_ends_a_document_too(site: Site, db: Database) -> None:
    happen(site, "a")
    db.execute("INSERT INTO audit VALUES (50, 1, 'root', 'terminal.opened', 'a', 'ok', 0, 'r', NULL, '{}', NULL)")
    found = page(site, "since=0")
    assert (found["next"], found["newest"], found["more"]) == (50, 50, False)
    assert named(stream(site, "since=50")) == []


def test_a_time_is_a_place_too(site: Site) -> None:
    happen(site, "a", "b")
    seconds = f"1970-01-01T00:00:01.{site.now_us - 1_000_000:06}Z"
    assert {event["agent"] for event in page(site, f"since={seconds}")["events"]} == {"b"}
    assert page(site, "since=1970-01-01T01:00:00%2B02:00")["events"][0]["seq"] == 1


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("since=x", "expected the number of an event or a time such as"),
        ("since=-1", "expected the number of an event or a time"),
        ("since=", "expected the number of an event or a time"),
        ("since=2026-07-28T12:00:00", "expected the number of an event or a time"),
        ("since=99999999999999999999", "expected a whole number from 0"),
        ("since=%C2%B2", "expected the number of an event or a time"),
        ("topic=", "is no pattern of topics"),
        ("topic=agent.&topic=claim", "is no pattern of topics"),
        ("topic=" + ",".join(f"t{n}" for n in range(65)), "at most 64 patterns"),
        ("follow=maybe", "parameter 'follow': expected true or false"),
        ("follow=false&limit=0", "expected a whole number from 1"),
        ("follow=false&limit=x", "parameter 'limit': expected a whole number"),
        ("topic=%ff", "the query is malformed"),
        ("&".join(["agent=a"] * 101), "the query is malformed"),
    ],
)
def test_a_wrong_parameter_is_named(site: Site, query: str, words: str) -> None:
    answer = site.send(None, method="GET", path=f"{PATH}?{query}")
    assert (answer.status, answer.is_stream) == (400, False)
    assert words in orjson.loads(answer.body)["error"]
    assert len(answer.body) < 400


def test_a_wrong_last_event_id_is_named(site: Site) -> None:
    answer = site.send(None, {b"last-event-id": b"abc-1"}, method="GET", path=PATH)
    assert (answer.status, orjson.loads(answer.body)) == (
        400, {"error": "header Last-Event-ID: expected a whole number from 0, got 'abc-1'"}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("accept", "follow", "is_stream"),
    [
        ("*/*", "", True), ("text/event-stream", "", True), ("application/json", "", False),
        ("application/json, text/event-stream", "", True), ("text/event-stream", "follow=false", False),
        ("application/json", "follow=1", True),
    ],
)  # fmt: skip
def test_what_is_accepted_decides_unless_it_is_said(site: Site, accept: str, follow: str, is_stream: bool) -> None:
    answer = site.send(None, {b"accept": accept.encode()}, method="GET", path=f"{PATH}?{follow}")
    assert (answer.status, answer.is_stream) == (200, is_stream)


def test_the_schema_is_served(site: Site) -> None:
    answer = site.send(None, method="GET", path=f"{PATH}/schema")
    assert orjson.loads(answer.body) == catalogue.schema()


def contents(site: Site, uri: str) -> list[str]:
    answer = orjson.loads(site.modern("resources/read", uri=uri, headers={b"mcp-name": uri.encode()}).body)
    return [event["topic"] for event in orjson.loads(answer["result"]["contents"][0]["text"])["events"]]


def test_the_last_events_are_resources(site: Site) -> None:
    happen(site, "a")
    site.call("register_component", arguments={"name": "api", "owner": "a"})
    assert contents(site, "events://recent") == ["agent.new", "claim.taken", "component.registered"]
    assert contents(site, "events://claim.*") == ["claim.taken"]
    assert contents(site, "events://agent.heartbeat") == ["agent.heartbeat"]
    assert contents(site, "events://agent") == ["agent.new"]
    refused = orjson.loads(
        site.modern("resources/read", uri="events://a..b", headers={b"mcp-name": b"events://a..b"}).body
    )
    assert "error" in refused


def test_a_subscriber_is_told_of_what_the_resource_shows_and_not_of_its_own_reading(site: Site) -> None:
    session = Session(site)
    uris = ["events://recent", "events://claim.*", "events://*.registered", "events://agent.heartbeat"]
    for uri in uris:
        assert "error" not in orjson.loads(session.ask("resources/subscribe", uri=uri).body), uri
    opened = session.get()
    session.ask("resources/read", uri="events://recent")
    happen(site, "a", "a")
    site.call("register_component", arguments={"name": "api", "owner": "a"})
    updated = "notifications/resources/updated"
    told = [message["params"]["uri"] for message in opened.messages if message["method"] == updated]
    assert told.count("events://agent.heartbeat") == 2
    assert told.count("events://claim.*") == told.count("events://*.registered") == 1
    assert told.count("events://recent") == 3
