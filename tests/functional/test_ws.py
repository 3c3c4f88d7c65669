"""mcpd-ws: the event dialect, by a client that is not ours."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest
from websockets.exceptions import InvalidStatus

from tests.functional.conftest import UNLIMITED, MakeDaemon
from tests.functional.daemon import Daemon
from tests.functional.mcp import call
from tests.functional.websocket import Client, Ws, handshake, log_activity, make, opened

FDSTORE = {"FDSTORE": "8192"}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ws]:
    """An mcpd-ws and its mcpd-rpc that the tests of this module share."""
    rpc = Daemon(tmp_path_factory.mktemp("rpc"), UNLIMITED)
    rpc.migrate()
    rpc.start()
    ws = make(tmp_path_factory.mktemp("ws"), rpc)
    yield ws
    ws.close()
    rpc.close()


IMPOSTOR = """
import os, socket, sys
os.setuid(65534)
if sys.argv[1] == "unix":
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(sys.argv[2])
else:
    sock = socket.create_connection(("127.0.0.1", int(sys.argv[2])))
head = "GET /api/mcp/status HTTP/1.1", "Host: localhost", "Mcpd-Caller: uid=0", "Connection: close"
sock.sendall("\\r\\n".join([*head, "\\r\\n"]).encode())
print(sock.recv(65536).decode())
"""


def newest(client: Client) -> int:
    seq: int = client.ask(type="get_state")["state"]["seq"]
    return seq


def test_the_greeting_is_the_old_one(pair: Ws) -> None:
    with pair.client() as client:
        assert client.greeting["protocol_version"] == "2025-06-18"
        assert client.greeting["features"].items() >= {
            "streaming": True, "subscriptions": True, "heartbeat": True, "reconnect": True
        }.items()  # fmt: skip
        assert len(client.greeting["client_id"]) == 36


def test_a_session_of_the_old_client(pair: Ws) -> None:
    """What the old system's demonstration client did, message by message."""
    with pair.client() as client, pair.client() as other:
        other.ask(type="subscribe", topics=["agents"])
        refused = client.ask(type="authenticate", token="test-token-12345")
        assert refused["error"].startswith("the access token does not hold: ")
        assert client.ask(type="authenticate")["success"] is True
        assert client.ask(type="ping")["type"] == "pong"
        assert client.ask(type="subscribe", topics=["agents", "logs", "metrics"])["topics"] == [
            "agents",
            "logs",
            "metrics",
        ]
        assert "heartbeat" in [tool["name"] for tool in client.ask(type="rpc", method="tools/list")["result"]]
        assert client.ask(type="rpc", method="resources/list")["type"] == "rpc_response"
        assert client.ask(type="broadcast", topic="agents", message={"event": "x", "message": "y"})["recipients"] == 1
        heard = other.until(lambda said: said["type"] == "broadcast")
        assert (heard["topic"], heard["message"]) == ("agents", {"event": "x", "message": "y"})
        state = client.ask(type="get_state")["state"]
        assert state["connected_clients"] >= 2
        assert state["subscriptions"]["agents"] == 2
        types = ["tool_call", "resource_access"]
        started = client.ask(type="stream", stream_type="events", params={"types": types})
        assert (started["type"], started["subscribed_to"]) == ("stream_started", types)
        assert client.ask(type="unsubscribe", topics=["agents"])["topics"] == ["agents"]
        assert client.ask(type="handshake", agent="a", session_id="s")["status"] == "connected"


def test_who_says_nothing_hears_activities_and_states_as_the_old_dashboard_does(pair: Ws) -> None:
    with pair.client() as client:
        log_activity(pair.rpc, "digging", agent="dashboard-test")
        state, activity = client.events(2)
        assert activity["seq"] > state["seq"]
        assert (state["type"], state["data"]["agent"]) == ("state_change", "dashboard-test")
        assert activity["type"] == "activity"
        assert activity["data"]["activity"] == activity["data"]["action"] == "digging"
        assert activity["data"]["category"] == activity["data"]["type"] == "task"


