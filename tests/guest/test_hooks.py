"""mcpd-hook as the package installs it: its time, the journal where the daemon is away, a user's Claude Code."""

from __future__ import annotations

import json
import statistics
import time

from .machine import Guest

PAYLOAD = json.dumps({"session_id": "s", "hook_event_name": "PreToolUse", "tool_name": "Bash", "tool_input": {}})
TIMED = """
import resource, subprocess, sys, time
for _ in range(40):
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["mcpd-hook", "PreToolUse"], input=sys.argv[1].encode(), stdout=subprocess.DEVNULL, check=True)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    print(took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
"""


def hook(guest: Guest, event: str, payload: str = PAYLOAD) -> object:
    """Run the hook in the guest, as the agent database; return what it printed."""
    said = guest.exec("sh", "-c", f'printf %s "$1" | CLAUDE_AGENT_NAME=database mcpd-hook {event}', "sh", payload)
    return json.loads(said)


def test_a_warm_hook_takes_less_than_fifty_milliseconds(guest: Guest) -> None:
    hook(guest, "PreToolUse")
    lines = [tuple(map(float, line.split())) for line in guest.exec("python3", "-c", TIMED, PAYLOAD).splitlines()]
    took_ms, used_ms = ([value * 1e3 for value in column] for column in zip(*lines, strict=True))
    print(f"mcpd-hook, warm: {statistics.median(took_ms):.1f} ms, of these {statistics.median(used_ms):.1f} ms at work")
    assert min(used_ms) < 50  # processor time: others may be at work on this machine


def test_a_daemon_that_is_away_is_in_the_journal_and_no_matter_for_the_agent(guest: Guest) -> None:
    guest.exec("systemctl", "stop", "mcp.target")
    try:
        assert hook(guest, "Stop") == {"continue": True}
        [entry] = guest.entries("-t", "mcpd-hook")
        assert entry["MESSAGE"].startswith("Stop: not told: mcpd-rpc cannot be reached")
        assert entry["PRIORITY"] == "4"
    finally:
        guest.exec("systemctl", "start", "mcp.target")
    assert hook(guest, "Stop") == {"continue": True}
    assert len(guest.entries("-t", "mcpd-hook")) == 1


def test_a_frozen_daemon_is_waited_for_a_bounded_time(guest: Guest) -> None:
    guest.exec("systemctl", "kill", "-s", "STOP", "mcpd-rpc.service")
    try:
        began = time.monotonic()
        assert hook(guest, "Stop") == {"continue": True}
        assert time.monotonic() - began < 6
    finally:
        guest.exec("systemctl", "kill", "-s", "CONT", "mcpd-rpc.service")


def test_claude_code_of_a_user_is_set_up_by_root(guest: Guest) -> None:
    guest.exec("useradd", "--create-home", "carol")
    guest.exec("mcpctl", "hooks", "install", "--user", "carol")
    settings = json.loads(guest.exec("cat", "/home/carol/.claude/settings.json"))
    assert settings["hooks"]["Stop"][0]["hooks"][0]["command"] == "mcpd-hook Stop"
    owners = guest.exec("stat", "-c", "%U", "/home/carol/.claude/settings.json", "/home/carol/.claude.json").split()
    assert owners == ["carol", "carol"]
    assert "installed" in guest.exec("runuser", "-u", "carol", "--", "mcpctl", "hooks", "status")
    guest.exec("mcpctl", "hooks", "uninstall", "--user", "carol")
    assert guest.exec("find", "/home/carol", "-name", "*mcp*") == ""
