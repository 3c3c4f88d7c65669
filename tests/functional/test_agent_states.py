"""What agents are at, told on the socket that does nothing to them, and kept in backups: real manager, real tmux."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcpd.agents import files
from mcpd.backup import agents, backups
from mcpd.backup.agents import State, States
from mcpd.terminals.orders import MAX_HISTORY_LINES, MAX_LINE_BYTES
from tests.functional.terminals import Terminals, wait_until
from tests.functional.test_mcpctl import answer, mcpctl

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(
        not (shutil.which("tmux") and shutil.which("dbus-daemon")) and not os.environ.get("CI"),
        reason="needs tmux and dbus-daemon",
    ),
]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Terminals]:
    """A manager with the agents alpha, which runs and is watched, and beta, which does not."""
    terminals = Terminals(tmp_path, ("alpha", "beta"))
    terminals.migrate()
    terminals.start()
    assert exchange(terminals.control, {"do": "start", "agent": "alpha"})["state"] == "running"
    watch = terminals.watch("alpha")
    yield terminals
    watch.kill()
    watch.wait()
    terminals.close()


def exchange(path: Path, order: dict[str, Any]) -> Any:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(30)
        connection.connect(str(path))
        connection.sendall(json.dumps(order).encode() + b"\n")
        with connection.makefile() as answers:
            return json.loads(answers.readline())


def collect(manager: Terminals) -> States:
    return agents.collect(files.load([manager.agents]).agents.values(), manager.states)


def type_in(manager: Terminals, text: str) -> None:
    manager.tmux("alpha", "send-keys", "-l", f"{text}\n")


def by_name(states: States) -> dict[str, State]:
    return {agent.name: agent for agent in states.agents}


def test_a_backup_has_each_agents_screen_history_place_program_size_and_unit(
    manager: Terminals, tmp_path: Path
) -> None:
    place = tmp_path / "a place ü"
    place.mkdir()
    type_in(manager, f"cd '{place}'; seq 100 160; echo 'ü✓'; exec sleep 1000")
    wait_until(lambda: by_name(collect(manager))["alpha"].running == "sleep", "sleep runs")
    states = collect(manager)
    found = by_name(states)
    alpha, beta = found["alpha"], found["beta"]
    assert (alpha.cwd, alpha.width, alpha.height) == (str(place), 80, 24)
    assert (alpha.state, alpha.unit, alpha.result, alpha.unseen, alpha.user) == (
        alpha.state, "active", "success", "", "root",
    )  # fmt: skip
    assert alpha.state in ("running", "working", "idle")
    assert (beta.state, beta.unit, beta.unseen) == (
        "absent",
        "inactive",
        "claude-beta is not running; start the agent first",
    )
    lines = states.texts["alpha"].splitlines()
    assert (len(lines), lines[-1]) == (alpha.lines, "ü✓")
    assert [line for line in lines if line.isdigit()] == [str(number) for number in range(100, 161)]

    made = backups.make(manager.database, {}, tmp_path / "backups", states=states)
    assert [file.name for file in made.manifest.files] == [
        "states/alpha.json", "states/alpha.txt", "states/beta.json", "mcp.db",
    ]  # fmt: skip
    with tarfile.open(made.path) as tar:  # readable by whoever has no mcpd any more
        kept = tar.extractfile("states/alpha.txt")
        assert kept is not None
        assert kept.read().decode() == states.texts["alpha"]
    assert backups.verify(made.path).manifest.agents == [alpha, beta]

    shown = answer(mcpctl("--json", "backup", "show", str(made.path)))
    assert [agent["name"] for agent in shown["agents"]] == ["alpha", "beta"]
    assert shown["agents"][0]["running"] == "sleep"
    screen = mcpctl("backup", "show", str(made.path), "Alpha Agent").stdout.splitlines()
    assert (len(screen) <= 24, screen[-1], "100" in screen) == (True, "ü✓", False)
    above = mcpctl("backup", "show", str(made.path), "alpha", "--history", "60").stdout.splitlines()
    assert {"100", "160"} <= set(above)
    assert answer(mcpctl("--json", "backup", "show", str(made.path), "beta"))["text"] == []
    for words, status, said in [
        (("beta",), 65, "nothing was seen of beta: claude-beta is not running"),
        (("gamma",), 64, "no agent 'gamma'"),
        (("alpha", "--history", "-1"), 64, "--history -1: expected a number of lines"),
    ]:
        done = mcpctl("backup", "show", str(made.path), *words)
        assert (done.returncode, said in done.stderr) == (status, True), done.stderr
    listed = mcpctl("backup", "list", "--directory", str(made.path.parent)).stdout
    assert "1 of 2" in listed


def test_the_history_is_bounded_in_lines_and_bytes(manager: Terminals) -> None:
    type_in(manager, "tput clear; seq 5000; exec sleep 1000")
    wait_until(lambda: by_name(collect(manager))["alpha"].running == "sleep", "sleep runs")
    states = collect(manager)
    lines = states.texts["alpha"].splitlines()
    assert MAX_HISTORY_LINES < len(lines) <= MAX_HISTORY_LINES + 24
    assert (lines[-1], by_name(states)["alpha"].above) == ("5000", MAX_HISTORY_LINES)


def test_wide_history_is_cut_from_its_top(manager: Terminals) -> None:
    manager.tmux("alpha", "set-option", "-g", "window-size", "manual")
    manager.tmux("alpha", "resize-window", "-t", "claude-alpha", "-x", "900", "-y", "30")
    type_in(manager, "for i in $(seq 1000); do printf '%0800d\\n' $i; done; exec sleep 1000")
    wait_until(lambda: by_name(collect(manager))["alpha"].running == "sleep", "sleep runs")
    states = collect(manager)
    text, alpha = states.texts["alpha"], by_name(states)["alpha"]
    assert len(text) < MAX_LINE_BYTES / 2
    assert text.endswith("1000\n")
    assert 0 < alpha.above < alpha.lines < 1000


def test_only_what_harms_nobody_is_obeyed_there(manager: Terminals) -> None:
    before = list(manager.systemd.calls)
    orders = [
        {"do": "stop", "agent": "alpha"},
        {"do": "restart", "agent": "alpha"},
        {"do": "start", "agent": "beta"},
        {"do": "open", "agent": "alpha"},
        {"do": "send", "agent": "alpha", "text": "rm -rf /"},
    ]
    for order in orders:
        refused = exchange(manager.states, order)
        assert (refused["type"], refused["message"]) == ("refused", f"this socket takes no order to {order['do']}")
    assert manager.systemd.calls == before
    assert (
        "expected 0 to" in exchange(manager.states, {"do": "inspect", "agent": "alpha", "history_lines": -1})["message"]
    )
    assert exchange(manager.control, {"do": "inspect", "agent": "alpha"})["pane"]["height"] == 24


def test_without_a_manager_the_backup_says_so_and_is_made(manager: Terminals, tmp_path: Path) -> None:
    manager.stop()
    manager.states.unlink()
    states = collect(manager)
    assert states.texts == {}
    assert all("mcpd-ttyd-manager cannot be reached" in agent.unseen for agent in states.agents)
    made = backups.make(manager.database, {}, tmp_path / "backups", states=states)
    assert [agent.name for agent in backups.verify(made.path).manifest.agents] == ["alpha", "beta"]