def test_events_come_in_order_with_their_numbers_and_once(pair: Ws) -> None:
    with pair.client() as client:
        start = client.ask(type="subscribe", topics=["agent.new", "activity.*", "activity.logged"])["seq"]
        for number in range(50):
            log_activity(pair.rpc, f"n{number}", agent="counter")
        found = client.events(51)  # the agent is new
        numbers = [event["seq"] for event in found]
        assert numbers == sorted(set(numbers))
        assert numbers[0] > start
        assert [event["data"]["activity"] for event in found[1:]] == [f"n{n}" for n in range(50)]
        assert client.nothing_more()


def test_what_was_missed_is_replayed_and_then_what_happens_follows(pair: Ws) -> None:
    with pair.client() as client:
        since = newest(client)
        for number in range(300):  # more than a page
            log_activity(pair.rpc, f"r{number}", agent="replayed")
        assert client.ask(type="subscribe", topics=["activity.*"], since=since)["seq"] == since
        log_activity(pair.rpc, "live", agent="replayed")
        found = client.events(301)
        assert [event["data"]["activity"] for event in found] == [*(f"r{n}" for n in range(300)), "live"]
        assert client.nothing_more()


def test_a_second_subscription_with_since_replays_only_what_is_new_in_it(pair: Ws) -> None:
    with pair.client() as client:
        since = newest(client)
        client.ask(type="subscribe", topics=["activity.*"])
        log_activity(pair.rpc, "once", agent="second")
        assert client.events(1)[0]["topic"] == "activity.logged"
        client.ask(type="subscribe", topics=["agent.*"], since=since)
        (found,) = client.events(1)
        assert found["topic"] == "agent.new"
        assert client.nothing_more()


def test_calls_and_reads_by_their_old_names(pair: Ws) -> None:
    with pair.client() as client:
        client.ask(type="stream", stream_type="events", params={"types": ["tool_call", "resource_access"]}, id="e")
        log_activity(pair.rpc, "x", agent="called")
        (found,) = client.events(1)
        assert (found["type"], found["topic"], found["message"]["type"]) == (
            "broadcast",
            "event:tool_call",
            "tool_call",
        )
        assert found["message"]["data"].items() >= {"tool": "log_activity", "result": "ok"}.items()
        client.send(type="rpc", method="resources/read", params={"uri": "activity://recent"})
        (found,) = client.events(1)
        assert found["topic"] == "event:resource_access"
        assert found["message"]["data"]["uri"] == "activity://recent"
        client.ask(type="stream_stop", stream_id="e")
        log_activity(pair.rpc, "x", agent="called")
        assert client.nothing_more()


def test_a_filter_by_agent(pair: Ws) -> None:
    with pair.client() as client:
        client.ask(type="subscribe", topics=["activity.*"], agent=["wanted"])
        for agent in ("wanted", "other", "wanted"):
            log_activity(pair.rpc, "x", agent=agent)
        assert [event["agent"] for event in client.events(2)] == ["wanted", "wanted"]
        assert client.nothing_more()
        client.ask(type="subscribe", topics=["activity.*"], agent=None)
        log_activity(pair.rpc, "x", agent="other")
        assert client.events(1)[0]["agent"] == "other"


