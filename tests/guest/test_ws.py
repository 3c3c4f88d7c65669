"""mcpd-ws as apt installs it: started by its socket, restarted and replaced under clients that notice nothing.

MCPD_WS_CLIENTS, MCPD_WS_IDLE and MCPD_ROUNDS say how many clients that listen (100), idle ones besides (0) and restarts
(3).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .conftest import Packages
from .listening import Heard
from .machine import DATABASE, GUEST, Guest
from .terminals import eventually

CLIENTS = int(os.environ.get("MCPD_WS_CLIENTS", "100"))
IDLE = int(os.environ.get("MCPD_WS_IDLE", "0"))
RESTARTS = int(os.environ.get("MCPD_ROUNDS", "3"))
RATE = 50
LISTENING = Path(__file__).with_name("listening.py")


def events(guest: Guest, behind: int = 0) -> list[int]:
    """The numbers of the events that the clients listen to."""
    query = f"SELECT seq FROM events WHERE topic = 'activity.logged' AND seq > {behind} ORDER BY seq"
    rows = guest.exec("runuser", "-u", "mcpd", "--", "sqlite3", DATABASE, query)
    return [int(line) for line in rows.splitlines()]


@contextmanager
def listeners(guest: Guest, clients: int = CLIENTS, rate: float = 0, idle: int = 0) -> Iterator[Heard]:
    """Let *clients* listen during the block, to *rate* events a second; what they heard is there behind it."""
    numbers = [str(number) for number in (8100, clients, idle, rate)]
    command = [str(GUEST), "net", guest.name, sys.executable, str(LISTENING), *numbers]
    before = max(events(guest), default=0)
    heard = Heard()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield heard
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "quiet\n"
        process.stdin.write(json.dumps(events(guest, before)) + "\n")
        process.stdin.flush()
        found = Heard(**json.loads(process.stdout.readline()))
    heard.closed, heard.wrong, heard.counts, heard.idle = found.closed, found.wrong, found.counts, found.idle


def test_the_first_connection_starts_it(guest: Guest) -> None:
    assert guest.exec("systemctl", "is-active", "mcpd-ws.socket", "mcpd-ws6.socket").split() == ["active"] * 2
    assert guest.show("mcpd-ws", "ActiveState") == "inactive"
    status = guest.request("/api/mcp/status").body
    assert (status["transports"], status["websocket_clients"]) == (["http", "websocket"], None)
    for url in ("http://127.0.0.1:8100/ws-config", "http://[::1]:8100/ws-config"):
        assert json.loads(guest.exec("curl", "-sSm", "20", url))["ws_enabled"] is True
    assert guest.show("mcpd-ws", "ActiveState") == "active"
    assert guest.request("/api/mcp/ws-config").body["ws_url"] == "ws://127.0.0.1:8100"


def test_it_is_confined_as_mcpd_rpc_is(guest: Guest) -> None:
    def exposure(unit: str) -> float:
        shown = guest.exec("systemd-analyze", "security", "--no-pager", unit)
        return float(shown.rstrip().splitlines()[-1].split(":")[-1].split()[0])

    found = {unit: exposure(unit) for unit in ("mcpd-ws.service", "mcpd-rpc.service")}
    print(found)
    assert found["mcpd-ws.service"] <= found["mcpd-rpc.service"] <= 3.0


def test_inotify_works_in_the_sandbox(guest: Guest) -> None:
    assert "inotify is not to be had" not in guest.journal("-u", "mcpd-ws")


def test_strangers_are_refused(guest: Guest) -> None:
    lines = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    upgrade = [word for line in (*lines, key) for word in ("-H", line)]
    ask = ("curl", "-sS", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}")
    there = ("http://127.0.0.1:8100/",)
    assert guest.exec("runuser", "-u", "nobody", "--", *ask, *upgrade, *there) == "403"
    assert guest.exec(*ask, *upgrade, "-H", "Origin: http://evil.example", *there) == "403"
    unix = ("--unix-socket", "/run/mcpd/ws.sock", "http://localhost/")
    assert guest.exec("runuser", "-u", "nobody", "--", *ask, *upgrade, *unix) == "403"


ASK = """
import json, sys
from websockets.sync.client import connect, unix_connect
ws = unix_connect(sys.argv[1], "ws://localhost/") if sys.argv[1][0] == "/" else connect(sys.argv[1])
for number, call in enumerate(json.loads(sys.argv[2])):
    ws.send(json.dumps({"type": "rpc", "id": number, "method": "tools/call", "params": call}))
    while (answer := json.loads(ws.recv(20))).get("id") != number:
        pass
    open(sys.argv[3], "a").write(json.dumps(answer) + chr(10))
