"""mcpd-stdio against the real daemon: nothing lost, nothing twice, whatever happens behind it."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from mcpd.protocol.stdio import MAX_LINE_BYTES
from tests.functional import mcp
from tests.functional.daemon import TIMEOUT_S, Daemon
from tests.functional.mcp import HANDSHAKE, META
from tests.functional.stdio import Bridge, bridge, command, environment
from tests.functional.test_clients import TOOLS, rows

CHANGED = "notifications/resources/list_changed"
UPDATED = "notifications/resources/updated"
NOBODY = "nobody"


def agents(rpc: Daemon) -> list[str]:
    return [name for (name,) in rows(rpc, "SELECT name FROM agents ORDER BY name")]


def until_busy(path: Path, connections: int) -> None:
    """Wait until *connections* clients have connected to the Unix socket *path*."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
        if sum(line[-1] == str(path) and line[5] != "01" for line in lines) >= connections:
            return
        time.sleep(0.01)
    raise AssertionError("nobody connected")


def listen(client: Bridge, request_id: int | str, **notifications: Any) -> None:
    client.request("subscriptions/listen", {"notifications": notifications}, request_id)
    first = client.take()
    assert first["method"] == "notifications/subscriptions/acknowledged", first


def test_the_stateless_era(rpc: Daemon) -> None:
    with bridge(rpc) as client:
        assert "2026-07-28" in client.ask("server/discover")["result"]["supportedVersions"]
        assert [tool["name"] for tool in client.ask("tools/list")["result"]["tools"]] == TOOLS
        assert client.call("heartbeat", agent="a")["success"] is True
        assert client.ask("tools/call", {"name": "none such «é»"})["error"]["code"] == -32602
        assert client.ask("nonsense")["error"]["code"] == -32601
        assert client.close() == (0, "")
        assert client.rest() == []
    assert agents(rpc) == ["a"]


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"])
def test_the_handshake_era(rpc: Daemon, version: str) -> None:
    with bridge(rpc) as client:
        assert client.initialize(version)["result"]["protocolVersion"] == version
        assert client.ask("ping", modern=False)["result"] == {}
        assert len(client.ask("tools/list", modern=False)["result"]["tools"]) == len(TOOLS)
        client.ask("tools/call", {"name": "heartbeat", "arguments": {"agent": "a"}}, modern=False)
        assert client.take()["method"] == CHANGED
        assert client.close() == (0, "")
        assert client.rest() == []
    ((session_id,),) = rows(rpc, "SELECT session_id FROM audit")
    assert session_id is not None
    ended = [method for method in rpc.log().split() if method == "MCPD_METHOD=DELETE"]
    assert len(ended) == 1


def test_a_batch_of_the_revision_that_has_them(rpc: Daemon) -> None:
    with bridge(rpc) as client:
        client.initialize("2025-03-26")
        client.send([{"jsonrpc": "2.0", "id": number, "method": "ping"} for number in (1, 2)])
        answers: Any = client.take()
        assert [answer["id"] for answer in answers] == [1, 2]
        assert client.close() == (0, "")


def test_what_comes_behind_initialize_waits_for_the_session(rpc: Daemon) -> None:
    with bridge(rpc) as client:
        params = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}}
        messages = [
            {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params},
            {"jsonrpc": "2.0", "method": "notifications/initialized"},
            {"jsonrpc": "2.0", "id": 2, "method": "ping"},
        ]
        client.send(b"".join(orjson.dumps(message) + b"\n" for message in messages))
        assert "result" in client.answer(1)
        assert client.answer(2)["result"] == {}


def test_many_requests_at_once_are_each_answered_once(rpc: Daemon) -> None:
    with bridge(rpc) as client:
        count = 500
        sent = [
            client.request("tools/call", {"name": "heartbeat", "arguments": {"agent": f"a{n}"}}, f"r{n}")
            for n in range(count)
        ]
        answers = [client.take() for _ in range(count)]
        assert sorted(answer["id"] for answer in answers) == sorted(sent)
        assert all(answer["result"]["isError"] is False for answer in answers)
        assert client.close() == (0, "")
        assert client.rest() == []
    assert len(agents(rpc)) == count


def test_a_listen_stream_goes_on_beside_requests_until_it_is_cancelled(rpc: Daemon) -> None:
    mcp.call(rpc, "heartbeat", agent="a")  # a new agent changes the list, too
    with bridge(rpc) as client:
        listen(client, "l", resourcesListChanged=True)
        for number in range(3):
            client.call("register_component", name=f"c{number}", owner="a")
        told = [client.take() for _ in range(3)]
        assert [message["method"] for message in told] == [CHANGED] * 3
        assert {orjson.dumps(message["params"]["_meta"]) for message in told} == {
            b'{"io.modelcontextprotocol/subscriptionId":"l"}'
        }
        client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "l"}})
        client.ask("tools/list")
        client.call("register_component", name="c9", owner="a")
        assert client.close() == (0, "")
        assert client.rest() == []


