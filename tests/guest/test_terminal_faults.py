"""What goes wrong around terminals, or comes while some are open: each costs what it is about and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .machine import ROOT, Guest
from .terminals import AGENTS, MANAGER, client, counter, echoes_ms, eventually, page

TAKEN = 8094
EX_USAGE = 64
OCCUPY = f"python3 -m http.server --bind 127.0.0.1 {TAKEN}"


@pytest.fixture
def occupied(guest: Guest) -> Iterator[Guest]:
    """A machine on which another program had the port of one terminal first."""
    guest.exec("systemctl", "stop", "mcp.target")
    eventually(lambda: not guest.exec("ss", "-Hltn", f"sport = :{TAKEN}"))
    guest.exec("systemd-run", "--quiet", "--unit=occupier", *OCCUPY.split())
    eventually(lambda: guest.exec("ss", "-Hltn", f"sport = :{TAKEN}"))
    guest.exec("systemctl", "start", "mcp.target")
    yield guest
    guest.status("systemctl", "stop", "occupier.service")


def checks(guest: Guest) -> dict[str, dict[str, str]]:
    """What mcpctl health says, by the check's name; it exits 1 when something is wrong."""
    report = json.loads(guest.exec("sh", "-c", "mcpctl --json health || true"))
    return {check["name"]: check for check in report["checks"]}


def test_a_taken_port_is_reported_and_the_other_terminals_work(occupied: Guest) -> None:
    socket = "mcp-terminal@instagram.socket"
    assert occupied.show(socket, "ActiveState") == "failed"
    assert "Failed to listen" in occupied.journal("-u", socket)
    found = checks(occupied)[f"port {TAKEN}"]
    assert found["outcome"] == "failed"
    assert "held by python3" in found["detail"]
    for name, port in AGENTS.items():
        if port != TAKEN:
            assert page(occupied, port)[0] == 200, name

    occupied.exec("systemctl", "stop", "occupier.service")
    with counter(occupied, AGENTS["testing"]) as seen:
        occupied.exec("sh", "-c", found["advice"].partition("; then ")[2])
    assert seen["reconnects"] == 0
    assert page(occupied, TAKEN)[0] == 200
    assert checks(occupied)[f"port {TAKEN}"]["outcome"] == "ok"


def test_an_agent_that_comes_or_goes_cuts_no_open_terminal(guest: Guest) -> None:
    with counter(guest, AGENTS["master"]) as seen:
        manager = guest.show(MANAGER, "MainPID")
        guest.exec("mcpctl", "agent", "add", "late", "--port", "8150")
        assert guest.show(MANAGER, "MainPID") not in (manager, "0")
        assert page(guest, 8150)[0] == 200
        client(guest, "t = Tty(8150)\nt.read_until('$')\nt.type('echo la''te\\r')\nt.read_until('late')\nt.close()")
        guest.exec("mcpctl", "agent", "remove", "late")
        assert guest.exec("ss", "-Hltn", "sport = :8150") == ""
        assert guest.exec("pgrep", "-c", "-x", "ttyd") >= "1"
    assert seen["reconnects"] == 0
    shown = [number for number in seen["numbers"] if number > 5]
    assert shown == list(range(6, seen["last"] + 1))


# As fast as tmux takes it: more than 10 MB/s on an idle machine.
FLOOD = """
import os, time
chunk, started, sent = (b"0123456789abcde\\n" * 6250), time.monotonic(), 0
while (now := time.monotonic() - started) < 10:
    sent += os.write(1, chunk)
print(f"flooded {sent / now / 1e6:.1f} MB/s")
"""
STUCK = """
stuck, reader = Tty(8092), Tty(8092)
while "flooded " not in reader.text:
    reader.text = reader.text[-100:]
    reader.pump(0.2)
print(reader.text)
"""