def test_an_old_topic_is_told_as_a_broadcast(pair: Ws) -> None:
    with pair.client() as client:
        client.ask(type="subscribe", topics=["activities", "activity.*"])
        log_activity(pair.rpc, "old", agent="old")
        (found,) = client.events(1)
        assert (found["type"], found["topic"], found["message"]["type"]) == (
            "broadcast", "activities", "activity.logged",
        )  # fmt: skip
        assert client.nothing_more(), "told once, though two names mean it"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"type": "nope"}, "Unknown message type: nope"),
        ({"type": 5}, "Invalid message: expected a string as its type"),
        ([1], "Invalid message: expected an object with a type"),
        ({"type": "subscribe"}, "topics: expected a list of strings"),
        ({"type": "subscribe", "topics": "a"}, "topics: expected a list of strings"),
        ({"type": "subscribe", "topics": ["ä"]}, "topics: 'ä' is not a topic"),
        ({"type": "subscribe", "topics": ["a*"]}, "'a*' is no pattern of topics"),
        ({"type": "subscribe", "topics": [], "since": -1}, "since: expected a number from 0"),
        ({"type": "subscribe", "topics": [], "since": 1 << 40}, "that of the newest event"),
        ({"type": "subscribe", "topics": [], "since": True}, "since: expected a number"),
        ({"type": "subscribe", "topics": [], "agent": 5}, "agent: expected a name"),
        ({"type": "subscribe", "topics": [f"t{n}" for n in range(257)]}, "topics: a connection may listen to 256"),
        ({"type": "rpc"}, "method: expected a string"),
        ({"type": "rpc", "method": "x", "params": []}, "params: expected an object"),
        ({"type": "rpc", "method": "no/such"}, "no/such"),
        ({"type": "broadcast", "topic": "a"}, "Topic and message required"),
        ({"type": "broadcast", "topic": "event:tool_call", "message": 1}, "is not one that clients may speak on"),
        ({"type": "stream", "stream_type": "video"}, "Unknown stream type: video"),
        ({"type": "stream", "stream_type": "logs", "params": {"level": "loud"}}, "level: expected one of"),
        ({"type": "stream", "stream_type": "metrics", "params": {"interval": 0}}, "interval: expected a number from 1"),
        ({"type": "stream_stop", "stream_id": "none"}, "stream_id: this connection has no stream none"),
        ({"type": "authenticate", "token": 5}, "token: expected a string"),
    ],
)
def test_what_is_wrong_is_said_and_the_connection_goes_on(pair: Ws, message: object, error: str) -> None:
    with pair.client() as client:
        client.connection.send(json.dumps(message))
        said = client.until(lambda found: found["type"] == "error")
        assert error in said["error"]
        assert client.ask(type="ping")["type"] == "pong"


def test_bad_json_is_said_with_its_place(pair: Ws) -> None:
    with pair.client() as client:
        client.connection.send("{")
        assert client.take()["error"].startswith("Invalid JSON: ")
        assert client.ask(type="ping")["type"] == "pong"


def test_metrics_come_at_their_interval_and_hold_nothing_up(pair: Ws) -> None:
    with pair.client() as client:
        first = client.ask(type="stream", stream_type="metrics", params={"interval": 1}, id="m")
        assert first["data"]["connections"] >= 1
        assert first["data"]["memory_usage"] > 1_000_000
        assert client.ask(type="ping")["type"] == "pong"
        assert client.until(lambda said: said["type"] == "stream_data")["id"] == "m"
        assert client.ask(type="stream_stop", stream_id="m")["type"] == "stream_stopped"
        with pytest.raises(TimeoutError):
            client.until(lambda said: said["type"] == "stream_data", 1.5)


def test_logs_are_the_audit_and_follow_it(pair: Ws) -> None:
    log_activity(pair.rpc, "before", agent="log")
    with pair.client() as client:
        first = client.ask(type="stream", stream_type="logs", params={"limit": 1}, id="l")
        assert first["data"]["metadata"]["details"]["activity"] == "before"
        assert (first["data"]["level"], first["data"]["metadata"]["source"]) == ("info", "audit")
        log_activity(pair.rpc, "behind", agent="log")
        follow = client.until(lambda said: said["type"] == "stream_data")
        assert follow["data"]["metadata"]["details"]["activity"] == "behind"
        assert follow["data"]["message"] == "tools/call log_activity for root: ok"


def test_an_rpc_is_audited_as_who_called(pair: Ws) -> None:
    with pair.client() as client:
        params = {"name": "heartbeat", "arguments": {"agent": "by-rpc"}}
        assert client.ask(type="rpc", method="tools/call", params=params)["result"]["success"] is True
    db = apsw.Connection(str(pair.rpc.database), flags=apsw.SQLITE_OPEN_READONLY)
    assert db.execute("SELECT caller FROM audit ORDER BY id DESC LIMIT 1").fetchone() == ("root",)
    db.close()


