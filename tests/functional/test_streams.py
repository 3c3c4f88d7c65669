"""Streams: who listens hears every committed change once, in order, over slowness and restarts."""

from __future__ import annotations

import signal
import threading
from typing import Any

import psutil

from tests.functional.conftest import UNLIMITED, MakeDaemon
from tests.functional.daemon import Daemon
from tests.functional.mcp import call, in_session, initialize, modern
from tests.functional.streams import listen, session_stream

ID = "io.modelcontextprotocol/subscriptionId"
CHANGED = "notifications/resources/list_changed"
UPDATED = "notifications/resources/updated"


def test_a_subscription_is_acknowledged_first_with_what_is_honoured(rpc: Daemon) -> None:
    stream = listen(rpc, "sub-1", resourcesListChanged=True, toolsListChanged=True, resourceSubscriptions=["agent://a"])
    assert stream.response.status == 200
    assert stream.response.headers["Content-Type"] == "text/event-stream"
    assert stream.response.headers["X-Accel-Buffering"] == "no"
    assert "Mcp-Session-Id" not in stream.response.headers
    (first,) = stream.take(1)
    assert first.data["method"] == "notifications/subscriptions/acknowledged"
    assert first.data["params"] == {
        "notifications": {
            "toolsListChanged": True,
            "resourcesListChanged": True,
            "resourceSubscriptions": ["agent://a"],
        },
        "_meta": {ID: "sub-1"},
    }
    assert first.id is None


def test_a_listener_hears_what_it_asked_for_and_nothing_else(rpc: Daemon) -> None:
    lists, agent = listen(rpc, 1, resourcesListChanged=True), listen(rpc, 2, resourceSubscriptions=["agent://a"])
    for stream in (lists, agent):
        stream.take(1)
    call(rpc, "heartbeat", agent="b")
    call(rpc, "heartbeat", agent="b")
    call(rpc, "update_status", agent="a", status="busy")
    call(rpc, "update_status", agent="a", status="busy", dry_run=True)
    call(rpc, "register_component", name="api", owner="a")
    heard = [event.data for event in lists.take(3)]
    assert [message["method"] for message in heard] == [CHANGED] * 3
    assert heard[0]["params"]["_meta"] == {ID: 1}
    heard = [event.data for event in agent.take(3)]
    assert [(message["method"], message["params"]["uri"]) for message in heard] == [(UPDATED, "agent://a")] * 3
    rpc.stop()
    assert [event.data.get("result", {}).get("resultType") for event in agent.events()] == ["complete"]
    rpc.start()


def test_a_stop_ends_a_subscription_with_its_result_and_the_connection_lives_on(make_daemon: MakeDaemon) -> None:
    rpc = make_daemon(environment={"FDSTORE": "512"})
    stream = listen(rpc, "sub-9", resourcesListChanged=True)
    stream.take(1)
    assert rpc.stop() == 0
    (last,) = stream.events()
    assert last.data["id"] == "sub-9"
    assert last.data["result"]["resultType"] == "complete"
    assert last.data["result"]["_meta"][ID] == "sub-9"
    assert len(rpc.stored) == 1
    rpc.start()
    stream._connection.request("GET", "/api/mcp/health")
    assert stream._connection.getresponse().status == 200


def test_a_malformed_filter_is_refused(shared_rpc: Daemon) -> None:
    wrong: list[object] = [None, [], {"resourceSubscriptions": "agent://a"}, {"resourceSubscriptions": [1]}]
    for notifications in wrong:
        reply = modern(shared_rpc, "subscriptions/listen", {"notifications": notifications})
        assert reply.json["error"]["code"] == -32602, notifications


