"""mcpd-ws goes from one process to the next, and no client notices.

MCPD_WS_CLIENTS and MCPD_ROUNDS say how many clients (100) and restarts (3).
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest
from websockets.asyncio.client import ClientConnection, connect

from mcpd.ws import handover
from tests.functional.conftest import UNLIMITED, MakeDaemon
from tests.functional.websocket import Load, Raw, Ws, frame, log_activity, make, opened

CLIENTS = int(os.environ.get("MCPD_WS_CLIENTS", "100"))
ROUNDS = int(os.environ.get("MCPD_ROUNDS", "3"))
GIVE_UP_S = 60.0


@pytest.fixture
def ws(make_daemon: MakeDaemon, tmp_path: Path) -> Iterator[Ws]:
    """An mcpd-ws with a stand-in for systemd's file-descriptor store."""
    rpc = make_daemon(f"[server]\ndrain_timeout_s = 1.0\n{UNLIMITED}")
    daemon = make(tmp_path / "ws", rpc, "[websocket]\nmax_connections_per_caller = 8000\n", FDSTORE="8192")
    yield daemon
    daemon.close()


@dataclass
class Listener:
    """A client that counts."""

    seqs: list[int] = field(default_factory=list)
    error: BaseException | None = None

    async def listen(self, connection: ClientConnection) -> None:
        try:
            async for text in connection:
                message: dict[str, Any] = json.loads(text)
                if message["type"] == "event":
                    self.seqs.append(message["seq"])
                elif message["type"] not in ("heartbeat", "connection", "subscribed"):
                    raise AssertionError(message)
            raise AssertionError("closed")
        except asyncio.CancelledError:
            raise
        except BaseException as exc:
            self.error = exc


async def followed(ws: Ws, clients: int, rounds: int) -> tuple[list[Listener], list[int]]:
    """Let *clients* listen while there is load and mcpd-ws is restarted; return them, and the numbers of the events."""
    listeners = [Listener() for _ in range(clients)]
    connections: list[ClientConnection] = []
    for _ in range(0, clients, 50):
        batch = [
            connect(ws.url, proxy=None, compression=None, ping_interval=None, open_timeout=GIVE_UP_S)
            for _ in range(min(50, clients - len(connections)))
        ]
        connections += await asyncio.gather(*batch)
    for connection in connections:
        await connection.send(json.dumps({"type": "subscribe", "topics": ["activity.logged"]}))
    tasks = [
        asyncio.create_task(listener.listen(connection))
        for listener, connection in zip(listeners, connections, strict=True)
    ]
    # The first event after all have subscribed; what came before is not everybody's.
    await asyncio.to_thread(log_activity, ws.rpc, "all are here")
    await arrived(listeners, 1)
    first = max(listener.seqs[-1] for listener in listeners)
    with Load(ws.rpc, 0.005) as load:
        for _ in range(rounds):
            await asyncio.sleep(0.3)
            await asyncio.to_thread(ws.restart)
        await asyncio.sleep(0.3)
        load.__exit__()
        written = load.written
    deadline = time.monotonic() + GIVE_UP_S
    numbers = events(ws, first)
    while any(last(listener) < numbers[-1] for listener in listeners) and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*(connection.close() for connection in connections))
    assert len(numbers) == written + 1
    return listeners, numbers


def events(ws: Ws, first: int) -> list[int]:
    """The numbers of the events that are listened to, from *first* on."""
    db = apsw.Connection(str(ws.rpc.database), flags=apsw.SQLITE_OPEN_READONLY)
    query = "SELECT seq FROM events WHERE topic = 'activity.logged' AND seq >= ? ORDER BY seq"
    numbers = [int(seq) for (seq,) in db.execute(query, (first,))]
    db.close()
    return numbers


def last(listener: Listener) -> int:
    return listener.seqs[-1] if listener.seqs else 0


async def arrived(listeners: list[Listener], count: int) -> None:
    deadline = time.monotonic() + GIVE_UP_S
    while any(len(listener.seqs) < count for listener in listeners):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def test_every_client_hears_every_event_once_and_in_order_over_restarts(ws: Ws) -> None:
    listeners, numbers = asyncio.run(followed(ws, CLIENTS, ROUNDS))
    assert [listener.error for listener in listeners if listener.error] == []
    assert len(numbers) > 20 * ROUNDS
    wrong = [listener.seqs for listener in listeners if listener.seqs[-len(numbers) :] != numbers]
    assert not wrong, f"{len(wrong)} of {CLIENTS}: {wrong[0][:50]} …"
    assert all(listener.seqs == sorted(set(listener.seqs)) for listener in listeners)
    print(f"{CLIENTS} clients, {ROUNDS} restarts, {len(numbers)} events to each")