def test_a_flood_holds_up_nobody_and_fills_no_memory(guest: Guest, tmp_path: Path) -> None:
    """One browser reads it, another one does not."""
    for port in (8092, 8090):
        page(guest, port)
    (tmp_path / "flood.py").write_text(FLOOD)
    guest.push(tmp_path / "flood.py", to="/tmp/")
    with ThreadPoolExecutor() as pool:
        reader = pool.submit(client, guest, STUCK)
        guest.exec("mcpctl", "send", "frontend-ui", "python3 /tmp/flood.py")
        ((_, p95_ms),) = echoes_ms(guest, (8090, None))
        used_mb = memory_mb(guest)
        flooded = float(reader.result(60).rpartition("flooded ")[2].split()[0])
    print(f"flood of {flooded} MB/s: echo of the neighbour p95 {p95_ms:.1f} ms, memory in MB {used_mb}")
    assert flooded > 5
    assert p95_ms < 50
    assert used_mb["mcpd-ttyd-manager.service"] < 100
    assert used_mb["mcp-ttyd@frontend-ui.service"] < 200
    assert used_mb["mcp-agent@frontend-ui.service"] < 200


def memory_mb(guest: Guest) -> dict[str, int]:
    """What the main processes on the way of a flood use."""
    units = (MANAGER, "mcp-ttyd@frontend-ui.service", "mcp-agent@frontend-ui.service")
    pids = {unit: guest.show(unit, "MainPID") for unit in units}
    return {unit: int(guest.exec("ps", "-o", "rss=", "-p", pid)) // 1000 for unit, pid in pids.items()}


@pytest.mark.parametrize("verb", ["add", "start", "remove"])
def test_a_name_that_would_escape_is_refused(guest: Guest, verb: str) -> None:
    before = guest.exec("ls", "/etc/mcpd/agents.d", "/tmp", "/")
    for name in ("../../../tmp/evil", "a/b", "a b", "x@y", "x.service", "-v", "%i", "a;reboot", "a*"):
        assert guest.status("mcpctl", "agent", verb, "--", name) == EX_USAGE, name
    assert guest.exec("ls", "/etc/mcpd/agents.d", "/tmp", "/") == before


def test_a_terminal_moves_to_another_port_as_the_manual_says(guest: Guest) -> None:
    guest.exec("mcpctl", "agent", "add", "mover", "--port", "8152")
    assert page(guest, 8152)[0] == 200
    guest.exec("sed", "-i", "s/8152/8153/", "/etc/mcpd/agents.d/mover.toml")
    manual = (ROOT / "man" / "mcpd-agents.5").read_text().partition("After a change:")[2].partition(".Ed")[0]
    commands = [
        line.replace("name", "mover") for line in manual.splitlines() if line.startswith(("systemctl", "mcpctl"))
    ]
    assert len(commands) == 4
    guest.exec("sh", "-euc", "\n".join(commands))
    assert guest.exec("ss", "-Hltn", "sport = :8152") == ""
    assert page(guest, 8153)[0] == 200
    guest.exec("mcpctl", "agent", "remove", "mover")


def test_a_socket_of_an_agent_with_a_broken_file_says_so(guest: Guest) -> None:
    """The file broke after its terminal was opened to the world, and systemd has not read it again."""
    guest.exec("sh", "-c", "printf 'port = 8151\\n' >/etc/mcpd/agents.d/brittle.toml && systemctl daemon-reload")
    guest.exec("systemctl", "restart", MANAGER)
    guest.exec("sh", "-c", "printf 'port = 8151\\nusr = 1\\n' >/etc/mcpd/agents.d/brittle.toml")
    guest.exec("systemctl", "restart", MANAGER)
    status, _, text = page(guest, 8151)
    assert status == 404
    assert "There is no agent brittle, or its file has a mistake." in text
    assert "did you mean &#x27;user&#x27;?" in text
    guest.exec("mcpctl", "agent", "remove", "brittle")
    assert guest.exec("ss", "-Hltn", "sport = :8151") == ""