def test_a_session_stream_resumes_behind_the_last_event_and_misses_nothing(rpc: Daemon) -> None:
    session_id = initialize(rpc).headers["Mcp-Session-Id"]
    stream = session_stream(rpc, session_id)
    (primer,) = stream.take(1)
    assert (primer.id, primer.data) == ("0", None)
    call(rpc, "register_component", name="c0", owner="a")
    (heard,) = stream.take(1)
    assert heard.data == {"jsonrpc": "2.0", "method": CHANGED, "params": {}}
    stream.close()
    for number in range(1, 4):
        call(rpc, "register_component", name=f"c{number}", owner="a")
    rpc.restart()
    call(rpc, "register_component", name="c4", owner="a")
    again = session_stream(rpc, session_id, heard.id)
    missed = again.take(5)
    assert [event.data["method"] for event in missed[1:]] == [CHANGED] * 4
    ids = [int(event.id or -1) for event in missed]
    assert ids == sorted(ids)
    assert len(set(ids)) == 5


def test_a_session_is_told_of_the_resources_it_subscribed_to_also_over_a_restart(rpc: Daemon) -> None:
    for agent in ("a", "b c"):
        call(rpc, "heartbeat", agent=agent)
    session_id = initialize(rpc).headers["Mcp-Session-Id"]
    for uri in ("agent://a", "agent://b%20c"):
        assert in_session(rpc, session_id, "resources/subscribe", {"uri": uri}).json["result"] == {}
    rpc.restart()
    stream = session_stream(rpc, session_id)
    stream.take(1)
    call(rpc, "update_status", agent="a", status="busy")
    call(rpc, "update_status", agent="b c", status="busy")
    assert [event.data["params"]["uri"] for event in stream.take(2)] == ["agent://a", "agent://b%20c"]
    assert in_session(rpc, session_id, "resources/unsubscribe", {"uri": "agent://a"}).json["result"] == {}
    call(rpc, "update_status", agent="a", status="idle")
    call(rpc, "update_status", agent="b c", status="idle")
    assert stream.take(1)[0].data["params"]["uri"] == "agent://b%20c"


def test_what_cannot_be_watched_is_not_subscribed_to(shared_rpc: Daemon) -> None:
    session_id = initialize(shared_rpc).headers["Mcp-Session-Id"]
    for params, code in (
        ({"uri": "agent://nobody"}, -32002),
        ({"uri": "file://README.md"}, -32602),
        ({"uri": 7}, -32602),
        ({}, -32602),
    ):
        assert in_session(shared_rpc, session_id, "resources/subscribe", params).json["error"]["code"] == code
    stream = listen(shared_rpc, 1, resourceSubscriptions=["file://README.md", "agent://x"])
    assert stream.take(1)[0].data["params"]["notifications"] == {"resourceSubscriptions": ["agent://x"]}
    stream.close()


def test_a_changed_prompt_is_told(rpc: Daemon) -> None:
    stream = listen(rpc, 1, promptsListChanged=True, resourcesListChanged=True)
    stream.take(1)
    body = b'{"description": "d", "template": "t"}'
    assert rpc.request("PUT", "/api/mcp/prompts/mine", body, {"Content-Type": "application/json"}).status == 201
    assert stream.take(1)[0].data["method"] == "notifications/prompts/list_changed"


def test_of_a_sessions_streams_the_newest_tells_and_the_older_when_it_is_gone(rpc: Daemon) -> None:
    session_id = initialize(rpc).headers["Mcp-Session-Id"]
    older, newer = (session_stream(rpc, session_id) for _ in range(2))
    for stream in (older, newer):
        stream.take(1)
    call(rpc, "register_component", name="api", owner="a")
    assert newer.take(1)[0].data["method"] == CHANGED
    newer.close()
    call(rpc, "register_component", name="after", owner="a")
    told = older.take(1)
    assert [event.data["method"] for event in told] == [CHANGED]  # once: it does not repeat what the newer told
    assert told[0].id is not None
    older.close()


def test_a_head_opens_no_stream(rpc: Daemon) -> None:
    session_id = initialize(rpc).headers["Mcp-Session-Id"]
    stream = session_stream(rpc, session_id)
    stream.take(1)
    for path, headers in (("/mcp", {"Mcp-Session-Id": session_id}), ("/sse", {})):
        head = rpc.request("HEAD", path, headers={"Accept": "text/event-stream", **headers})
        assert (head.status, head.headers["Content-Type"], head.body) == (200, "text/event-stream", b"")
    call(rpc, "register_component", name="api", owner="a")
    assert stream.take(1)[0].data["method"] == CHANGED
    stream.close()


