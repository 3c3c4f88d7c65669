"""Agents in states that are no trouble of their neighbours: frozen, ended, unable to start; and odd names."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from .machine import Guest
from .terminals import AGENTS, MANAGER, complaint, eventually, listed, page, pane, start, write

RECORDINGS = "/var/lib/mcpd/recordings"


def as_operator(guest: Guest, *words: str) -> str:
    """What mcpctl says to a member of mcp-admin who is not root."""
    if guest.status("id", "ed"):
        guest.exec("useradd", "-G", "mcp-admin", "ed")
    return guest.exec("runuser", "-u", "ed", "--", "mcpctl", *words)


def does(guest: Guest, name: str) -> str:
    return str(next(agent["does"] for agent in listed(guest)["agents"] if agent["name"] == name))


def no_unit_failed(guest: Guest) -> None:
    assert guest.exec("systemctl", "--failed", "--plain", "--no-legend") == ""


def test_an_agent_may_be_called_as_the_managers_sockets_once_were(guest: Guest) -> None:
    for name in ("control", "watch"):
        guest.exec("mcpctl", "agent", "add", name)
    ports = {agent["name"]: agent["port"] for agent in listed(guest)["agents"]}
    assert ports.keys() == {*AGENTS, "control", "watch"}
    for name in ("control", "watch", "testing"):
        assert page(guest, ports[name])[0] == 200, name
    for name in ("control", "watch"):
        assert "$" in guest.exec("mcpctl", "call", "read_agent_screen", f"agent={name}")
        guest.exec("mcpctl", "agent", "remove", name)
    no_unit_failed(guest)


@pytest.fixture
def frozen(guest: Guest) -> Iterator[Guest]:
    """A machine whose agent database is frozen."""
    start(guest, "database")
    guest.exec("mcpctl", "agent", "freeze", "database")
    eventually(lambda: does(guest, "database") == "frozen")
    yield guest
    guest.exec("mcpctl", "agent", "stop", "database")


def shown(guest: Guest) -> str:
    states = json.loads(guest.exec("mcpctl", "--json", "top"))
    return str(states["database"]["status"])


def test_a_frozen_agent_is_seen_wherever_one_looks(frozen: Guest) -> None:
    eventually(lambda: shown(frozen) == "frozen")
    for tool in ("start_agent", "read_agent_screen"):
        said = complaint(frozen, "mcpctl", "call", tool, "agent=database")
        assert "The agent database is frozen" in said
        assert "mcpctl agent thaw database" in said
    assert "is frozen" in complaint(frozen, "mcpctl", "call", "send_to_agent", "agent=database", "text=hi")
    assert "database is frozen: mcpctl agent thaw" in complaint(frozen, "mcpctl", "agent", "start", "database")
    status, _, text = page(frozen, AGENTS["database"])
    assert status == 503
    assert "The agent database is frozen" in text
    frozen.exec("mcpctl", "agent", "thaw", "database")
    eventually(lambda: shown(frozen) == "idle")
    assert page(frozen, AGENTS["database"])[0] == 200


def test_a_frozen_agent_is_thawed_to_be_restarted_or_stopped(frozen: Guest) -> None:
    before = frozen.show("mcp-agent@database.service", "MainPID")
    assert frozen.exec("mcpctl", "agent", "restart", "database") == "database: restarted\n"
    assert frozen.show("mcp-agent@database.service", "MainPID") != before
    frozen.exec("mcpctl", "agent", "freeze", "database")
    assert frozen.request("/api/mcp/stop-agent", {"agent_name": "Database"}).status == 200
    assert frozen.show("mcp-agent@database.service", "ActiveState") == "inactive"


def test_operators_freeze_thaw_and_stop_and_nobody_else(frozen: Guest) -> None:
    said = complaint(frozen, "runuser", "-u", "nobody", "--", "mcpctl", "agent", "thaw", "database")
    assert "ask root, or somebody in group mcp-admin" in said
    assert as_operator(frozen, "agent", "thaw", "database") == "database: thawed\n"
    assert as_operator(frozen, "agent", "freeze", "database") == "database: frozen\n"
    assert as_operator(frozen, "agent", "stop", "database") == "database: stopped\n"


def test_a_frozen_agent_goes_when_it_is_removed(guest: Guest) -> None:
    write(guest, "brief", "port = 9120")
    start(guest, "brief")
    guest.exec("mcpctl", "agent", "freeze", "brief")
    guest.exec("mcpctl", "agent", "remove", "brief")
    assert guest.show("mcp-agent@brief.service", "ActiveState") == "inactive"


def test_the_stop_of_the_target_thaws_and_stops_and_its_restart_does_not(frozen: Guest) -> None:
    pid = frozen.show("mcp-agent@database.service", "MainPID")
    frozen.exec("systemctl", "restart", "mcp.target")
    assert frozen.show("mcp-agent@database.service", "MainPID") == pid
    assert frozen.show("mcp-agent@database.service", "FreezerState") == "frozen"
    frozen.exec("systemctl", "stop", "mcp.target")
    eventually(lambda: frozen.show("mcp-agent@database.service", "ActiveState") == "inactive")
    assert frozen.status("pgrep", "tmux") == 1
    no_unit_failed(frozen)
    frozen.exec("systemctl", "start", "mcp.target")


def test_an_agent_whose_command_ended_is_listed_with_its_status(guest: Guest) -> None:
    guest.exec("mcpctl", "agent", "add", "short", "--restart", "no", "--command", "exit 3")
    guest.exec("mcpctl", "agent", "start", "short")
    eventually(lambda: does(guest, "short") == "exited (status 3)")
    eventually(lambda: "exited (status 3)" in as_operator(guest, "agent", "list"))
    guest.exec("mcpctl", "agent", "remove", "short")


def test_an_agent_that_had_to_be_killed_is_stopped_and_not_failed(guest: Guest) -> None:
    write(guest, "mule", """port = 9122\ncommand = "trap '' HUP TERM INT; while :; do sleep 1; done\"""")
    start(guest, "mule")
    eventually(lambda: "trap" in guest.exec("ps", "-o", "args=", "-p", pane(guest, "mule")))
    assert guest.exec("mcpctl", "agent", "stop", "mule") == "mule: stopped, but had to be killed\n"
    no_unit_failed(guest)
    guest.exec("mcpctl", "agent", "remove", "mule")


