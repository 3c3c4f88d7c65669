"""HTTP as hostile and as careless clients speak it, against the real daemon."""

from __future__ import annotations

import socket
import time

import orjson
import psutil
import pytest

from tests.functional.conftest import MakeDaemon
from tests.functional.daemon import Daemon, read_all

HEALTH = b"GET /api/mcp/health HTTP/1.1\r\nHost: localhost\r\n"
MAX_BODY_BYTES = 4 * 1024 * 1024


def status_of(raw: bytes) -> int:
    return int(raw.split(b" ", 2)[1])


def still_serves(rpc: Daemon) -> bool:
    return rpc.request("GET", "/api/mcp/health").status == 200


def test_health_answers_json_and_echoes_the_request_id(shared_rpc: Daemon) -> None:
    reply = shared_rpc.request("GET", "/api/mcp/health", headers={"X-Request-ID": "abc-1"})
    assert (reply.status, reply.json["status"]) == (200, "healthy")
    assert reply.headers["X-Request-ID"] == "abc-1"
    assert reply.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("raw", "status", "words"),
    [
        (b"NONSENSE\r\n\r\n", 400, "malformed"),
        (b"GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", 505, "HTTP/1.1"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "host is missing"),
        (HEALTH + b"Host: localhost\r\n\r\n", 400, "host is given more than once"),
        (HEALTH + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, ""),
        (HEALTH + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, ""),
        (HEALTH + b"Content-Length: -3\r\n\r\n", 400, ""),
        (HEALTH + b"Transfer-Encoding: chunked, gzip\r\n\r\n", 400, ""),
        (HEALTH + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", 400, "hexadecimal"),
        (HEALTH + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n", 400, "longer"),
        (HEALTH + b"X-Long: " + b"a" * 40000 + b"\r\n\r\n", 431, "larger than 32768"),
        (HEALTH + b"".join(b"X-%d: 1\r\n" % n for n in range(200)) + b"\r\n", 431, "more than 100"),
        (b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431, ""),
        (b"GET / HTTP/1.1\nHost: localhost\n\n", 400, "CR LF"),
        (HEALTH + b"X-Fold: a\r\n b\r\n\r\n", 400, "folded"),
        (HEALTH + b"X-Space : a\r\n\r\n", 400, ""),
        (HEALTH + b"X-Nul: a\0b\r\n\r\n", 400, "NUL"),
        (HEALTH + b"Expect: a-miracle\r\n\r\n", 417, "Expect"),
        (HEALTH + b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1), 413, "4194304"),
        (HEALTH + b"Content-Length: " + b"9" * 17 + b"\r\n\r\n", 413, "4194304"),
        (HEALTH + b"Content-Length: " + b"9" * 400 + b"\r\n\r\n", 400, ""),
        (HEALTH + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (MAX_BODY_BYTES + 1), 413, "4194304"),
    ],
)
def test_a_malformed_request_gets_a_precise_answer_and_the_connection_closes(
    shared_rpc: Daemon, raw: bytes, status: int, words: str
) -> None:
    answer = shared_rpc.raw(raw)
    assert status_of(answer) == status, answer
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Connection: close" in head
    assert words in orjson.loads(body)["error"]
    assert still_serves(shared_rpc)


def test_a_body_of_4_mib_is_read_and_one_byte_more_is_refused(shared_rpc: Daemon) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    padded = body + b" " * (MAX_BODY_BYTES - len(body))
    assert shared_rpc.post("/jsonrpc", padded).json == {"jsonrpc": "2.0", "id": 1, "result": {}}
    head = b"POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    assert status_of(shared_rpc.raw(head + b"Content-Length: %d\r\n\r\n" % (len(padded) + 1))) == 413


def test_a_client_that_sends_on_after_413_still_reads_the_answer(shared_rpc: Daemon) -> None:
    head = b"POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1)
    assert status_of(shared_rpc.raw(head + b" " * (MAX_BODY_BYTES + 1))) == 413