def token(rpc: Daemon, client: str, scopes: list[str]) -> str:
    """A new client of that name may do so much; its access token."""
    made = rpc.post("/api/mcp/clients", {"name": client, "scopes": scopes}).json
    form = {"grant_type": "client_credentials", "client_id": client, "client_secret": made["client_secret"]}
    found: str = rpc.post("/oauth/token", form).json["access_token"]
    return found


def audited(rpc: Daemon) -> list[object]:
    db = apsw.Connection(str(rpc.database), flags=apsw.SQLITE_OPEN_READONLY)
    found = db.execute("SELECT caller FROM audit WHERE operation = 'tools/call'").fetchall()
    db.close()
    return [caller for (caller,) in found]


def test_a_token_makes_a_client_of_whoever_brings_it_until_it_is_revoked(pair: Ws) -> None:
    """At the handshake or by ``authenticate``; what it asks mcpd-rpc for is judged there anew."""
    bearer = token(pair.rpc, "ci", ["read", "write"])
    beat = {"method": "tools/call", "params": {"name": "heartbeat", "arguments": {"agent": "ci"}}}
    remove = {"method": "tools/call", "params": {"name": "delete_component", "arguments": {"name": "nothing"}}}
    with pair.client(additional_headers={"Authorization": f"Bearer {bearer}"}) as client, pair.client() as other:
        assert client.ask(type="authenticate")["caller"] == "client:ci"
        assert other.ask(type="authenticate", token=bearer)["caller"] == "client:ci"
        for connection in (client, other):
            assert connection.ask(type="rpc", **beat)["result"]["success"] is True
            assert "needs the scope delete" in connection.ask(type="rpc", **remove)["error"]
        assert audited(pair.rpc).count("client:ci") == 4
        pair.restart()  # with its connections closed, or kept, it stays that client
    with pair.client(additional_headers={"Authorization": f"Bearer {bearer}"}) as client:
        [listed] = pair.rpc.request("GET", "/api/mcp/tokens").json["tokens"]
        assert pair.rpc.request("DELETE", f"/api/mcp/tokens/{listed['id']}").status == 200
        assert "it has expired or was revoked" in client.ask(type="rpc", **beat)["error"]
    with (
        pytest.raises(InvalidStatus, match="401"),
        pair.client(additional_headers={"Authorization": f"Bearer {bearer}"}),
    ):
        pass


def test_a_client_does_what_its_scopes_say(pair: Ws) -> None:
    with pair.client(additional_headers={"Authorization": f"Bearer {token(pair.rpc, 'reader', ['read'])}"}) as client:
        assert client.ask(type="subscribe", topics=["agent"])["topics"] == ["agent"]
        refused = client.ask(type="broadcast", topic="agents", message="x")
        assert refused["error"] == "broadcast needs the scope write"
    writer = token(pair.rpc, "writer", ["write"])
    with (
        pytest.raises(InvalidStatus, match="403"),
        pair.client(additional_headers={"Authorization": f"Bearer {writer}"}),
    ):
        pass


@pytest.mark.parametrize(
    ("headers", "host", "status"),
    [
        ("Origin: http://evil.example\r\n", "localhost", 403),
        ("", "evil.example", 403),
        ("Authorization: Bearer abc\r\n", "localhost", 401),
        ("Authorization: Basic abc\r\n", "localhost", 401),
        ("Origin: http://localhost:5173\r\n", "localhost", 101),
    ],
)
def test_who_may_open_a_websocket(pair: Ws, headers: str, host: str, status: int) -> None:
    with socket.create_connection(("127.0.0.1", pair.port), timeout=10) as connection:
        connection.sendall(handshake(headers, host=host))
        assert int(connection.recv(4096).split()[1]) == status


def test_a_page_says_where_the_websocket_is(pair: Ws) -> None:
    config = pair.request("GET", "/ws-config").json
    assert config["ws_enabled"] is True
    assert config["ws_url"] == pair.url


def test_a_request_that_opens_none_is_told_how(pair: Ws) -> None:
    refused = pair.request("GET", "/")
    assert (refused.status, refused.headers["Upgrade"]) == (426, "websocket")
    assert pair.request("POST", "/", b"x").status == 405