def test_a_page_says_which_directory_is_in_the_way_and_removal_leaves_nothing_failed(guest: Guest) -> None:
    guest.exec("mkdir", "/srv/wd")
    guest.exec("mcpctl", "agent", "add", "gone", "--workdir", "/srv/wd", "--port", "9123")
    guest.exec("rmdir", "/srv/wd")
    _, _, text = page(guest, 9123)
    assert "its directory /srv/wd or its file is not there" in text
    assert "ttyd" not in text
    guest.exec("mcpctl", "agent", "add", "closed", "--workdir", "/root", "--port", "9124")
    assert "user mcp-agent cannot enter /root" in page(guest, 9124)[2]
    assert "user mcp-agent cannot enter /root" in complaint(guest, "mcpctl", "agent", "start", "closed")
    for name in ("gone", "closed"):
        guest.exec("mcpctl", "agent", "remove", name)
    no_unit_failed(guest)


def test_a_port_that_is_held_is_refused_and_no_file_is_left(guest: Guest) -> None:
    guest.exec("systemd-run", "--quiet", "--unit=holder", "python3", "-m", "http.server", "--bind", "127.0.0.1", "9125")
    eventually(lambda: guest.exec("ss", "-Hltn", "sport = :9125"))
    said = complaint(guest, "mcpctl", "agent", "add", "late", "--port", "9125")
    assert "port 9125 is held by python3" in said
    assert {agent["name"] for agent in listed(guest)["agents"]} == set(AGENTS)
    write(guest, "late", "port = 9125")
    guest.exec("sh", "-c", f"systemctl restart {MANAGER}; systemctl start mcp-terminal@late.socket || true")
    assert guest.show("mcp-terminal@late.socket", "ActiveState") == "failed"
    guest.exec("mcpctl", "agent", "remove", "late")
    no_unit_failed(guest)
    assert "late" not in guest.exec("sh", "-c", "mcpctl health || true")
    guest.exec("systemctl", "stop", "holder.service")


def test_a_recording_begins_with_the_screen_and_does_not_outlive_its_time(guest: Guest) -> None:
    guest.exec("mcpctl", "agent", "add", "rec", "--record", "yes", "--command", "echo before; exec cat")
    start(guest, "rec")
    eventually(lambda: first_shown(guest))
    assert "before" in first_shown(guest)[0]
    guest.exec("systemctl", "restart", "mcpd-ttyd-manager.service")
    eventually(lambda: len(first_shown(guest)) == 2)
    assert "before" in first_shown(guest)[1]
    guest.exec("mcpctl", "agent", "remove", "rec")
    guest.exec("sh", "-c", f"touch -d '40 days ago' {RECORDINGS}/*")
    guest.exec("systemctl", "start", "mcpd-maintenance.service")
    assert guest.exec("ls", RECORDINGS) == ""


def first_shown(guest: Guest) -> list[str]:
    """What each recording shows first, as far as that is written."""
    found = guest.exec("sh", "-c", f"for file in {RECORDINGS}/rec.*.cast; do sed -n 2p $file; done 2>/dev/null")
    return [json.loads(line)[2] for line in found.splitlines()]


def test_an_agent_is_changed_by_mcpctl(guest: Guest) -> None:
    guest.exec("mcpctl", "agent", "add", "docs", "--env", "A=a", "--env", "B=b", "--port", "9126")
    guest.exec("mcpctl", "agent", "set", "docs", "--env", "A", "--env", "C=c d", "--role", "Writes.", "--nice", "5")
    found = json.loads(guest.exec("mcpctl", "--json", "agent", "show", "docs"))
    assert (found["env"], found["role"], found["limits"]["nice"]) == ({"B": "b", "C": "c d"}, "Writes.", 5)
    environment = guest.exec("cat", f"/proc/{start(guest, 'docs')}/environ").split("\0")
    assert "C=c d" in environment
    guest.exec("mcpctl", "agent", "remove", "docs")