def test_a_head_that_does_not_end_gets_408_and_others_are_served_meanwhile(shared_rpc: Daemon) -> None:
    with socket.create_connection(("127.0.0.1", shared_rpc.port), timeout=10) as slow:
        slow.sendall(b"GET /api/mcp/health HTTP/1.1\r\nHost: loc")
        assert still_serves(shared_rpc)
        answer = read_all(slow)
    assert status_of(answer) == 408
    assert b"head took too long" in answer


def test_a_head_sent_drop_by_drop_does_not_extend_its_deadline(shared_rpc: Daemon) -> None:
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", shared_rpc.port), timeout=10) as slow:
        slow.settimeout(0.3)
        answer = b""
        slow.sendall(b"GET / HTTP/1.1\r\n")
        while not answer and time.monotonic() - started < 9:
            slow.sendall(b"X")
            try:
                answer = slow.recv(65536)
            except TimeoutError:
                continue
    assert status_of(answer) == 408


def test_a_body_that_does_not_end_gets_408(shared_rpc: Daemon) -> None:
    answer = shared_rpc.raw(b"POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
    assert status_of(answer) == 408
    assert b"body took too long" in answer


def test_pipelined_requests_are_answered_in_order(shared_rpc: Daemon) -> None:
    def ping(number: int, last: bool) -> bytes:
        body = b'{"jsonrpc":"2.0","id":%d,"method":"ping"}' % number
        closing = b"Connection: close\r\n" if last else b""
        return b"POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: %d\r\n\r\n%b" % (
            closing,
            len(body),
            body,
        )

    answer = shared_rpc.raw(b"".join(ping(number, number == 49) for number in range(50)))
    ids = [orjson.loads(part.split(b"HTTP/1.1")[0])["id"] for part in answer.split(b"\r\n\r\n")[1:]]
    assert ids == list(range(50))


def test_a_chunked_body_cut_anywhere_is_one_request(shared_rpc: Daemon) -> None:
    chunks = b'5;ext=1\r\n{"jso\r\n1e\r\nnrpc":"2.0","id":7,"method":"p\r\n5\r\ning"}\r\n0\r\nTrailer: x\r\n\r\n'
    head = b"POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shared_rpc.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in head + chunks:
            connection.sendall(bytes([byte]))
        answer = read_all(connection)
    assert orjson.loads(answer.partition(b"\r\n\r\n")[2]) == {"jsonrpc": "2.0", "id": 7, "result": {}}


def test_http_1_0_is_answered_and_closed_unless_it_asks_to_stay(shared_rpc: Daemon) -> None:
    answer = shared_rpc.raw(b"GET /api/mcp/health HTTP/1.0\r\n\r\n")
    assert status_of(answer) == 200
    assert b"Connection: close" in answer
    with socket.create_connection(("127.0.0.1", shared_rpc.port), timeout=10) as connection:
        for _ in range(2):
            connection.sendall(b"GET /api/mcp/health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert status_of(connection.recv(65536)) == 200


def test_expect_100_continue_is_answered_before_the_body(shared_rpc: Daemon) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    head = b"POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\n"
    with socket.create_connection(("127.0.0.1", shared_rpc.port), timeout=10) as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body))
        assert connection.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert status_of(read_all(connection)) == 200


def test_an_offer_to_upgrade_is_ignored(shared_rpc: Daemon) -> None:
    offer = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
    with socket.create_connection(("127.0.0.1", shared_rpc.port), timeout=10) as connection:
        connection.sendall(HEALTH + offer)
        assert status_of(connection.recv(65536)) == 200


