"""Whatever arrives is refused with the right code, and mcpd-ws serves on; a client that stops reading harms nobody."""

from __future__ import annotations

import json
import os
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.conftest import UNLIMITED, MakeDaemon
from tests.functional.daemon import Daemon, read_all
from tests.functional.test_ws_restart import events
from tests.functional.websocket import Raw, Ws, frame, handshake, log_activity, make, opened

LIMIT = 65536
FUZZED = int(os.environ.get("MCPD_WS_FUZZED", "300"))


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ws]:
    """One for all tests of this module; each asks at its end whether it still serves."""
    rpc = Daemon(tmp_path_factory.mktemp("rpc"), UNLIMITED)
    rpc.migrate()
    rpc.start()
    daemon = make(tmp_path_factory.mktemp("ws"), rpc, f"[websocket]\nmax_message_bytes = {LIMIT}\n")
    yield daemon
    daemon.close()
    rpc.close()


def serves(ws: Ws) -> bool:
    with ws.client() as client:
        return bool(client.ask(type="ping")["type"] == "pong")


def close_code(connection: socket.socket) -> int:
    """Read until the close frame; return its code."""
    wire = Raw(connection)
    while True:
        first, payload = wire.frame()
        if first == 0x88:
            return int(struct.unpack("!H", payload[:2])[0])


def unmasked(payload: bytes) -> bytes:
    return bytes([0x81, len(payload)]) + payload


BOMB = frame(b"x" * 1000, 0x01) + frame(b"x" * 1000, 0x00) * (LIMIT // 1000 + 1)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(unmasked(b"{}"), 1002, id="unmasked"),
        pytest.param(frame(b"{}", 0xC1), 1002, id="reserved bit"),
        pytest.param(frame(b"{}", 0x83), 1002, id="reserved opcode"),
        pytest.param(frame(b"{}", 0x80), 1002, id="continuation of nothing"),
        pytest.param(frame(b"{", 0x01) + frame(b"}", 0x81), 1002, id="message in a message"),
        pytest.param(frame(b"x" * 126, 0x89), 1002, id="control frame too long"),
        pytest.param(frame(b"x", 0x09), 1002, id="control frame in parts"),
        pytest.param(frame(b"{}", 0x82), 1003, id="binary"),
        pytest.param(frame(b'"\xff\xfe"'), 1007, id="not UTF-8"),
        pytest.param(frame(b'"\xc3', 0x01) + frame(b'("', 0x80), 1007, id="not UTF-8 over two frames"),
        pytest.param(bytes([0x81, 0xFF]) + (1 << 62).to_bytes(8, "big") + bytes(4), 1009, id="giant frame announced"),
        pytest.param(frame(b"x" * 65535) + bytes([0x81, 0xFF]) + (LIMIT + 1).to_bytes(8, "big"), 1009, id="too large"),
        pytest.param(BOMB, 1009, id="fragmented bomb"),
        pytest.param(frame(b"x", 0x01) + frame(b"", 0x00) * 60_000, 1009, id="a message in endless empty parts"),
        pytest.param(frame(b"x", 0x01) + frame(b"x" * 125, 0x89) * 2000, 1009, id="endless pings in a message"),
        pytest.param(frame(b"{}", 0x82) + frame(b'{"type":"ping"}'), 1003, id="binary, and something behind it"),
        pytest.param(frame(b"\x03", 0x88), 1002, id="half a close code"),
        pytest.param(frame(struct.pack("!H", 1005), 0x88), 1002, id="a close code that may not be sent"),
        pytest.param(frame(struct.pack("!H", 1000), 0x88), 1000, id="a close"),
    ],
)
def test_frames_that_break_the_protocol(ws: Ws, sent: bytes, code: int) -> None:
    with opened(ws) as connection:
        connection.sendall(sent)
        assert close_code(connection) == code
        connection.sendall(b"more")  # what comes behind is read and dropped
        while connection.recv(65536):
            pass
    assert serves(ws)


def test_a_ping_is_answered_between_the_parts_of_a_message(ws: Ws) -> None:
    with opened(ws) as connection:
        connection.sendall(frame(b'{"type":"ping"', 0x01) + frame(b"here?", 0x89) + frame(b"}", 0x80))
        wire = Raw(connection)
        found = [wire.frame() for _ in range(4)]
        assert (0x8A, b"here?") in found
        assert "pong" in [json.loads(payload)["type"] for first, payload in found if first == 0x81]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x00\x01\x02\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: localhost\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 426),
        (b"PUT / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 40_000 + b"\r\n\r\n", 431),
        (handshake().replace(b"Version: 13", b"Version: 8"), 400),
        (handshake().replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"short"), 400),
        (handshake("Origin: null\r\n"), 403),
        (handshake(host="evil.example:8100"), 403),
        (handshake("Origin: http://localhost.evil.example\r\n"), 403),
        (handshake("Authorization: Bearer " + "x" * 5000 + "\r\n"), 401),
    ],
)
def test_requests_that_open_nothing(ws: Ws, sent: bytes, status: int) -> None:
    with socket.create_connection(("127.0.0.1", ws.port), timeout=10) as connection:
        connection.sendall(sent)
        assert int(read_all(connection).split()[1]) == status
    assert serves(ws)