def test_a_listen_request_that_is_refused_is_answered(rpc: Daemon) -> None:
    with bridge(rpc) as client:
        assert client.ask("subscriptions/listen")["error"]["code"] == -32602
        assert client.close() == (0, "")


def test_an_idle_bridge_does_not_notice_a_restart(rpc: Daemon) -> None:
    with bridge(rpc) as client:
        client.initialize()
        client.call("heartbeat", agent="a", modern=False)
        rpc.restart()
        client.call("heartbeat", agent="a", modern=False)
        client.call("heartbeat", agent="a")
        assert client.close() == (0, "")
    sessions = rows(rpc, "SELECT session_id FROM audit ORDER BY id")
    assert sessions[0] == sessions[1] != (None,)
    assert len(sessions) == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_streams_live_through_the_end_of_the_daemon_and_lose_and_double_nothing(rpc: Daemon, number: int) -> None:
    mcp.call(rpc, "heartbeat", agent="a")  # a new agent changes the list, too
    with bridge(rpc) as modern, bridge(rpc) as session:
        listen(modern, 1, resourceSubscriptions=[f"component://c{n}" for n in range(100)])
        session.initialize()
        until_busy(rpc.socket_path, 2)
        session.ask("ping", modern=False)
        for round_ in range(3):
            for place in range(10):
                mcp.call(rpc, "register_component", name=f"c{round_ * 10 + place}", owner="a")
            rpc.stop(number)
            until_busy(rpc.socket_path, 1)  # the listen stream knocks already
            rpc.start()
        for place in range(30, 40):
            mcp.call(rpc, "register_component", name=f"c{place}", owner="a")
        heard = [modern.take() for _ in range(40)]
        assert [message["params"]["uri"] for message in heard] == [f"component://c{n}" for n in range(40)]
        heard = [session.take() for _ in range(40)]
        assert [message["method"] for message in heard] == [CHANGED] * 40
        for client in (modern, session):
            assert client.close() == (0, "")
            assert client.rest() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_calls_during_restarts_are_carried_out_once_or_their_caller_is_told(rpc: Daemon, number: int) -> None:
    with bridge(rpc) as client:
        done = threading.Event()

        def restart() -> None:
            while not done.is_set():
                rpc.stop(number)
                rpc.start()
                done.wait(0.2)

        thread = threading.Thread(target=restart)
        thread.start()
        count = 300
        try:
            sent = {}
            for place in range(count):
                arguments = {"agent": "a", "activity": f"n{place}", "category": "task", "status": "started"}
                sent[client.request("tools/call", {"name": "log_activity", "arguments": arguments})] = place
                time.sleep(0.004)
            answers = [client.take() for _ in range(count)]
        finally:
            done.set()
            thread.join()
        assert client.close() == (0, "")
        assert client.rest() == []
    assert {answer["id"] for answer in answers} == set(sent)
    stored = [text for (text,) in rows(rpc, "SELECT activity FROM activities")]
    assert len(stored) == len(set(stored))
    told = [answer for answer in answers if "error" in answer]
    confirmed = {f"n{sent[answer['id']]}" for answer in answers if "result" in answer}
    assert confirmed <= set(stored)
    assert all("may or may not" in answer["error"]["message"] for answer in told)
    if number == signal.SIGTERM:
        assert told == []
    assert len(told) < count / 2


@contextmanager
def rude_server(*answers: bytes) -> Iterator[tuple[Path, list[bytes]]]:
    """A socket whose every connection after the first, the knock, gets one of *answers*, and what was sent there."""
    received: list[bytes] = []
    with tempfile.TemporaryDirectory(prefix="mcpd") as directory, socket.socket(socket.AF_UNIX) as server:
        path = Path(directory) / "mcp.sock"
        server.bind(str(path))
        server.listen()

        def serve() -> None:
            server.accept()[0].close()
            for answer in answers:
                connection, _ = server.accept()
                received.append(connection.recv(65536))
                connection.sendall(answer)
                connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield path, received
        thread.join(TIMEOUT_S)


