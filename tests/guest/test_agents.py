"""Agents as units: each in its own cgroup, with its own tmux, unharmed by another, a restart or a bad file."""

from __future__ import annotations

import json
import time

from .conftest import Packages
from .machine import Guest
from .terminals import AGENTS, FOLDER, MANAGER, complaint, eventually, listed, pane, start, write

OPEN = ("listening", "running")
"""A socket listens: systemd, or the manager that it started."""


def environment(guest: Guest, pid: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in guest.exec("cat", f"/proc/{pid}/environ").split("\0") if word)


def test_nine_agents_are_there_their_terminals_listen_and_nothing_runs(guest: Guest) -> None:
    assert {agent["name"]: agent["port"] for agent in listed(guest)["agents"]} == AGENTS
    for name, port in AGENTS.items():
        assert guest.show(f"mcp-agent@{name}.service", "LoadState") == "loaded"
        assert guest.show(f"mcp-agent@{name}.service", "ActiveState") == "inactive"
        assert guest.show(f"mcp-terminal@{name}.socket", "SubState") == "listening"
        assert guest.show(f"mcp-terminal@{name}.socket", "Listen").split("\n") == [
            f"127.0.0.1:{port} (Stream)",
            f"[::1]:{port} (Stream)",
        ]
    assert guest.status("pgrep", "-u", "mcp-agent") == 1
    assert guest.status("pgrep", "tmux") == 1


def test_an_agent_that_no_file_describes_does_not_start(guest: Guest) -> None:
    assert "Assertion failed" in complaint(guest, "systemctl", "start", "mcp-agent@nonsense.service")
    assert guest.status("mcpctl", "agent", "start", "nonsense") == 64


def test_a_pane_is_in_its_unit_even_where_its_user_has_a_bus(guest: Guest) -> None:
    """tmux asks the user's manager, if it finds it, to put each pane into a scope; limits would then limit nothing."""
    guest.exec("useradd", "--create-home", "alice")
    guest.exec("loginctl", "enable-linger", "alice")
    eventually(lambda: guest.status("test", "-S", "/run/user/1000/bus") == 0)
    guest.exec("mcpctl", "agent", "add", "docs", "--user", "alice", "--workdir", "/home/alice")
    pid = start(guest, "docs")
    for process in (pid, guest.show("mcp-agent@docs.service", "MainPID")):
        cgroups = guest.exec("cat", f"/proc/{process}/cgroup").splitlines()
        assert "0::/mcp.slice/mcp-agents.slice/mcp-agent@docs.service" in cgroups
    assert guest.exec("stat", "-c", "%U", f"/proc/{pid}").strip() == "alice"
    assert guest.exec("readlink", f"/proc/{pid}/cwd").strip() == "/home/alice"


def test_an_agent_has_the_environment_of_the_guide_by_old_and_new_names(guest: Guest) -> None:
    found = environment(guest, start(guest, "testing"))
    assert found["AGENT_NAME"] == found["CLAUDE_AGENT_NAME"] == "testing"
    assert found["MCP_SERVER"] == found["MCP_SERVER_URL"] == "http://localhost:8099"
    assert found["MCP_WEBSOCKET"] == found["MCP_WS_URL"] == "ws://localhost:8100"
    assert found["MCP_ENABLED"] == found["MCP_BRIDGE_ENABLED"] == "true"
    assert found["CLAUDE_PROJECT_DIR"] == "/var/lib/mcp-agents/testing"
    assert found["CLAUDE_HOOKS_DIR"] == "/var/lib/mcp-agents/testing/.claude-hooks"
    assert (found["MCP_DB_PATH"], found["COLORTERM"]) == ("/var/lib/mcpd/mcp.db", "truecolor")
    assert (found["HOME"], found["SHELL"]) == ("/var/lib/mcp-agent", "/bin/bash")
    assert not set(found) & {"DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR", "NOTIFY_SOCKET", "JOURNAL_STREAM"}


def test_what_a_file_says_reaches_the_pane_unchanged(guest: Guest) -> None:
    role = '50% "of" it\'s $HOME \\n `x` %i\nsecond line\t✓'
    command = "A='%i $HOME' exec sleep 1000"
    text = f"port = 9100\nrole = {json.dumps(role)}\ncommand = {json.dumps(command)}\n[env]\nEDITOR = 'a \"b\" % c'"
    write(guest, "odd", text)
    found = environment(guest, start(guest, "odd"))
    assert (found["AGENT_ROLE"], found["MCPD_AGENT_COMMAND"]) == (role, command)
    assert (found["EDITOR"], found["A"]) == ('a "b" % c', "%i $HOME")


