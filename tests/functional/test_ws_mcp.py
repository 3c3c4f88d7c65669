"""MCP over a WebSocket: unmodified clients of the SDKs that ship one, and a thin one of ours for 2026-07-28."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection
from websockets.typing import Subprotocol

from tests.conformance import suite
from tests.functional.conftest import MakeDaemon
from tests.functional.daemon import TIMEOUT_S, Daemon
from tests.functional.foreign import PROGRAMS, Program, Server
from tests.functional.mcp import META
from tests.functional.schemas import violations
from tests.functional.test_foreign import README, tool, whole_session
from tests.functional.websocket import Ws, log_activity
from tests.functional.wire import Tap

FOREIGN = [program for program in PROGRAMS if program.package in ("mcp-1.22.0", "mcp-1.30.0", "sdk-1.32.2")]
MCP = [Subprotocol("mcp")]
VERSION = "2025-11-25"


@contextlib.contextmanager
def served(directory: Path, rpc: Daemon, upstream: Path | None = None, **variables: str) -> Iterator[Ws]:
    directory.mkdir()
    variables = {"FDSTORE": "8192"} | variables
    ws = Ws(directory, "[server]\ndrain_timeout_s = 1.0\n", variables, rpc=rpc, upstream=upstream)
    ws.start()
    try:
        yield ws
    finally:
        ws.close()


@pytest.mark.host
@pytest.mark.parametrize("program", FOREIGN, ids=str)
def test_a_session_of_an_unmodified_client(program: Program, make_daemon: MakeDaemon, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(README)
    rpc = make_daemon(f'[server]\ndrain_timeout_s = 0.1\n[resources]\nroots = ["{tmp_path}"]\n')
    with Tap(rpc) as tap, served(tmp_path / "ws", rpc, tap.socket_path) as ws:
        with program.start(Server(ws.url, [])) as client:
            whole_session(client)
            rpc.restart()
            assert tool(client, "find_component_owner", component="auth")["owner"] == "backend-api"
            ws.restart()
            assert tool(client, "find_component_owner", component="auth")["owner"] == "backend-api"
        assert tap.revisions("tools/call") == {program.revision}
        assert list(violations(tap.exchanges())) == []


@pytest.mark.host
@pytest.mark.parametrize("program", FOREIGN, ids=str)
def test_a_question_to_the_user(program: Program, make_daemon: MakeDaemon, tmp_path: Path) -> None:
    rpc = make_daemon(suite.settings(tmp_path))
    with served(tmp_path / "ws", rpc) as ws, program.start(Server(ws.url, []), elicit=True) as client:
        answer = client.ask("tools/call", name="test_elicitation", arguments={"message": "Who are you?"})
        assert "yes" in answer["content"][0]["text"]


class Thin:
    """Messages of JSON-RPC over one WebSocket, and no more."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.last_id = 0

    def send(self, method: str, params: dict[str, Any] | None = None, **members: Any) -> int:
        self.last_id += 1
        message = {"jsonrpc": "2.0", "id": self.last_id, "method": method, "params": params or {}} | members
        self.connection.send(json.dumps({name: value for name, value in message.items() if value is not None}))
        return self.last_id

    def take(self, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self.connection.recv(timeout_s))
        return message

    def ask(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask; what comes before the answer is dropped."""
        asked = self.send(method, params)
        while (message := self.take()).get("id") != asked or "method" in message:
            pass
        return message

    def modern(self, method: str, **params: Any) -> dict[str, Any]:
        return self.ask(method, {**params, "_meta": META})

    def initialize(self) -> None:
        info = {"name": "thin", "version": "1"}
        asked = {"protocolVersion": VERSION, "capabilities": {"elicitation": {}}, "clientInfo": info}
        assert self.ask("initialize", asked)["result"]["protocolVersion"] == VERSION
        self.send("notifications/initialized", None, id=None)


@contextlib.contextmanager
def thin(ws: Ws) -> Iterator[Thin]:
    with ws.connect(subprotocols=MCP) as connection:
        assert connection.subprotocol == "mcp"
        yield Thin(connection)


@pytest.fixture
def ws(make_daemon: MakeDaemon, tmp_path: Path) -> Iterator[Ws]:
    """An mcpd-ws whose mcpd-rpc has the conformance suite's tools too."""
    rpc = make_daemon(suite.settings(tmp_path))
    with served(tmp_path / "ws", rpc) as daemon:
        yield daemon


def test_the_stateless_era(ws: Ws) -> None:
    with thin(ws) as client:
        assert "2026-07-28" in client.modern("server/discover")["result"]["supportedVersions"]
        called = client.modern("tools/call", name="heartbeat", arguments={"agent": "a"})
        assert called["result"]["structuredContent"]["success"] is True
        assert client.modern("nonsense")["error"]["code"] == -32601


def listen(client: Thin) -> int:
    asked = client.send(
        "subscriptions/listen", {"notifications": {"resourceSubscriptions": ["activity://recent"]}, "_meta": META}
    )
    assert client.take()["method"] == "notifications/subscriptions/acknowledged"
    return asked


def test_a_subscription_hears_of_everything_once_over_restarts_of_both_daemons(ws: Ws) -> None:
    with thin(ws) as client:
        listen(client)
        for daemon in (None, ws, ws.rpc, ws):
            if daemon is not None:
                daemon.restart()
            log_activity(ws.rpc, "x", agent="listened")
            assert client.take()["method"] == "notifications/resources/updated"
        assert client.modern("server/discover")["result"]


def test_a_question_that_waits_for_its_answer_outlasts_a_restart(ws: Ws) -> None:
    with thin(ws) as client:
        client.initialize()
        call = client.send("tools/call", {"name": "test_elicitation", "arguments": {"message": "Who?"}})
        while (question := client.take()).get("method") != "elicitation/create":
            pass
        ws.restart()
        content = {"username": "bob", "email": "bob@example.org"}
        answer = {"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": content}}
        client.connection.send(json.dumps(answer))
        while (message := client.take()).get("id") != call:
            pass
        assert "bob" in message["result"]["content"][0]["text"]
        ws.restart()
        assert client.ask("ping")["result"] == {}


