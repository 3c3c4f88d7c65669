"""Agents and their terminals in a guest: asked from inside it, and by clients of the host in its network."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from .machine import DATABASE, GUEST, ROOT, Guest

AGENTS = {
    "backend-api": 8090,
    "database": 8091,
    "frontend-ui": 8092,
    "testing": 8093,
    "instagram": 8094,
    "supervisor": 8095,
    "master": 8096,
    "deployment": 8097,
    "queue-manager": 8098,
}
MANAGER = "mcpd-ttyd-manager.service"
FOLDER = "/etc/mcpd/agents.d"


def page(guest: Guest, port: int, *options: str) -> tuple[int, float, str]:
    """The status, the seconds to the first byte and the text of a terminal's page."""
    written = "\n%{http_code} %{time_starttransfer}"
    output = guest.exec("curl", "-sS", "-m", "30", "-w", written, *options, f"http://localhost:{port}/")
    text, _, trailer = output.rpartition("\n")
    status, seconds = trailer.split()
    return int(status), float(seconds), text


def client(guest: Guest, code: str) -> str:
    """Run Python of the host, with the terminal client, in the guest's network."""
    command = [str(GUEST), "net", guest.name, sys.executable, "-c", f"from tests.tty import *\n{code}"]
    done: subprocess.CompletedProcess[str]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


_ECHOES = """
ttys = [Tty(port, path=path) for port, path in {ways}]
for tty in ttys: tty.read_until("$")
found = [[] for tty in ttys]
for _ in range(200):
    for tty, samples in zip(ttys, found):
        tty.text = ""
        started_s = time.perf_counter()
        tty.type("x")
        tty.read_until("x")
        samples.append((time.perf_counter() - started_s) * 1000)
for tty in ttys:
    tty.type(chr(21))
    tty.close()
print(json.dumps([[sorted(samples)[100], sorted(samples)[189]] for samples in found]))
"""


def echoes_ms(guest: Guest, *ways: tuple[int, str | None]) -> list[tuple[float, float]]:
    """How long a key takes to a shell and back, p50 and p95 in ms, by each of *ways*: a port, a socket instead."""
    return [(p50, p95) for p50, p95 in json.loads(client(guest, _ECHOES.format(ways=ways)))]


@contextmanager
def counter(guest: Guest, port: int) -> Iterator[dict[str, Any]]:
    """Keep a terminal open in which a counter runs; afterwards the dictionary has what the client saw."""
    command = [str(GUEST), "net", guest.name, sys.executable, "-m", "tests.tty", str(port)]
    seen: dict[str, Any] = {}
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield seen
        finally:
            time.sleep(1.0)  # the client is to see the counter go on after what was done to it
            output, _ = process.communicate("stop\n", timeout=60)
    seen |= json.loads(output)


def tmux(guest: Guest, name: str, *words: str) -> str:
    """Give the tmux server of an agent a command."""
    return guest.exec("tmux", "-N", "-S", f"/run/mcpd/agents/{name}/tmux.sock", *words)


def pane(guest: Guest, name: str) -> str:
    """The process in the agent's pane."""
    return tmux(guest, name, "display-message", "-p", "-t", f"=claude-{name}:", "#{pane_pid}").strip()


def history(guest: Guest, name: str) -> list[int]:
    """The numbers that the counter printed, as tmux has them."""
    text = tmux(guest, name, "capture-pane", "-p", "-S", "-", "-t", f"=claude-{name}:")
    return [int(line[1:]) for line in text.split() if line[:1] == "n" and line[1:].isdigit()]


def query(guest: Guest, sql: str) -> list[str]:
    """The rows that *sql* finds in mcpd's database, as sqlite3 prints them."""
    return guest.exec("runuser", "-u", "mcpd", "--", "sqlite3", DATABASE, sql).splitlines()


def eventually(condition: Callable[[], Any], timeout_s: float = 30) -> Any:
    """Return what *condition* returns once it is true; fail if that does not happen in time."""
    deadline_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline_s, "nothing came of it"
        time.sleep(0.1)
    return value


def complaint(guest: Guest, *command: str) -> str:
    """What a command that must fail says."""
    with pytest.raises(AssertionError) as failed:
        guest.exec(*command)
    return str(failed.value)


def write(guest: Guest, name: str, text: str) -> None:
    """Lay down an agent's file and have systemd read it."""
    guest.exec("sh", "-c", f"cat >'{FOLDER}/{name}.toml' <<'EOF'\n{text}\nEOF\nsystemctl daemon-reload")


def start(guest: Guest, name: str) -> str:
    """Start an agent and return the process in its pane."""
    guest.exec("mcpctl", "agent", "start", name)
    return pane(guest, name)


def listed(guest: Guest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(guest.exec("mcpctl", "--json", "agent", "list"))
    return found