def test_garbage(ws: Ws) -> None:
    """Random bytes, and frames that are nearly right; from a seed that is shown when it fails."""
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    for number in range(FUZZED):
        with opened(ws) as connection:
            connection.settimeout(0.01)
            sent = bytearray(chance.randbytes(chance.randrange(1, 200)))
            if number % 2:
                sent = bytearray(frame(json.dumps({"type": "subscribe", "topics": ["*"]}).encode()))
                for _ in range(chance.randrange(1, 4)):
                    sent[chance.randrange(len(sent))] = chance.randrange(256)
            try:
                for start in range(0, len(sent), 50):
                    connection.sendall(sent[start : start + 50])
                connection.recv(4096)
            except OSError:
                continue
    assert serves(ws), seed
    assert "Traceback" not in ws.log(), seed


@pytest.mark.parametrize("deep", ["[" * 100_000, '{"type":"subscribe","topics":' + "[" * 2000 + "]" * 2000 + "}"])
def test_json_that_is_deep(ws: Ws, deep: str) -> None:
    with ws.client() as client:
        client.connection.send(deep[: LIMIT - 100])
        assert client.take()["type"] == "error"
    assert serves(ws)


def memory_bytes(ws: Ws) -> int:
    assert ws.process is not None
    return int(Path(f"/proc/{ws.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_client_that_stops_reading_costs_little_is_told_and_slows_nobody(
    make_daemon: MakeDaemon, tmp_path: Path
) -> None:
    rpc = make_daemon(UNLIMITED)
    ws = make(tmp_path / "slow", rpc, "[websocket]\nmax_behind = 100\n")
    try:
        with opened(ws) as slow, ws.client() as quick:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            slow.sendall(frame(b'{"type":"subscribe","topics":["activity.logged"]}'))
            quick.ask(type="subscribe", topics=["activity.logged"])
            before = memory_bytes(ws)
            slowest_s = 0.0
            for number in range(1500):
                started_s = time.monotonic()
                log_activity(rpc, f"{number} " + "x" * 16_000)
                heard = quick.events(1)[0]
                slowest_s = max(slowest_s, time.monotonic() - started_s)
                assert heard["data"]["activity"].startswith(f"{number} ")
            grown = memory_bytes(ws) - before
            assert grown < 16_000_000, f"24 MB were written, and memory grew by {grown}"
            numbers, lagged = drained(slow)
        assert lagged, "it was not told"
        assert numbers == sorted(set(numbers)), "twice, or out of order"
        missing = set(events(ws, numbers[0])) - set(numbers)
        assert missing, "it took everything"
        told = {number for first, last, _ in lagged for number in range(first, last + 1)}
        assert missing <= told
        lost = sum(number for _, _, number in lagged)
        assert lost == len(missing) < len(told), "calls were lost too, but it does not listen to them"
        assert numbers[-1] == heard["seq"]
        print(f"slowest delivery to the other {slowest_s * 1000:.1f} ms, memory grew by {grown / 1e6:.1f} MB")
    finally:
        ws.close()


def drained(connection: socket.socket) -> tuple[list[int], list[tuple[int, int, int]]]:
    """Read all that comes until it is quiet; return the numbers of events, and what was said to be lost: from, to,
    how many.
    """
    wire = Raw(connection)
    numbers: list[int] = []
    lagged: list[tuple[int, int, int]] = []
    connection.settimeout(2.0)
    try:
        while True:
            first, payload = wire.frame()
            message: dict[str, Any] = json.loads(payload) if first == 0x81 else {"type": "control"}
            if message["type"] == "event":
                numbers.append(message["seq"])
            elif message["type"] == "lagged":
                lagged.append((message["from"], message["to"], message["lost"]))
    except TimeoutError:
        return numbers, lagged


def test_a_flood_of_pings_that_nobody_reads_the_answers_to_is_bounded(ws: Ws) -> None:
    before = memory_bytes(ws)
    with opened(ws) as connection:
        connection.settimeout(1.0)
        flood = frame(b"x" * 125, 0x89) * 1000
        sent = 0
        try:
            for _ in range(400):
                sent += connection.send(flood)
        except TimeoutError:
            pass  # it does not read any more
        assert memory_bytes(ws) - before < 16_000_000
    assert sent > 0
    assert serves(ws)


def test_many_at_once(ws: Ws) -> None:
    threads = [threading.Thread(target=serves, args=(ws,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert serves(ws)