RESULT = b'{"jsonrpc":"2.0","id":1,"result":{}}'
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(RESULT), RESULT)
PROGRESS = b'data: {"jsonrpc":"2.0",\ndata: "method":"notifications/progress","params":{}}\n\n'


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def test_a_call_whose_answer_is_lost_is_not_repeated_and_a_list_is(rpc: Daemon) -> None:
    with rude_server(b"", WHOLE[:-5], b"garbage", WHOLE) as (path, received), bridge(rpc, socket_path=path) as client:
        client.request("tools/call", {"name": "heartbeat"}, 1)
        assert "may or may not" in client.answer(1)["error"]["message"]
        assert client.request("tools/list", {}, 1)
        assert client.answer(1)["result"] == {}
        assert len(received) == 4


def test_events_before_an_answer_are_passed_on_as_lines(rpc: Daemon) -> None:
    answer = STREAM + chunk(PROGRESS) + chunk(b"data: " + RESULT + b"\n\n") + chunk(b"")
    with rude_server(answer, STREAM + chunk(PROGRESS)) as (path, _), bridge(rpc, socket_path=path) as client:
        client.request("tools/call", {"name": "heartbeat"}, 1)
        assert client.take()["method"] == "notifications/progress"
        assert client.answer(1)["result"] == {}
        client.request("tools/call", {"name": "heartbeat"}, 2)
        assert client.take()["method"] == "notifications/progress"
        assert "may or may not" in client.answer(2)["error"]["message"]


def test_a_listen_stream_that_cannot_be_opened_again_is_torn_down(rpc: Daemon) -> None:
    told = b'{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{}}'
    refused = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 19\r\n\r\n" + b'{"error":"go away"}'
    greeting = STREAM + chunk(b"data: " + told + b"\n\n")
    with rude_server(greeting, refused) as (path, _), bridge(rpc, socket_path=path) as client:
        listen(client, 1)
        last = client.take()
        assert (last["method"], last["params"]["requestId"]) == ("notifications/cancelled", 1)
        assert "go away" in client.answer(1)["error"]["message"]


def test_a_cancelled_call_has_no_answer_and_its_connection_is_closed(rpc: Daemon) -> None:
    with tempfile.TemporaryDirectory(prefix="mcpd") as directory, socket.socket(socket.AF_UNIX) as server:
        path = Path(directory) / "mcp.sock"
        server.bind(str(path))
        server.listen()
        with bridge(rpc, socket_path=path) as client:
            server.accept()[0].close()
            client.request("tools/call", {"name": "heartbeat"}, "slow")
            connection, _ = server.accept()
            assert connection.recv(65536)
            client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "slow"}})
            connection.settimeout(TIMEOUT_S)
            assert connection.recv(65536) == b""
            connection.close()
            assert client.close() == (0, "")
            assert client.rest() == []