def test_other_users_are_refused_and_told_why(pair: Ws) -> None:
    """By the kernel's word, over TCP."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    script = (
        "import os, sys\nfrom websockets.sync.client import connect\nfrom websockets.exceptions import InvalidStatus\n"
        "os.setuid(65534)\n"
        "try:\n    connect(sys.argv[1], proxy=None)\n"
        "except InvalidStatus as exc:\n    print(exc.response.status_code, exc.response.body.decode())\n"
    )
    done = subprocess.run([sys.executable, "-c", script, pair.url], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("403 "), done.stderr
    assert "is not in group mcp-admin" in done.stdout


def test_nobody_but_mcpd_itself_calls_for_others(make_daemon: MakeDaemon) -> None:
    """The header by which mcpd-ws says for whom it calls, from an admitted user who is not mcpd's, and over TCP."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    rpc = make_daemon('[access]\nloopback = "open"\n')
    rpc.socket_path.chmod(0o666)
    rpc.socket_path.parent.chmod(0o755)
    for where in (["unix", str(rpc.socket_path)], ["tcp", str(rpc.port)]):
        command = [sys.executable, "-c", IMPOSTOR, *where]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "HTTP/1.1 403 " in done.stdout, (where, done)
        assert "only mcpd itself calls for others" in done.stdout
    # Root's own is mcpd's here, but only the Unix socket tells so.
    refused = rpc.request("GET", "/api/mcp/status", headers={"Mcpd-Caller": "uid=0"})
    assert refused.status == 403