def test_without_claude_there_is_a_shell_that_says_what_to_install(guest: Guest) -> None:
    start(guest, "master")
    eventually(lambda: "Claude Code is not installed for this user" in guest.exec("mcpctl", "capture", "master"))
    assert guest.exec("mcpctl", "send", "master", "echo $((6*7))-✓") == "master: sent\n"
    eventually(lambda: "42-✓" in guest.exec("mcpctl", "capture", "master").splitlines())


def test_claude_is_started_where_the_user_s_profile_finds_it(guest: Guest) -> None:
    home = "/var/lib/mcp-agent"
    claude = f"{home}/.local/bin/claude"
    script = (
        f"mkdir -p {home}/.local/bin; printf '#!/bin/sh\\necho I am claude in $PWD; exec cat\\n' >{claude};"
        f"chmod 755 {claude}; echo 'PATH=~/.local/bin:$PATH' >{home}/.profile"
    )
    guest.exec("runuser", "-u", "mcp-agent", "--", "sh", "-c", script)
    start(guest, "deployment")
    eventually(lambda: "I am claude in /var/lib/mcp-agents/deployment" in guest.exec("mcpctl", "capture", "deployment"))
    guest.exec("rm", f"{home}/.profile")


def test_the_daemons_read_the_screen_and_type_and_no_other_user_does(guest: Guest) -> None:
    start(guest, "testing")
    assert guest.exec("runuser", "-u", "mcpd", "--", "mcpctl", "send", "testing", "echo by-mcpd") == "testing: sent\n"
    assert "by-mcpd" in guest.exec("runuser", "-u", "mcpd", "--", "mcpctl", "capture", "testing")
    guest.exec("useradd", "stranger")
    assert guest.status("runuser", "-u", "stranger", "--", "mcpctl", "capture", "testing") == 77
    tmux = ("tmux", "-N", "-S", "/run/mcpd/agents/testing/tmux.sock", "list-sessions")
    assert "ermission denied" in complaint(guest, "runuser", "-u", "stranger", "--", *tmux)


def test_the_daemons_may_start_and_stop_agents_and_nothing_else(guest: Guest) -> None:
    as_mcpd = ("runuser", "-u", "mcpd", "--", "systemctl", "--no-ask-password")
    for verb in ("start", "restart", "stop"):
        guest.exec(*as_mcpd, verb, "mcp-agent@database.service")
    for verb, unit in (
        ("stop", "mcpd-rpc.socket"),
        ("start", "mcp-agent@database.socket"),
        ("start", "mcp-terminal@database.socket"),
        ("freeze", "mcp-agent@testing.service"),
        ("daemon-reload", ""),
    ):
        refused = complaint(guest, *as_mcpd, verb, *([unit] if unit else []))
        assert "authentication required" in refused or "Access denied" in refused
    refused = complaint(guest, *as_mcpd, "set-property", "mcp-agent@testing.service", "MemoryMax=infinity")
    assert "authentication required" in refused or "Access denied" in refused


def test_operators_start_and_stop_agents_and_other_users_do_not(guest: Guest) -> None:
    guest.exec("useradd", "-G", "mcp-admin", "olga")
    guest.exec("runuser", "-u", "olga", "--", "mcpctl", "agent", "start", "database")
    guest.exec("runuser", "-u", "olga", "--", "mcpctl", "agent", "stop", "database")
    assert guest.status("runuser", "-u", "olga", "--", "mcpctl", "agent", "remove", "database") == 77
    assert guest.status("runuser", "-u", "nobody", "--", "mcpctl", "agent", "start", "database") == 77


def test_each_agent_and_all_together_have_limits(guest: Guest) -> None:
    write(
        guest,
        "small",
        'port = 9101\ncommand = "exec sleep 1000"\n[limits]\nmemory_high = "100M"\nmemory_max = "150M"\n'
        'cpu_quota = "50%"\ntasks_max = 40\nnice = 7',
    )
    pid = start(guest, "small")
    shown = {
        name: guest.show("mcp-agent@small.service", name) for name in ("MemoryHigh", "MemoryMax", "TasksMax", "Nice")
    }
    assert shown == {"MemoryHigh": str(100 << 20), "MemoryMax": str(150 << 20), "TasksMax": "40", "Nice": "7"}
    assert guest.show("mcp-agent@small.service", "CPUQuotaPerSecUSec") == "500ms"
    assert guest.show("mcp-agent@small.service", "OOMPolicy") == "continue"
    assert guest.exec("ps", "-o", "ni=", "-p", pid).strip() == "7"
    for unit in ("mcp-agent@testing.service", "mcp-agents.slice"):
        for limit in ("MemoryHigh", "MemoryMax", "TasksMax"):
            assert guest.show(unit, limit) not in ("infinity", ""), f"{unit} has no {limit}"