def run(path: Path, *options: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    return subprocess.run(
        command(path, *options),
        input=orjson.dumps(message), capture_output=True, env=environment(), timeout=TIMEOUT_S, check=False, **more,
    )  # fmt: skip


def test_a_missing_socket_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mcp.sock"
    done = run(path)
    assert done.returncode == 69
    said = done.stderr.decode()
    assert str(path) in said
    assert "systemctl start mcp.target" in said
    (line,) = done.stdout.splitlines()
    assert orjson.loads(line)["id"] == 1
    assert orjson.loads(line)["error"]["message"] in said


def test_a_missing_socket_is_said_to_someone_who_says_nothing(rpc: Daemon, tmp_path: Path) -> None:
    with bridge(rpc, socket_path=tmp_path / "none") as client:
        assert client.process.wait(TIMEOUT_S) == 69
        assert client.rest() == []


def test_a_refusing_socket_is_waited_for_and_then_given_up(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    started_s = time.monotonic()
    done = run(path, "--timeout", "0.7")
    assert done.returncode == 69
    assert time.monotonic() - started_s >= 0.7
    assert b"nobody listens" in done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_a_socket_that_goes_away_for_a_while_is_waited_for(rpc: Daemon) -> None:
    with bridge(rpc) as client:
        client.call("heartbeat", agent="a")
        away = rpc.socket_path.with_suffix(".away")
        rpc.socket_path.rename(away)
        asked = client.request("tools/list")
        time.sleep(0.5)
        away.rename(rpc.socket_path)
        assert "result" in client.answer(asked)
        assert client.close() == (0, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_who_may_not_connect_is_told_so(rpc: Daemon) -> None:
    rpc.socket_path.chmod(0o600)
    rpc.socket_path.parent.chmod(0o755)
    done = run(rpc.socket_path, user=NOBODY)
    assert done.returncode == 77, done
    said = done.stderr.decode()
    assert str(rpc.socket_path) in said
    assert f"usermod -aG mcp-admin {NOBODY}" in said
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_whom_the_daemon_refuses_gets_its_words(rpc: Daemon) -> None:
    rpc.socket_path.chmod(0o666)
    rpc.socket_path.parent.chmod(0o755)
    with bridge(rpc, user=NOBODY) as client:
        for _ in range(2):
            message = client.ask("tools/list")["error"]["message"]
            assert f"usermod -aG mcp-admin {pwd.getpwnam(NOBODY).pw_name}" in message
        status, said = client.close()
    assert status == 0
    assert said == f"mcpd-stdio: {message}\n"


def test_garbage_is_answered_and_the_next_message_served(rpc: Daemon) -> None:
    with bridge(rpc) as client:
        for garbage in (b"{", b"\xff\xfe", b'{"jsonrpc":"2.0","id":1,"method":"\xff"}', b'"\xed\xa0\x80"'):
            client.send(garbage + b"\n")
            assert client.take()["error"]["code"] == -32700, garbage
        for wrong in (b"3", b"[]", b"[1]", b"null", b"{}", b'{"id":null,"method":"x"}', b'{"method":7,"id":1}'):
            client.send(wrong + b"\r\n\n")
            error = client.take()
            assert error["error"]["code"] == -32600, (wrong, error)
        client.send(b'{"jsonrpc":"2.0","id":9,"method":"tools/list","params":{"name":NaN}}\n')
        assert client.take()["error"]["code"] == -32700
        assert "result" in client.ask("tools/list")
        status, _ = client.close()
        assert status == 0


def test_a_huge_line_is_refused_and_one_at_the_limit_is_not(rpc: Daemon) -> None:
    with bridge(rpc) as client:
        client.send(b'{"jsonrpc": "2.0", "id": 1, "method": "' + b"x" * MAX_LINE_BYTES + b'"}\n')
        assert "longer than 4194304 bytes" in client.take()["error"]["message"]
        rest = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {"_meta": META, "pad": ""}}
        pad = "x" * (MAX_LINE_BYTES - len(orjson.dumps(rest)))
        client.request("tools/list", {"pad": pad}, 2)
        assert "result" in client.answer(2)
        assert client.close() == (0, "")


def test_at_the_end_of_the_input_what_is_under_way_is_finished(rpc: Daemon) -> None:
    mcp.call(rpc, "heartbeat", agent="a")  # a new agent changes the list, too
    with bridge(rpc) as client:
        listen(client, "l", resourcesListChanged=True)
        for number in range(50):
            client.request(
                "tools/call", {"name": "update_status", "arguments": {"agent": "a", "status": "idle"}}, number
            )
        assert client.close() == (0, "")
        assert sorted(message["id"] for message in client.rest() if "id" in message) == list(range(50))


def test_what_is_not_finished_in_time_after_the_end_of_the_input_is_an_error(rpc: Daemon) -> None:
    with tempfile.TemporaryDirectory(prefix="mcpd") as directory, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{directory}/s")
        server.listen()
        done = run(Path(directory) / "s")
    assert done.returncode == 69
    assert b"did not answer within 10 s" in done.stderr
    assert orjson.loads(done.stdout)["id"] == 1


def test_a_signal_ends_it_and_its_session(rpc: Daemon) -> None:
    with bridge(rpc) as client:
        client.initialize()
        client.ask("ping", modern=False)
        client.process.send_signal(signal.SIGTERM)
        assert client.process.wait(TIMEOUT_S) == 0
    assert "MCPD_METHOD=DELETE" in rpc.log()


def test_files_will_do_as_well_as_pipes(rpc: Daemon, tmp_path: Path) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    (tmp_path / "in").write_bytes(orjson.dumps(message))
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as target:
        done = subprocess.run(
            command(rpc.socket_path), stdin=source, stdout=target, env=environment(), timeout=TIMEOUT_S, check=False
        )
    assert done.returncode == 0
    assert orjson.loads((tmp_path / "out").read_bytes())["id"] == 1


def test_a_wrong_command_line() -> None:
    wrong = (
        (["--timeout", "-1"], b"expected seconds, got -1"),
        (["--timeout", "x"], b"expected seconds, got x"),
        (["--what"], b"--what"),
    )
    for options, said in wrong:
        done = subprocess.run(
            command(Path("/none"), *options), capture_output=True, env=environment(), timeout=TIMEOUT_S, check=False
        )
        assert done.returncode == 64, options
        assert done.stdout == b""
        assert said in done.stderr


def test_a_file_that_is_no_socket_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mcp.sock"
    path.touch()
    done = run(path, "--timeout", "600")
    assert (done.returncode, len(done.stdout.splitlines())) == (69, 1)
    assert f"{path} is no socket; expected that of mcpd-rpc" in done.stderr.decode()