def test_a_session_s_notifications_come_without_being_asked_for_over_restarts(ws: Ws) -> None:
    log_activity(ws.rpc, "x", agent="subscribed")  # a new agent would change the list of resources, too
    with thin(ws) as client:
        client.initialize()
        assert client.ask("resources/subscribe", {"uri": "activity://recent"})["result"] == {}
        for _ in range(3):
            log_activity(ws.rpc, "x", agent="subscribed")
            assert client.take()["method"] == "notifications/resources/updated"
            ws.restart()


def test_bad_json_is_an_error_and_the_socket_stays(ws: Ws) -> None:
    with thin(ws) as client:
        for bad in ("{", "", "[]", '"x"', "{}"):
            client.connection.send(bad)
            assert client.take()["error"]["code"] in (-32700, -32600)
        assert client.modern("server/discover")["result"]


def test_a_binary_message_ends_it(ws: Ws) -> None:
    with thin(ws) as client:
        client.connection.send(b"{}")
        with pytest.raises(ConnectionClosed) as closed:
            client.take()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1003


def test_without_mcpd_rpc_requests_are_answered_with_why(ws: Ws, tmp_path: Path) -> None:
    with served(tmp_path / "alone", ws.rpc, tmp_path / "nobody") as alone, thin(alone) as client:
        error = client.modern("server/discover")["error"]
        assert f"there is no socket {tmp_path / 'nobody'}" in error["message"]
        assert client.modern("server/discover")["error"]


@contextlib.contextmanager
def slow_upstream() -> Iterator[tuple[Path, threading.Event, list[bytes]]]:
    """An mcpd-rpc that reads requests and answers none before the event is set; the requests are noted."""
    received: list[bytes] = []
    go = threading.Event()
    with tempfile.TemporaryDirectory(prefix="mcpd") as place, socket.socket(socket.AF_UNIX) as server:
        path = Path(place) / "mcp.sock"
        server.bind(str(path))
        server.listen()

        def answer(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                request = connection.recv(65536)
                received.append(request)
                go.wait(TIMEOUT_S)
                asked = json.loads(request.partition(b"\r\n\r\n")[2])
                body = json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": {"content": []}}).encode()
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
                connection.sendall(head.encode() + body)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield path, go, received
        go.set()
        server.shutdown(socket.SHUT_RDWR)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_call_under_way_is_answered_before_a_restart(rpc: Daemon, tmp_path: Path) -> None:
    with slow_upstream() as (path, go, received), served(tmp_path / "ws", rpc, path) as ws, thin(ws) as client:
        call = client.send("tools/call", {"name": "x", "arguments": {}, "_meta": META})
        until(lambda: received)
        threading.Timer(0.3, go.set).start()
        ws.restart()
        answer = client.take()
        assert (answer["id"], "result" in answer) == (call, True)
        assert len(received) == 1


@pytest.mark.parametrize("delay_s", [0.3, 3.0])
def test_a_call_under_way_is_waited_for_before_a_stop(delay_s: float, rpc: Daemon, tmp_path: Path) -> None:
    """As far as there is time; a stand-in tells what systemd would (tests/guest has the real one)."""
    (tmp_path / "systemctl").write_text("#!/bin/sh\necho 1 mcpd-ws.service stop running\n")
    (tmp_path / "systemctl").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    with (
        slow_upstream() as (upstream, go, received),
        served(tmp_path / "ws", rpc, upstream, PATH=path) as ws,
        thin(ws) as client,
    ):
        call = client.send("tools/call", {"name": "x", "arguments": {}, "_meta": META})
        until(lambda: received)
        threading.Timer(delay_s, go.set).start()
        assert ws.stop() == 0
        if delay_s < 1.0:
            answer = client.take()
            assert (answer["id"], "result" in answer) == (call, True)
        with pytest.raises(ConnectionClosed, match=r"1001 .going away. mcpd-ws was stopped"):
            client.take()
        assert ws.stored == []
        ws.start()


def test_a_call_that_a_restart_cannot_wait_for_is_answered_with_that(rpc: Daemon, tmp_path: Path) -> None:
    """And a list, which may be asked twice, is asked again."""
    with slow_upstream() as (path, go, received), served(tmp_path / "ws", rpc, path) as ws, thin(ws) as client:
        call = client.send("tools/call", {"name": "x", "arguments": {}, "_meta": META})
        listed = client.send("tools/list", {"_meta": META})
        until(lambda: len(received) == 2)
        ws.restart()
        error = client.take()
        assert (error["id"], "may or may not" in error["error"]["message"]) == (call, True)
        until(lambda: len(received) == 3)
        go.set()
        answer = client.take()
        assert (answer["id"], "result" in answer) == (listed, True)


def test_an_rpc_under_way_goes_the_same_way(rpc: Daemon, tmp_path: Path) -> None:
    with slow_upstream() as (path, go, received), served(tmp_path / "ws", rpc, path) as ws, ws.client() as client:
        client.send(type="rpc", id="call", method="tools/call", params={"name": "x"})
        client.send(type="rpc", id="list", method="tools/list")
        until(lambda: len(received) == 2)
        ws.restart()
        error = client.until(lambda said: said.get("id") == "call")
        assert "may or may not" in error["error"]
        until(lambda: len(received) == 3)
        go.set()
        assert client.until(lambda said: said.get("id") == "list")["type"] == "rpc_response"