def test_limits_are_changed_in_the_file_and_at_once(guest: Guest) -> None:
    before = start(guest, "instagram")
    guest.exec("mcpctl", "agent", "limits", "instagram", "--memory-max", "300M", "--tasks-max", "50")
    assert guest.show("mcp-agent@instagram.service", "MemoryMax") == str(300 << 20)
    assert guest.show("mcp-agent@instagram.service", "TasksMax") == "50"
    assert "Instagram" in guest.exec("cat", f"{FOLDER}/instagram.toml")
    assert pane(guest, "instagram") == before
    guest.exec("mcpctl", "agent", "limits", "instagram", "--memory-max", "default")
    assert guest.show("mcp-agent@instagram.service", "MemoryMax") != str(300 << 20)


def test_a_command_that_dies_at_once_makes_no_storm_says_why_and_harms_nobody(guest: Guest) -> None:
    neighbour = start(guest, "testing")
    write(guest, "dying", 'port = 9102\nrestart = "always"\ncommand = "echo no such thing; exit 3"')
    guest.exec("mcpctl", "agent", "start", "dying")
    eventually(lambda: "given up" in guest.journal("-u", "mcp-agent@dying"), timeout_s=60)
    time.sleep(3)
    log = guest.journal("-u", "mcp-agent@dying")
    assert log.count("exited with status 3") == 5
    assert "last words: no such thing" in log
    assert guest.show("mcp-agent@dying.service", "NRestarts") == "0"
    assert json.loads(guest.exec("mcpctl", "--json", "agent", "show", "dying"))["ended"] == "status 3"
    screen = guest.exec("mcpctl", "capture", "dying")
    assert "no such thing" in screen
    assert "claude-dying ended: status 3" in screen
    refused = complaint(guest, "mcpctl", "send", "dying", "hello")
    assert "its command has ended (status 3): mcpctl agent restart dying" in refused
    assert guest.exec("mcpctl", "agent", "start", "dying") == "dying: restarted\n"
    assert pane(guest, "testing") == neighbour
    guest.exec("mcpctl", "agent", "remove", "dying")


def test_a_tmux_that_is_killed_comes_back_and_its_neighbour_does_not_notice(guest: Guest) -> None:
    neighbour, before = start(guest, "testing"), start(guest, "supervisor")
    guest.exec("kill", "-KILL", guest.show("mcp-agent@supervisor.service", "MainPID"))
    eventually(lambda: guest.show("mcp-agent@supervisor.service", "NRestarts") == "1")
    eventually(lambda: guest.show("mcp-agent@supervisor.service", "ActiveState") == "active")
    assert pane(guest, "supervisor") != before
    assert guest.status("test", "-e", f"/proc/{before}") == 1, "the old pane's process is left over"
    assert pane(guest, "testing") == neighbour


def test_stopping_an_agent_leaves_no_process_of_it(guest: Guest) -> None:
    start(guest, "frontend-ui")
    guest.exec("mcpctl", "send", "frontend-ui", "setsid nohup sleep 4711 &")
    eventually(lambda: guest.status("pgrep", "-f", "sleep 4711") == 0)
    guest.exec("mcpctl", "agent", "stop", "frontend-ui")
    assert guest.status("pgrep", "-f", "sleep 4711") == 1
    assert guest.status("test", "-e", "/run/mcpd/agents/frontend-ui") == 1


def test_a_frozen_agent_uses_no_processor_and_refuses_keys(guest: Guest) -> None:
    write(guest, "busy", 'port = 9103\ncommand = "while :; do :; done"')
    start(guest, "busy")
    guest.exec("mcpctl", "agent", "freeze", "busy")
    first = guest.show("mcp-agent@busy.service", "CPUUsageNSec")
    time.sleep(1)
    assert guest.show("mcp-agent@busy.service", "CPUUsageNSec") == first
    assert "is the agent frozen?" in complaint(guest, "mcpctl", "keys", "busy", "C-c")
    guest.exec("mcpctl", "agent", "thaw", "busy")
    eventually(lambda: guest.show("mcp-agent@busy.service", "CPUUsageNSec") != first)
    guest.exec("mcpctl", "agent", "remove", "busy")


