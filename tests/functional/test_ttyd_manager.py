"""mcpd-ttyd-manager with real sockets, tmux, ttyd and database; in place of PID 1, a stand-in on a real bus."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.functional.terminals import TTYD, Terminals, wait_until
from tests.tty import Tty

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(
        not (TTYD and shutil.which("tmux") and shutil.which("dbus-daemon")) and not os.environ.get("CI"),
        reason="needs ttyd (MCPD_TTYD), tmux and dbus-daemon",
    ),
]
Make = Callable[..., Terminals]
ENDED = "SELECT state, exit_status FROM terminal_states"
# tmux's side of a watch, of a pane whose SIGCHLD was lost: it knows the status only after another process of its ended.
_LOST_AN_END = """
import sys
def say(status):
    print(f"%subscription-changed pane $0 @0 0 %0 : 1 1 {status} 77 80 24 title")
print("%session-changed $0 claude-alpha")
for line in sys.stdin:
    print("%begin 1 1 1\\n%end 1 1 1")
    if line.startswith("refresh-client -B"):
        say("")
    if line.startswith("run-shell"):
        say("5")
"""
PROMPT = "$" if os.geteuid() else "#"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Terminals] = []

    def start(names: tuple[str, ...] = ("alpha",), settings: str = "") -> Terminals:
        directory = tmp_path / f"manager{len(made)}"
        directory.mkdir()
        terminals = Terminals(directory, names, settings)
        made.append(terminals)
        terminals.migrate()
        terminals.start()
        return terminals

    yield start
    for terminals in made:
        terminals.close()


@pytest.fixture
def manager(make: Make) -> Terminals:
    return make()


def get(port: int, path: str = "/", headers: dict[str, str] | None = None, method: str = "GET") -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, headers=headers or {})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def rows(manager: Terminals, sql: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(manager.database) as db:
        return db.execute(sql).fetchall()


def test_the_first_page_starts_the_agent_and_its_ttyd(manager: Terminals) -> None:
    assert manager.systemd.calls == []
    status, text = get(manager.ports["alpha"])
    assert (status, "ttyd" in text) == (200, True)
    assert manager.systemd.calls == [
        ("StartUnit", "mcp-agent@alpha.service"),
        ("StartUnit", "mcp-ttyd@alpha.service"),
    ]


def test_a_command_is_typed_and_its_output_read_and_who_looked_is_on_record(manager: Terminals) -> None:
    tty = Tty(manager.ports["alpha"])
    tty.type("echo $((6*7))ty\r")
    tty.read_until("42ty")
    wait_until(lambda: rows(manager, "SELECT agent, caller FROM terminal_viewers"), "the viewer is a row")
    tty.close()
    wait_until(lambda: not rows(manager, "SELECT * FROM terminal_viewers"), "the viewer's row goes")
    found = rows(manager, "SELECT operation, resource, caller FROM audit ORDER BY id")
    assert found == [("terminal.opened", "alpha", "root"), ("terminal.closed", "alpha", "root")]
    topics = [row[0] for row in rows(manager, "SELECT topic FROM events WHERE topic LIKE 'terminal.%' ORDER BY seq")]
    assert topics == ["terminal.opened", "terminal.closed"]
    assert 0 < rows(manager, "SELECT duration_us FROM audit")[1][0] < 60_000_000  # type: ignore[operator]


@pytest.mark.parametrize("path", ["/", "/ws"])
def test_a_foreign_page_is_refused_and_starts_nothing(manager: Terminals, path: str) -> None:
    port = manager.ports["alpha"]
    if path == "/ws":
        with pytest.raises(InvalidStatus) as refused:
            Tty(port, origin="http://evil.example")
        assert refused.value.response.status_code == 403
    else:
        assert get(port, path, {"Origin": "http://evil.example"})[0] == 403
    assert get(port, path, {"Host": "evil.example"})[0] == 403
    assert manager.systemd.calls == []


def test_another_agents_page_is_a_foreign_page(make: Make) -> None:
    manager = make(("alpha", "beta"))
    with pytest.raises(InvalidStatus) as refused:
        Tty(manager.ports["alpha"], origin=f"http://127.0.0.1:{manager.ports['beta']}")
    assert refused.value.response.status_code == 403


def test_the_second_request_of_a_connection_is_not_read(manager: Terminals) -> None:
    get(manager.ports["alpha"])
    with socket.create_connection(("127.0.0.1", manager.ports["alpha"]), timeout=20) as connection:
        first = b"GET /token HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.sendall(first + b"GET /token HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        received = b""
        while part := connection.recv(65536):
            received += part
    assert received.count(b"HTTP/1.1 200") == 1
    assert received.count(b"HTTP/1.1") == 1


def test_what_is_missing_is_said(manager: Terminals) -> None:
    manager.systemd.refuses["mcp-ttyd@alpha.service"] = "assert"
    status, text = get(manager.ports["alpha"])
    assert status == 503
    assert "ttyd, the program" in text
    assert "apt install ttyd" in text
    manager.systemd.refuses["mcp-agent@alpha.service"] = "failed"
    manager.systemd.end("mcp-agent@alpha.service")
    status, text = get(manager.ports["alpha"])
    assert status == 503
    assert "mcp-agent@alpha.service could not be started: exit-code, exit status 3." in text
    assert get(manager.ports["alpha"], method="HEAD") == (503, "")


def test_an_open_page_does_not_bring_back_an_agent_that_was_stopped(make: Make) -> None:
    manager = make(settings="[terminals]\nhold_s = 1.0\n")
    Tty(manager.ports["alpha"]).close()
    manager.systemd.end("mcp-ttyd@alpha.service")
    manager.systemd.end("mcp-agent@alpha.service")
    wait_until(lambda: ("absent",) in rows(manager, "SELECT state FROM terminal_states"), "the agent is absent")
    count = len(manager.systemd.calls)
    manager.restart()
    started_s = time.monotonic()
    assert get(manager.ports["alpha"], "/token")[0] == 503
    assert time.monotonic() - started_s > 0.9
    assert len(manager.systemd.calls) == count
    assert get(manager.ports["alpha"])[0] == 200


def test_an_open_terminal_survives_a_restart_of_the_manager(manager: Terminals) -> None:
    tty = Tty(manager.ports["alpha"])
    tty.read_until(PROMPT)
    pane = manager.tmux("alpha", "display-message", "-p", "#{pane_pid}")
    tty.type("i=0; while :; do i=$((i+1)); echo n$i; sleep 0.02; done\r")
    tty.read_until("n10\r")
    for _ in range(3):
        manager.restart()
    tty.read_until("n150\r")
    numbers = [int(line.strip()[1:]) for line in tty.lines if re.fullmatch(r"n\d+", line.strip())]
    shown = [number for number in numbers if number > 10]  # tmux draws what it skipped at the beginning in one go
    assert shown == list(range(11, 150 + 1))
    assert manager.tmux("alpha", "display-message", "-p", "#{pane_pid}") == pane
    assert len(rows(manager, "SELECT * FROM terminal_viewers")) == 1
    assert len(rows(manager, "SELECT * FROM audit")) == 1
    tty.close()
    wait_until(lambda: len(rows(manager, "SELECT * FROM audit")) == 2, "the close is on record")


def test_a_killed_manager_leaves_the_agent_alone_and_forgets_no_viewer(manager: Terminals) -> None:
    tty = Tty(manager.ports["alpha"])
    tty.read_until(PROMPT)
    pane = manager.tmux("alpha", "display-message", "-p", "#{pane_pid}")
    wait_until(lambda: rows(manager, "SELECT * FROM terminal_viewers"), "the viewer is a row")
    manager.stop(signal.SIGKILL)
    manager.start()
    assert manager.tmux("alpha", "display-message", "-p", "#{pane_pid}") == pane
    wait_until(lambda: not rows(manager, "SELECT * FROM terminal_viewers"), "the lost viewer's row goes")
    again = Tty(manager.ports["alpha"])
    again.type("echo ba''ck\r")
    again.read_until("back")
    again.close()


def test_fifty_browsers_and_one_that_stops_reading(manager: Terminals) -> None:
    port = manager.ports["alpha"]
    ttys = [Tty(port) for _ in range(50)]
    stuck = socket.create_connection(("127.0.0.1", port))
    stuck.sendall(
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        b"Sec-WebSocket-Protocol: tty\r\n\r\n"
    )
    payload = b'{"AuthToken":"","columns":80,"rows":24}'
    stuck.sendall(bytes([0x81, 0x80 | len(payload)]) + bytes(4) + payload)
    assert manager.process is not None
    ttys[0].type("yes | head -c 20000000; echo do''ne\r")
    ttys[0].read_until("done", 60)
    memory_kb = int(Path(f"/proc/{manager.process.pid}/statm").read_text().split()[1]) * 4
    assert memory_kb < 150_000
    for tty in ttys[1:]:
        tty.close()
    stuck.close()
    ttys[0].close()
    wait_until(lambda: not rows(manager, "SELECT * FROM terminal_viewers"), "every viewer's row goes")


def test_a_ttyd_that_nobody_uses_is_stopped_and_comes_back(make: Make) -> None:
    manager = make(settings="[terminals]\nidle_stop_s = 0.3\nsample_interval_s = 60.0\n")
    get(manager.ports["alpha"])
    stop = ("StopUnit", "mcp-ttyd@alpha.service")
    wait_until(lambda: stop in manager.systemd.calls, "ttyd is stopped")
    assert manager.systemd.units["mcp-agent@alpha.service"].active == "active"
    assert get(manager.ports["alpha"])[0] == 200


def test_the_manager_ends_when_nothing_runs(make: Make) -> None:
    manager = make(settings="[terminals]\nidle_stop_s = 0.3\nsample_interval_s = 0.1\n")
    assert manager.process is not None
    assert manager.process.wait(20) == 0
    manager.process = None
    manager.start()
    manager.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a cgroup")
def test_the_live_state_follows_the_screen(manager: Terminals) -> None:
    get(manager.ports["alpha"])
    watch = manager.watch("alpha")
    try:
        state = "SELECT state, last_line FROM terminal_states"
        wait_until(lambda: ("idle", PROMPT) in rows(manager, state), "a prompt is idle")
        manager.tmux("alpha", "send-keys", "-t", "claude-alpha", "-l", "read -p 'Go on? [y/N] ' x")
        manager.tmux("alpha", "send-keys", "-t", "claude-alpha", "Enter")
        wait_until(lambda: rows(manager, state)[0] == ("waiting_for_input", "Go on? [y/N]"), "a question waits")
        manager.tmux("alpha", "send-keys", "-t", "claude-alpha", "y", "Enter")
        manager.tmux("alpha", "send-keys", "-t", "claude-alpha", "exit 5", "Enter")
        wait_until(lambda: rows(manager, ENDED) == [("exited", 5)], "exited")
        found = [row[0] for row in rows(manager, "SELECT data ->> 'state' FROM events WHERE topic = 'agent.state'")]
        assert found[0] == "running"
        assert found[-1] == "exited"
        assert "waiting_for_input" in found
    finally:
        watch.kill()
        watch.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a cgroup")
def test_the_hooks_tell_what_the_screen_does_not(make: Make) -> None:
    manager = make(settings="[terminals]\nsample_interval_s = 0.2\n")
    get(manager.ports["alpha"])
    watch = manager.watch("alpha")
    try:
        state = "SELECT state FROM terminal_states"
        manager.tmux("alpha", "send-keys", "-t", "claude-alpha", "clear; exec cat", "Enter")
        wait_until(lambda: rows(manager, state) == [("running",)], "the screen says nothing")
        with sqlite3.connect(manager.database) as db:
            db.execute(
                "INSERT INTO hook_states VALUES ('alpha', 'waiting_for_permission', NULL, NULL, ?1, ?1)",
                (time.time_ns() // 1000,),
            )
        db.close()
        wait_until(lambda: rows(manager, state) == [("waiting_for_permission",)], "the hooks' word counts")
    finally:
        watch.kill()
        watch.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="makes a cgroup")
def test_tmux_is_made_to_look_when_it_has_not_noticed_how_a_command_ended(manager: Terminals) -> None:
    get(manager.ports["alpha"])
    watch = manager.watch("alpha", [sys.executable, "-uc", _LOST_AN_END])
    try:
        wait_until(lambda: rows(manager, ENDED) == [("exited", 5)], "exited")
    finally:
        watch.kill()
        watch.wait()


def test_each_browser_has_its_own_size_and_the_last_one_used_decides(manager: Terminals) -> None:
    port = manager.ports["alpha"]
    small, large = Tty(port, size="60x20"), Tty(port, size="132x43")
    for tty in (small, large):  # what is typed before tmux has attached both does not make it the last one used
        tty.read_until(PROMPT)

    def window() -> str:
        return manager.tmux("alpha", "display-message", "-p", "-t", "claude-alpha", "#{window_width}x#{window_height}")

    for tty, size in ((small, "60x20\n"), (large, "132x43\n"), (small, "60x20\n")):
        tty.type(" ")
        wait_until(lambda size=size: window() == size, f"the window has {size}")  # type: ignore[misc]
    small.resize("70x22")
    wait_until(lambda: window() == "70x22\n", "the window follows the browser's")
    assert sorted(manager.tmux("alpha", "list-clients", "-F", "#{client_width}").split()) == ["132", "70"]
    small.close()
    large.close()


def test_a_flood_in_one_terminal_does_not_hold_up_another(make: Make) -> None:
    manager = make(("alpha", "beta"))
    flood, quiet = Tty(manager.ports["alpha"]), Tty(manager.ports["beta"])
    quiet.read_until(PROMPT)
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            flood.pump(0.2)

    reader = threading.Thread(target=read)
    flood.type("yes 0123456789012345678901234567890123456789\r")
    reader.start()
    samples_s = []
    for _ in range(100):
        quiet.text = ""
        started_s = time.perf_counter()
        quiet.type("x")
        quiet.read_until("x")
        samples_s.append(time.perf_counter() - started_s)
    ended.set()
    reader.join()
    assert sorted(samples_s)[94] < 0.05
    flood.close()
    quiet.close()