def test_state_and_streams_survive(ws: Ws) -> None:
    with ws.client() as client:
        client.ask(type="subscribe", topics=["activity.*"], agent="wanted")
        client.ask(type="stream", stream_type="metrics", params={"interval": 1}, id="m")
        before = client.greeting["client_id"]
        ws.restart()
        log_activity(ws.rpc, "x", agent="other")
        log_activity(ws.rpc, "y", agent="wanted")
        assert client.events(1)[0]["data"]["activity"] == "y"
        assert client.until(lambda said: said.get("id") == "m")["type"] == "stream_data"
        assert client.ask(type="get_state")["state"]["connected_clients"] == 1
        assert client.ask(type="stream_stop", stream_id="m")["type"] == "stream_stopped"
        assert before


def test_a_message_half_sent_is_finished_in_the_next_process(ws: Ws) -> None:
    """In the middle of a frame, in the middle of a message of several, and in the middle of a handshake."""
    with opened(ws) as connection:
        wire = Raw(connection)
        wire.take()  # connection, heartbeat
        wire.take()
        whole = frame(b'{"type":"ping","id":"half"}')
        connection.sendall(whole[:9])
        wait_until_read(ws)
        ws.restart()
        connection.sendall(whole[9:])
        assert wire.take()["id"] == "half"
        connection.sendall(frame(b'{"type":"ping",', 0x01) + frame(b"x", 0x89))
        assert wire.frame()[0] == 0x8A
        ws.restart()
        connection.sendall(frame(b'"id":"parts"}', 0x80))
        while (found := wire.frame())[0] == 0x8A:
            pass  # the ping in between may be answered again
        assert json.loads(found[1])["id"] == "parts"


def test_a_handshake_half_sent_is_finished_in_the_next_process(ws: Ws) -> None:
    with socket.create_connection(("127.0.0.1", ws.port), timeout=20) as connection:
        connection.sendall(b"GET /ws-config HTTP/1.1\r\nHo")
        wait_until_read(ws)
        ws.restart()
        connection.sendall(b"st: localhost\r\n\r\n")
        assert b"200 OK" in connection.recv(4096)


def test_a_slow_reader_misses_and_repeats_nothing_over_restarts(ws: Ws) -> None:
    """What the kernel had not taken when the process ended is sent by the next one, from the very byte on."""
    with opened(ws) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        wire = Raw(connection)
        connection.sendall(frame(b'{"type":"subscribe","topics":["activity.logged"]}'))
        while wire.take()["type"] != "subscribed":
            pass
        unsent: list[int] = []
        for number in range(400):
            log_activity(ws.rpc, f"{number} " + "x" * 16_000)
            if number in (60, 200, 350):
                assert ws.stop() == 0
                unsent.append(unsent_bytes(ws))
                ws.start()
        assert unsent[-1] > 0, "the kernel took all of it"
        found = [wire.take() for _ in range(400)]
        assert [int(event["data"]["activity"].split()[0]) for event in found] == list(range(400))


def test_without_a_store_clients_are_told_to_come_back(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    rpc = make_daemon(UNLIMITED)
    ws = make(tmp_path / "ws", rpc)
    try:
        with ws.client() as client:
            assert ws.process is not None
            ws.process.terminate()
            assert client.closed() == (1012, "mcpd-ws is stopping; connect again")
            assert ws.process.wait(20) == 0
            ws.process = None
    finally:
        ws.close()


def test_a_connection_of_which_nothing_is_known_is_told_to_come_back(ws: Ws) -> None:
    with ws.client() as client:
        assert ws.stop() == 0
        for stored in [stored for stored in ws.stored if stored[0] == "state"]:
            ws.stored.remove(stored)
            os.close(stored[1])
        ws.start()
        assert client.closed()[0] == 1012


def unsent_bytes(ws: Ws) -> int:
    """What is left for the next process to send, of all connections that are stored."""
    files = [fd for name, fd in ws.stored if name == handover.STATE]
    return sum(len(record.unsent) for record in handover.read(files).values())


def wait_until_read(ws: Ws) -> None:
    """Wait until the daemon has taken what was sent to it: it answers somebody else who came behind."""
    with ws.client() as client:
        assert client.ask(type="ping")["type"] == "pong"