def test_heartbeats_and_pings_come_and_the_silent_are_cut_off(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    rpc = make_daemon(UNLIMITED)
    ws = make(tmp_path / "ws", rpc, "[websocket]\nheartbeat_interval_s = 1.0\nping_timeout_s = 1.0\n")
    try:
        with ws.client() as client:  # the library answers pings
            for _ in range(4):
                assert client.until(lambda said: said["type"] == "heartbeat", 5.0)
        with opened(ws) as silent:
            while silent.recv(65536):  # until it is cut off
                pass
    finally:
        ws.close()


def test_limits_of_connections(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    rpc = make_daemon(UNLIMITED)
    limits = "[websocket]\nmax_connections = 3\nmax_connections_per_caller = 2\nhandshake_timeout_s = 1.0\n"
    ws = make(tmp_path / "ws", rpc, limits)
    try:
        with ws.client(), ws.client():
            with pytest.raises(InvalidStatus) as refused:
                ws.connect()
            assert refused.value.response.status_code == 429
            with socket.create_connection(("127.0.0.1", ws.port), timeout=10) as third:
                third.sendall(b"GET / HT")
                deadline = time.monotonic() + 10
                status = 429
                while status == 429 and time.monotonic() < deadline:
                    with pytest.raises(InvalidStatus) as refused:
                        ws.connect()
                    status = refused.value.response.status_code
                assert status == 503
                assert b" 408 " in third.recv(4096)
        with ws.client() as again:
            assert again.ask(type="ping")["type"] == "pong"
    finally:
        ws.close()


def test_the_number_of_clients_is_known_to_mcpd_rpc(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    rpc = Daemon(tmp_path, options=["--websockets", str(directory / "clients")])
    rpc.migrate()
    rpc.start()
    ws = make(tmp_path / "ws", rpc, RUNTIME_DIRECTORY=str(directory))
    try:
        with ws.client(), ws.client():
            deadline = time.monotonic() + 10
            while rpc.request("GET", "/api/mcp/status").json["websocket_clients"] != 2:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        (directory / "clients").unlink()  # as systemd does
        assert rpc.request("GET", "/api/mcp/status").json["websocket_clients"] is None
    finally:
        ws.close()
        rpc.close()


def test_a_kill_loses_nothing_for_who_comes_back_with_since(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    rpc = make_daemon(UNLIMITED)
    ws = make(tmp_path / "ws", rpc)
    try:
        with ws.client() as client:
            start = client.ask(type="subscribe", topics=["activity.*"])["seq"]
            for number in range(5):
                log_activity(rpc, f"a{number}")
            heard = client.events(5)
            ws.stop(signal.SIGKILL)
        for number in range(5):
            log_activity(rpc, f"b{number}")
        ws.start()
        with ws.client() as client:
            client.ask(type="subscribe", topics=["activity.*"], since=heard[-1]["seq"])
            heard += client.events(5)
        assert [event["data"]["activity"] for event in heard] == [f"a{n}" for n in range(5)] + [
            f"b{n}" for n in range(5)
        ]
        assert heard[0]["seq"] > start
    finally:
        ws.close()


def test_events_that_are_not_kept_any_more_are_told_to_be_lost(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    rpc = make_daemon(UNLIMITED)
    for number in range(10):
        call(rpc, "log_activity", agent="a", activity=str(number), category="task")
    db = apsw.Connection(str(rpc.database))
    db.execute("UPDATE event_log SET removed_to = 5")
    db.close()
    ws = make(tmp_path / "ws", rpc)
    try:
        with ws.client() as client:
            client.ask(type="subscribe", topics=["activity.*"], since=2)
            assert client.take() == {"type": "lagged", "from": 3, "to": 5, "lost": None}
            assert client.events(1)[0]["seq"] > 5
    finally:
        ws.close()


def test_the_unix_socket_serves_the_same(pair: Ws) -> None:
    with pair.connect_unix() as connection:
        client = Client(connection)
        assert client.take()["type"] == "connection"
        assert client.ask(type="authenticate")["caller"] == "root"


def test_messages_are_compressed_for_who_asks_if_the_administrator_lets(
    make_daemon: MakeDaemon, tmp_path: Path
) -> None:
    rpc = make_daemon(UNLIMITED)
    ws = make(tmp_path / "ws", rpc, "[websocket]\ncompression = true\n", FDSTORE="100")
    try:
        with ws.client(compression="deflate") as client, ws.client() as plain:
            (extension,) = client.connection.protocol.extensions
            assert "no_context_takeover=True" in repr(extension)
            assert plain.connection.protocol.extensions == []
            for each in (client, plain):
                each.ask(type="subscribe", topics=["activity.*"])
            for number in range(3):
                log_activity(rpc, f"{number}" * 5000)
                assert [each.events(1)[0]["data"]["activity"] for each in (client, plain)] == [f"{number}" * 5000] * 2
                ws.restart()
            assert client.ask(type="ping", padding="x" * 5000)["type"] == "pong"
    finally:
        ws.close()


def test_who_takes_nothing_for_long_is_cut_off(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    rpc = make_daemon(UNLIMITED)
    ws = make(tmp_path / "ws", rpc, "[websocket]\nslow_timeout_s = 1.0\n")
    try:
        with opened(ws) as slow, ws.client() as other:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deadline = time.monotonic() + 30
            while other.ask(type="get_state")["state"]["connected_clients"] == 2:
                log_activity(rpc, "x" * 16_000)
                assert time.monotonic() < deadline
    finally:
        ws.close()


def test_a_database_that_is_put_in_place_of_the_other_is_followed(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    """As a restore does; nobody is told events of one by the numbers of the other."""
    rpc = make_daemon(UNLIMITED)
    ws = make(tmp_path / "ws", rpc)
    try:
        with ws.client() as client:
            client.ask(type="subscribe", topics=["activity.*"])
            log_activity(rpc, "in the old one")
            assert client.events(1)
            rpc.stop()
            for path in rpc.directory.glob("mcp.db*"):
                path.unlink()
            rpc.migrate()
            rpc.start()
            log_activity(rpc, "in the new one")
            told = client.until(lambda said: said["type"] == "lagged")
            assert (told["from"], told["lost"]) == (None, None)
            log_activity(rpc, "behind it")
            texts = [client.events(1)[0]["data"]["activity"]]
            if texts == ["in the new one"]:  # it was noticed before that was written
                texts = [client.events(1)[0]["data"]["activity"]]
            assert texts == ["behind it"]
    finally:
        ws.close()