"""
AGENT = "backend-api"
CALLS = [{"name": "heartbeat", "arguments": {"agent": "x"}}, {"name": "stop_agent", "arguments": {"agent": AGENT}}]


def test_an_agent_is_known_and_restricted_as_it_is_at_mcpd_rpc(guest: Guest, tmp_path: Path) -> None:
    """On the Unix socket by its cgroup, over TCP by its user; a person is asked before it stops somebody."""
    assert guest.call("start_agent", agent=AGENT).status == 200
    (tmp_path / "ask.py").write_text(ASK)
    (tmp_path / "calls.json").write_text(json.dumps(CALLS))
    guest.push(tmp_path / "ask.py", tmp_path / "calls.json", to="/opt/")
    sql = "SELECT caller FROM audit WHERE resource = 'heartbeat' ORDER BY id DESC LIMIT 1"
    for url, caller in (("/run/mcpd/ws.sock", f"agent:{AGENT}"), ("ws://localhost:8100", "mcp-agent")):
        answers = f"/tmp/answers-{caller.partition(':')[0]}"
        line = f'/usr/bin/python3 /opt/ask.py {url} "$(cat /opt/calls.json)" {answers}'
        assert guest.call("send_to_agent", agent=AGENT, text=line).status == 200
        eventually(lambda place=answers: guest.status("sh", "-c", f"test $(wc -l <{place}) = 2") == 0)  # type: ignore[misc]
        assert guest.exec("runuser", "-u", "mcpd", "--", "sqlite3", DATABASE, sql).strip() == caller
        first, second = map(json.loads, guest.exec("cat", answers).splitlines())
        assert first["result"]["success"] is True
        assert "elicitation" in json.dumps(second), second
    assert guest.show(f"mcp-agent@{AGENT}.service", "ActiveState") == "active"


def allow_many(guest: Guest) -> None:
    """Let one caller have all the connections that there may be."""
    guest.exec("mkdir", "-p", "/etc/mcpd/mcpd.toml.d")
    setting = "[websocket]\\nmax_connections_per_caller = 8000\\n"
    guest.exec("sh", "-c", f"printf '{setting}' >/etc/mcpd/mcpd.toml.d/many.toml")
    guest.exec("systemctl", "restart", "mcpd-ws.service")


def test_restarts_under_load_close_nothing_and_lose_nothing(guest: Guest) -> None:
    pids, took_s = set(), []
    allow_many(guest)
    with listeners(guest, rate=RATE, idle=IDLE) as heard:
        eventually(lambda: guest.request("/api/mcp/status").body["websocket_clients"] == CLIENTS + IDLE)
        for _ in range(RESTARTS):
            started_s = time.monotonic()
            guest.exec("systemctl", "restart", "mcpd-ws.service")
            took_s.append(time.monotonic() - started_s)
            pids.add(guest.show("mcpd-ws", "MainPID"))
            time.sleep(0.5)
    assert len(pids) == RESTARTS
    assert (heard.closed, heard.wrong[:3]) == ([], [])
    assert (len(heard.counts), heard.idle) == (CLIENTS, IDLE)
    assert heard.counts[0] > 10 * RESTARTS
    print(f"{CLIENTS} clients and {IDLE} idle, {RESTARTS} restarts, {heard.counts[0]} events to each; ", end="")
    print(f"a restart took {statistics.median(took_s):.1f} s, at most {max(took_s):.1f} s")
    assert guest.show("mcpd-ws", "NFileDescriptorStore") == "0"


def restart(guest: Guest, *units: str) -> None:
    before = guest.show("mcpd-ws", "MainPID")
    guest.exec("systemctl", "restart", *units)
    eventually(lambda: guest.show("mcpd-ws", "MainPID") not in (before, "0"))


def test_whatever_may_be_a_restart_closes_nothing(guest: Guest) -> None:
    """One of what it hangs on is one of it, too; and it cannot ask which it is without a bus."""
    with listeners(guest, 2) as heard:
        for number, unit in enumerate(("mcp.target", "mcpd-ws.socket", "mcpd-migrate.service")):
            restart(guest, unit)
            assert guest.call("log_activity", agent="a", activity=f"x{number}", category="task").status == 200
        guest.exec("systemctl", "stop", "dbus.socket", "dbus.service")
        restart(guest, "mcpd-ws.service")
        guest.exec("systemctl", "start", "dbus.socket", "dbus.service")
    assert (heard.closed, heard.wrong, heard.counts) == ([], [], [3, 3])


def test_a_stop_says_so(guest: Guest) -> None:
    for unit in ("mcpd-ws.service", "mcp.target"):
        with listeners(guest, 2, idle=2) as heard:
            guest.exec("systemctl", "stop", unit)
        guest.exec("systemctl", "start", "mcp.target")
        assert heard.closed == ["1001 mcpd-ws was stopped"] * 4


def test_upgrades_close_nothing_and_lose_nothing(guest: Guest, packages: Packages) -> None:
    with listeners(guest) as heard:
        before = guest.show("mcpd-ws", "MainPID")
        for deb in (packages.newer, packages.current):
            guest.apt_install(deb, "--allow-downgrades")
            assert guest.call("log_activity", agent="a", activity=deb.name, category="task").status == 200
        assert guest.show("mcpd-ws", "MainPID") != before
    assert (heard.closed, heard.wrong[:3]) == ([], [])
    assert set(heard.counts) == {2}


def test_a_killed_one_is_back(guest: Guest) -> None:
    before = guest.show("mcpd-ws", "MainPID")
    guest.exec("systemctl", "kill", "-s", "KILL", "mcpd-ws")
    eventually(lambda: guest.show("mcpd-ws", "MainPID") not in (before, "0"))
    with listeners(guest, 1) as heard:
        guest.call("log_activity", agent="a", activity="x", category="task")
    assert heard.counts == [1]


def test_health_and_logs_know_it(guest: Guest) -> None:
    checks = {check["name"]: check for check in json.loads(guest.exec("mcpctl", "health", "--json"))["checks"]}
    assert checks["mcpd-ws.service"]["outcome"] == checks["port 8100"]["outcome"] == "ok"
    assert "mcpd-ws" in guest.exec("mcpctl", "logs", "ws")
    assert "WebSocket clients" in guest.exec("mcpctl", "status")


def test_one_that_cannot_start_refuses_on_its_own_ports_only(guest: Guest) -> None:
    """A database that mcpd-ws alone cannot take: its program is broken, the others' are not."""
    guest.exec("mkdir", "-p", "/run/systemd/system/mcpd-ws.service.d")
    broken = "[Service]\\nExecStart=\\nExecStart=/bin/false\\nRestart=no\\n"
    place = "/run/systemd/system/mcpd-ws.service.d/broken.conf"
    guest.exec("sh", "-c", f"printf '{broken}' > {place}")
    guest.exec("systemctl", "daemon-reload")
    guest.exec("systemctl", "stop", "mcpd-ws.service")
    guest.status("curl", "-sSm", "5", "http://127.0.0.1:8100/ws-config")
    eventually(lambda: guest.show("mcpd-ws.socket", "ActiveState") in ("inactive", "failed"))
    assert guest.status("curl", "-sSm", "5", "http://127.0.0.1:8100/ws-config") == 7, "refused"
    assert guest.request("/api/mcp/ws-config").body["ws_enabled"] is False
    guest.exec("rm", place)
    guest.exec("systemctl", "daemon-reload")
    guest.exec("systemctl", "start", "mcp.target")
    assert guest.status("curl", "-sSm", "10", "http://127.0.0.1:8100/ws-config") == 0