def test_a_client_may_half_close_after_its_request(shared_rpc: Daemon) -> None:
    with socket.create_connection(("127.0.0.1", shared_rpc.port), timeout=10) as connection:
        connection.sendall(HEALTH + b"\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert status_of(read_all(connection)) == 200


def test_what_was_pipelined_before_a_half_close_is_answered(shared_rpc: Daemon) -> None:
    with socket.create_connection(("127.0.0.1", shared_rpc.port), timeout=10) as connection:
        connection.sendall((HEALTH + b"\r\n") * 20)
        connection.shutdown(socket.SHUT_WR)
        assert read_all(connection).count(b"200 OK") == 20


def test_a_client_that_reads_nothing_costs_bounded_memory_and_is_dropped(shared_rpc: Daemon) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
    request = b"POST /jsonrpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    assert shared_rpc.process is not None
    memory = psutil.Process(shared_rpc.process.pid)
    before_bytes = memory.memory_info().rss
    with socket.create_connection(("127.0.0.1", shared_rpc.port), timeout=0.5) as deaf:
        sent = 0
        with pytest.raises((TimeoutError, ConnectionError)):
            while sent < 100_000_000:
                sent += deaf.send(request * 100)
        assert memory.memory_info().rss - before_bytes < 8_000_000
        assert still_serves(shared_rpc)
        deaf.settimeout(10)
        with pytest.raises(ConnectionError):
            while True:
                deaf.sendall(request)
    assert still_serves(shared_rpc)


def test_head_has_the_headers_of_get_and_no_body(shared_rpc: Daemon) -> None:
    with socket.create_connection(("127.0.0.1", shared_rpc.port), timeout=10) as connection:
        connection.sendall(HEALTH.replace(b"GET", b"HEAD", 1) + b"Connection: close\r\n\r\n")
        answer = read_all(connection)
    assert status_of(answer) == 200
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example.com"}, 403),
        ({"Host": "localhost.evil.example.com"}, 403),
        ({"Host": "localhost:8099@evil.example.com"}, 403),
        ({"Origin": "http://evil.example.com"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:8099", "Origin": "http://localhost:8099"}, 200),
        ({"Host": "[::1]:8099"}, 200),
        ({"Host": "LOCALHOST"}, 200),
        ({"Origin": "http://localhost:5173"}, 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_host_and_origin_are_checked_on_every_method(
    shared_rpc: Daemon, headers: dict[str, str], status: int, method: str
) -> None:
    assert shared_rpc.request(method, "/api/mcp/health", headers=headers).status == status


def test_the_refusal_of_a_host_names_the_setting_to_change(shared_rpc: Daemon) -> None:
    reply = shared_rpc.post("/mcp", b"{}", {"Host": "mcpd.example.com"})
    assert reply.status == 403
    assert "server.allowed_hosts" in reply.json["error"]["message"]


def test_a_page_of_an_allowed_origin_gets_its_cors_headers(shared_rpc: Daemon) -> None:
    reply = shared_rpc.request("OPTIONS", "/mcp", headers={"Origin": "http://localhost:5173"})
    assert reply.status == 204
    assert reply.headers["Access-Control-Allow-Origin"] == "http://localhost:5173"
    assert "Mcp-Session-Id" in reply.headers["Access-Control-Allow-Headers"]


def test_unknown_paths_and_methods_are_told_apart(shared_rpc: Daemon) -> None:
    assert shared_rpc.request("GET", "/nothing").status == 404
    reply = shared_rpc.request("DELETE", "/api/mcp/health")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET")


def test_more_connections_than_allowed_are_told_so(make_daemon: MakeDaemon) -> None:
    rpc = make_daemon("[server]\nmax_connections = 3\n")
    open_connections = [socket.create_connection(("127.0.0.1", rpc.port), timeout=10) for _ in range(3)]
    for connection in open_connections:
        connection.sendall(HEALTH + b"\r\n")
        assert status_of(connection.recv(65536)) == 200
    assert status_of(rpc.raw(b"")) == 503
    for connection in open_connections:
        connection.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if status_of(rpc.raw(HEALTH + b"Connection: close\r\n\r\n")) == 200:
            break
    else:
        raise AssertionError("closed connections still count")


def test_an_idle_connection_is_closed_in_the_end(make_daemon: MakeDaemon) -> None:
    rpc = make_daemon("[server]\nidle_timeout_s = 0.5\n")
    assert rpc.raw(b"") == b""


def test_garbage_of_every_kind_leaves_the_daemon_serving(shared_rpc: Daemon) -> None:
    for number in range(256):
        data = bytes((number * step + step) % 256 for step in range(1, 400))
        with socket.create_connection(("127.0.0.1", shared_rpc.port), timeout=10) as connection:
            connection.sendall(data + b"\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            answer = read_all(connection)
        assert answer == b"" or 400 <= status_of(answer) < 506
    assert still_serves(shared_rpc)
