"""The guest as the tests see it: commands inside, requests from outside, and a load client beside them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .load import Result

ROOT = Path(__file__).parents[2]
GUEST = ROOT / "packaging" / "guest"
LOAD = Path(__file__).with_name("load.py")
NAME = os.environ.get("MCPD_GUEST", "pytest")
"""The guest's name: another one for each checkout whose tests run at the same time."""
DATABASE = "/var/lib/mcpd/mcp.db"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: its status, the body as JSON, and the whole time it took."""

    status: int
    body: Any
    seconds: float


def script(*arguments: str | Path, timeout_s: float = 120) -> str:
    """Run one of packaging/guest's commands and return its output; its messages are in the failure."""
    command = [str(GUEST), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Background:
    """A load client at work; after ``with guest.load() as load`` its ``result`` is what it counted."""

    def __init__(self) -> None:
        self.result = Result()


@dataclass(frozen=True)
class Guest:
    name: str

    def exec(self, *command: str | Path, timeout_s: float = 120) -> str:
        """Run a command in the guest as root and return its output; a failing one fails the test."""
        return script("exec", self.name, *command, timeout_s=timeout_s)

    def status(self, *command: str) -> int:
        """Run a command in the guest and return its exit status."""
        arguments = [str(GUEST), "exec", self.name, *command]
        return subprocess.run(arguments, capture_output=True, timeout=120, check=False).returncode

    def push(self, *files: Path, to: str) -> None:
        script("push", self.name, *files, to)

    def journal(self, *arguments: str) -> str:
        return script("journal", self.name, *arguments)

    def entries(self, *arguments: str) -> list[dict[str, Any]]:
        """The journal's entries with all their fields."""
        return [json.loads(line) for line in self.journal("-o", "json", *arguments).splitlines()]

    def show(self, unit: str, what: str) -> str:
        """A property of a unit (systemctl show)."""
        return self.exec("systemctl", "show", "--value", "-p", what, unit).strip()

    def apt_install(self, deb: Path, *options: str) -> None:
        self.push(deb, to="/root/")
        self.exec("apt-get", "-qy", "install", "--no-install-recommends", *options, f"/root/{deb.name}")

    def request(self, path: str, data: object = None, *, user: str = "root", timeout_s: float = 30) -> Answer:
        """Ask mcpd by curl inside the guest as *user*: GET, or POST with *data* as JSON."""
        curl = ["curl", "-sS", "-m", str(timeout_s), "-w", "\n%{http_code} %{time_total}"]
        if data is not None:
            curl += ["-H", "Content-Type: application/json", "-d", json.dumps(data)]
        output = self.exec("runuser", "-u", user, "--", *curl, f"http://127.0.0.1:8099{path}", timeout_s=timeout_s + 5)
        body, _, trailer = output.rpartition("\n")
        status, seconds = trailer.split()
        return Answer(int(status), json.loads(body), float(seconds))

    def call(self, tool: str, *, user: str = "root", **arguments: object) -> Answer:
        """Call a tool in the /jsonrpc dialect."""
        params = {"name": tool, "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        return self.request("/jsonrpc", message, user=user)

    def activities(self) -> list[str]:
        """Every activity in the database; read as mcpd, so that no file of root's appears beside it."""
        query = "select activity from activities"
        return self.exec("runuser", "-u", "mcpd", "--", "sqlite3", DATABASE, query).splitlines()

    @contextmanager
    def load(self, name: str, *options: str) -> Iterator[Background]:
        """Write to mcpd from a process of the host in the guest's network until the block ends."""
        command = [str(GUEST), "net", self.name, sys.executable, str(LOAD), "--name", name, *options]
        background = Background()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            try:
                yield background
            finally:
                process.terminate()
                output, _ = process.communicate(timeout=60)
        background.result = Result(**json.loads(output))