def test_bad_files_are_reported_and_cost_their_own_agents_only(guest: Guest) -> None:
    bad = {
        "broken": "port = ",
        "typo": "port = 9110\nusr = 'x'",
        "double": "port = 8090",
        "nouser": "port = 9111\nuser = 'nobody-here'",
        "nodir": "port = 9112\nworkdir = '/srv/nowhere'",
        "a b": "port = 9113",
        "x@y": "port = 9114",
    }
    for name, text in bad.items():
        write(guest, name, text)
    guest.exec("systemctl", "restart", "mcp.target")
    found = listed(guest)
    assert {fault["file"].rpartition("/")[2] for fault in found["faults"]} == {f"{name}.toml" for name in bad}
    assert set(AGENTS) <= {agent["name"] for agent in found["agents"]}
    for name in AGENTS:
        assert guest.show(f"mcp-terminal@{name}.socket", "SubState") in OPEN
    log = guest.journal("-t", "mcpd-agents")
    for name in set(bad) - {"nodir"}:
        assert f"agent left out: {FOLDER}/{name}.toml: " in log
    # Whether a directory is there is known only when file systems are mounted: systemd looks before it starts.
    assert "Assertion failed" in complaint(guest, "systemctl", "start", "mcp-agent@nodir.service")
    assert guest.show("mcp-terminal@nodir.socket", "ConditionResult") == "no"
    assert failed_checks(guest) == []
    assert "did you mean 'user'?" in complaint(guest, "mcpctl", "agent", "show", "typo")
    assert guest.exec("systemctl", "--failed", "--plain", "--no-legend") == ""
    for name in bad:
        guest.exec("mcpctl", "agent", "remove", name)
    assert listed(guest)["faults"] == []


def failed_checks(guest: Guest) -> list[str]:
    """What mcpctl health finds wrong."""
    found = json.loads(guest.exec("sh", "-c", "mcpctl --json health || true"))
    return [check["name"] for check in found["checks"] if check["outcome"] == "failed"]


def test_agents_come_and_go(guest: Guest) -> None:
    guest.exec("mcpctl", "agent", "add", "extra", "--title", "Extra", "--command", "exec cat")
    port = next(agent["port"] for agent in listed(guest)["agents"] if agent["name"] == "extra")
    assert guest.show("mcp-terminal@extra.socket", "SubState") in OPEN
    assert f":{port} " in guest.exec("ss", "-Hltn", f"sport = :{port}")
    start(guest, "extra")
    guest.exec("mcpctl", "agent", "remove", "extra")
    assert guest.show("mcp-agent@extra.service", "ActiveState") == "inactive"
    assert guest.exec("ss", "-Hltn", f"sport = :{port}") == ""

    guest.exec("mcpctl", "agent", "remove", "queue-manager")
    assert listed(guest)["masked"] == ["queue-manager"]
    assert guest.exec("ss", "-Hltn", "sport = :8098") == ""
    assert failed_checks(guest) == [], "neither is missed"
    guest.exec("rm", f"{FOLDER}/queue-manager.toml")
    guest.exec("systemctl", "daemon-reload")
    guest.exec("systemctl", "restart", MANAGER)
    assert guest.show("mcp-terminal@queue-manager.socket", "SubState") in OPEN


def test_no_restart_or_upgrade_of_mcpd_touches_an_agent(guest: Guest, packages: Packages) -> None:
    guest.request("/api/mcp/health")
    before = {name: start(guest, name) for name in AGENTS}
    for _ in range(5):
        guest.exec("systemctl", "restart", "mcp.target")
    guest.exec("systemctl", "restart", "mcpd-migrate.service")
    guest.exec("systemctl", "kill", "-s", "KILL", "mcpd-rpc.service")
    guest.exec("systemctl", "daemon-reexec")
    guest.apt_install(packages.newer)
    guest.apt_install(packages.current, "--allow-downgrades")
    assert {name: pane(guest, name) for name in AGENTS} == before


def test_stopping_the_target_stops_the_agents_and_their_terminals(guest: Guest) -> None:
    start(guest, "testing")
    guest.exec("systemctl", "stop", "mcp.target")
    eventually(lambda: guest.show("mcp-agent@testing.service", "ActiveState") == "inactive")
    assert guest.exec("ss", "-Hltn", "sport >= :8090 and sport <= :8098") == ""
    assert guest.status("pgrep", "tmux") == 1
    guest.exec("systemctl", "start", "mcp.target")
    assert guest.show("mcp-terminal@testing.socket", "SubState") in OPEN