def test_what_has_gone_can_be_unsubscribed_from(rpc: Daemon) -> None:
    session_id = initialize(rpc).headers["Mcp-Session-Id"]
    call(rpc, "register_component", name="api", owner="a")
    uri = {"uri": "component://api"}
    assert in_session(rpc, session_id, "resources/subscribe", uri).json["result"] == {}
    for gone in (uri, {"uri": "component://never"}):
        assert in_session(rpc, session_id, "resources/unsubscribe", gone).json["result"] == {}
    assert in_session(rpc, session_id, "resources/unsubscribe", {"uri": 5}).json["error"]["code"] == -32602


def test_a_stream_needs_a_session_and_a_client_that_takes_one(shared_rpc: Daemon) -> None:
    session_id = initialize(shared_rpc).headers["Mcp-Session-Id"]
    headers = {"Mcp-Session-Id": session_id}
    assert shared_rpc.request("GET", "/mcp", headers=headers | {"Accept": "application/json"}).status == 406
    assert shared_rpc.request("GET", "/mcp", headers={"Accept": "text/event-stream"}).status == 405
    assert shared_rpc.request("GET", "/mcp", headers={"Mcp-Session-Id": "nonsense"}).status == 404
    assert in_session(shared_rpc, session_id, "ping").status == 200


def test_a_listener_that_reads_nothing_costs_no_memory_and_misses_nothing(make_daemon: MakeDaemon) -> None:
    rpc = make_daemon(UNLIMITED)
    stream = listen(rpc, 1, resourceSubscriptions=["agent://" + "a" * 100])
    quick = listen(rpc, 2, resourceSubscriptions=["agent://b"])
    assert rpc.process is not None
    memory = psutil.Process(rpc.process.pid)
    before_bytes = memory.memory_info().rss
    rounds = 6000
    for _ in range(rounds):
        call(rpc, "update_status", agent="a" * 100, status="busy")
    assert memory.memory_info().rss - before_bytes < 10_000_000
    call(rpc, "update_status", agent="b", status="idle")
    assert quick.take(2)[1].data["params"]["uri"] == "agent://b"
    assert len(stream.take(rounds + 1)) == rounds + 1


def test_a_client_that_goes_away_is_forgotten(rpc: Daemon) -> None:
    streams = [listen(rpc, number, resourcesListChanged=True) for number in range(20)]
    for stream in streams:
        stream.take(1)
        stream.close()
    for number in range(50):
        call(rpc, "register_component", name=f"c{number}", owner="a")
    assert rpc.stop() == 0
    rpc.start()


def test_many_listeners_hear_every_change_in_the_same_order(rpc: Daemon) -> None:
    uris = [f"component://c{number}" for number in range(30)]
    streams = [listen(rpc, number, resourceSubscriptions=uris) for number in range(20)]
    heard: list[list[Any]] = [[] for _ in streams]

    def hear(place: int) -> None:
        heard[place] = [event.data["params"].get("uri") for event in streams[place].take(31)][1:]

    threads = [threading.Thread(target=hear, args=(place,)) for place in range(len(streams))]
    for thread in threads:
        thread.start()
    for number in range(30):
        call(rpc, "register_component", name=f"c{number}", owner="a")
    for thread in threads:
        thread.join(30)
    assert heard == [uris] * len(streams)


def test_a_quiet_stream_shows_that_it_lives(rpc: Daemon) -> None:
    stream = listen(rpc, 1, resourcesListChanged=True)
    stream.take(1)
    assert rpc.process is not None
    stop = threading.Timer(17.0, rpc.process.send_signal, [signal.SIGTERM])
    stop.start()
    stream._connection.sock.settimeout(30)
    list(stream.events())
    assert stream.comments >= 1
    rpc.stop()
    rpc.start()
