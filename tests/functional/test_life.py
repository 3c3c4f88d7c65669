"""The daemon's life: what it promises to systemd and what an acknowledged write survives."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import apsw
import pytest

import mcpd
from tests.functional.conftest import UNLIMITED, MakeDaemon
from tests.functional.daemon import Daemon, read_all
from tests.functional.mcp import call

HEALTH = b"GET /api/mcp/health HTTP/1.1\r\nHost: localhost\r\n"


def count(database: Path, table: str) -> int:
    db = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        return len(db.execute(f"SELECT 1 FROM {table}").fetchall())
    finally:
        db.close()


def test_it_says_ready_and_stopping_and_exits_0(rpc: Daemon) -> None:
    assert any("STATUS=serving on" in message for message in rpc.notifications)
    assert rpc.process is not None
    process = rpc.process
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    rpc.process = None
    assert "Traceback" not in rpc.log()


def test_the_watchdog_is_fed_from_the_loop(make_daemon: MakeDaemon) -> None:
    rpc = make_daemon(environment={"WATCHDOG_USEC": "200000"})
    rpc.wait_for("WATCHDOG=1", 2.0)
    rpc.notifications.clear()
    rpc.wait_for("WATCHDOG=1", 2.0)


def test_the_watchdog_is_not_fed_while_the_database_cannot_be_read(make_daemon: MakeDaemon) -> None:
    rpc = make_daemon(environment={"WATCHDOG_USEC": "200000"})
    rpc.wait_for("WATCHDOG=1", 2.0)
    assert rpc.process is not None
    other = apsw.Connection(str(rpc.database))
    other.execute("DROP TABLE schema_migrations")
    other.close()
    rpc.wait_for("STATUS=unhealthy: the database refused the request", 2.0)
    rpc.notifications.clear()
    with pytest.raises(AssertionError, match="no WATCHDOG=1"):
        rpc.wait_for("WATCHDOG=1", 1.0)
    assert rpc.request("GET", "/api/mcp/health").status == 503


def test_a_kill_loses_no_acknowledged_write(rpc: Daemon) -> None:
    acknowledged: list[int] = []

    def write() -> None:
        try:
            while True:
                result = call(rpc, "log_activity", agent="load", activity="x", category="task")
                acknowledged.append(result["id"])
        except (OSError, EOFError):
            return
        except Exception as exc:  # the connection that the kill cut
            assert "Remote" in type(exc).__name__ or "Incomplete" in type(exc).__name__, exc

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    while len(acknowledged) < 200:
        time.sleep(0.01)
    rpc.stop(signal.SIGKILL)
    rpc.start()
    rpc.stop(signal.SIGKILL)
    rpc._tcp.close()  # now the writers' connects are refused and they end
    for thread in threads:
        thread.join(30)
    db = apsw.Connection(str(rpc.database))
    kept = {row[0] for row in db.execute("SELECT id FROM activities")}
    db.close()
    assert set(acknowledged) <= kept
    assert len(acknowledged) == len(set(acknowledged))
    assert count(rpc.database, "audit") == len(kept)
    assert count(rpc.database, "events WHERE topic = 'activity.logged'") == len(kept)


def test_a_stopping_daemon_answers_what_was_asked_and_says_close(make_daemon: MakeDaemon) -> None:
    rpc = make_daemon("[server]\ndrain_timeout_s = 5.0\n")
    with socket.create_connection(("127.0.0.1", rpc.port), timeout=10) as connection:
        connection.sendall(HEALTH + b"\r\n")
        assert b"200 OK" in connection.recv(65536)
        assert rpc.process is not None
        rpc.process.send_signal(signal.SIGTERM)
        rpc.wait_for("STOPPING=1")
        connection.sendall(HEALTH + b"\r\n")
        answer = read_all(connection)
    assert b"200 OK" in answer
    assert b"Connection: close" in answer
    assert rpc.process.wait(10) == 0
    rpc.process = None


def test_idle_connections_are_handed_over_a_restart_and_nobody_notices(make_daemon: MakeDaemon) -> None:
    rpc = make_daemon(environment={"FDSTORE": "512"})
    clients = [socket.create_connection(("127.0.0.1", rpc.port), timeout=10) for _ in range(50)]
    for _ in range(3):
        for client in clients:
            client.sendall(HEALTH + b"\r\n")
            answer = client.recv(65536)
            assert b"200 OK" in answer
            assert b"Connection: close" not in answer
        started = time.monotonic()
        assert rpc.stop() == 0
        assert time.monotonic() - started < 1.0, "nothing is under way, so nothing is waited for"
        assert len(rpc.stored) == len(clients)
        clients[0].sendall(HEALTH + b"\r\n")  # nobody is there: it waits in the kernel
        rpc.start()
        assert b"200 OK" in clients[0].recv(65536)
        assert rpc.stored == []
    for client in clients:
        client.close()


def test_a_half_sent_request_is_not_handed_over_but_finished(make_daemon: MakeDaemon) -> None:
    rpc = make_daemon(environment={"FDSTORE": "512"})
    assert rpc.process is not None
    with socket.create_connection(("127.0.0.1", rpc.port), timeout=10) as client:
        client.sendall(HEALTH)
        time.sleep(0.2)
        rpc.process.send_signal(signal.SIGTERM)
        rpc.wait_for("STOPPING=1")
        client.sendall(b"\r\n")
        assert b"200 OK" in client.recv(65536)
        assert rpc.stop() == 0
        rpc.start()
        client.sendall(HEALTH + b"\r\n")
        assert b"200 OK" in client.recv(65536)


def test_connections_made_while_it_restarts_wait_and_are_answered(rpc: Daemon) -> None:
    rpc.stop()
    with socket.create_connection(("127.0.0.1", rpc.port), timeout=10) as connection:
        connection.sendall(HEALTH + b"Connection: close\r\n\r\n")
        rpc.start()
        assert b"200 OK" in read_all(connection)


@pytest.mark.host
def test_systemd_socket_activate_starts_it_on_the_first_connection(tmp_path: Path) -> None:
    activate = shutil.which("systemd-socket-activate")
    if activate is None:
        pytest.skip("systemd-socket-activate is not installed")
    rpc = Daemon(tmp_path)
    rpc.migrate()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    tree = f"--setenv=PYTHONPATH={Path(mcpd.__file__).parents[1]}"
    daemon = [sys.executable, "-m", "mcpd.daemons.rpc", "--config", str(rpc.config)]
    command = [activate, f"--listen=127.0.0.1:{port}", "--fdname=mcpd-rpc", tree, *daemon]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        assert b"Listening on" in process.stderr.readline()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(HEALTH + b"Connection: close\r\n\r\n")
            assert b"200 OK" in read_all(connection)
        process.terminate()
        assert process.wait(10) == 0
    rpc.close()


def test_a_locked_database_gives_an_error_and_then_works_again(make_daemon: MakeDaemon) -> None:
    rpc = make_daemon("busy_timeout_s = 0.2\n")
    other = apsw.Connection(str(rpc.database))
    other.execute("BEGIN IMMEDIATE")
    params = {"name": "heartbeat", "arguments": {"agent": "a"}}
    reply = rpc.post("/jsonrpc", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    assert "locked by another process" in reply.json["error"]["message"]
    other.execute("ROLLBACK")
    other.close()
    assert call(rpc, "heartbeat", agent="a")["success"] is True


def test_a_configuration_error_exits_78_and_names_file_key_and_expectation(rpc: Daemon) -> None:
    rpc.stop()
    rpc.config.write_text("[server]\nidle_timeout_s = 'long'\n")
    with pytest.raises(AssertionError, match="ended"):
        rpc.start()
    assert rpc.process is not None
    assert rpc.process.wait(10) == 78
    rpc.process = None
    log = rpc.log()
    assert f"{rpc.config}: key 'server.idle_timeout_s': expected a number above 0 to 86400, got 'long'" in log


def test_a_database_that_was_not_migrated_exits_78(tmp_path: Path) -> None:
    rpc = Daemon(tmp_path)
    with pytest.raises(AssertionError, match="run mcpd-migrate"):
        rpc.start()
    assert rpc.process is not None
    assert rpc.process.wait(10) == 78
    rpc.process = None
    rpc.close()


def test_the_wal_stays_bounded_under_steady_writing(make_daemon: MakeDaemon) -> None:
    rpc = make_daemon(UNLIMITED)
    wal = Path(f"{rpc.database}-wal")
    largest = 0
    body = "x" * 16_000
    for _ in range(3000):
        call(rpc, "log_activity", agent="load", activity=body, category="task")
        largest = max(largest, wal.stat().st_size)
    written = count(rpc.database, "activities") * 2 * len(body)
    assert written > 80 * 1024 * 1024
    assert largest < 48 * 1024 * 1024
