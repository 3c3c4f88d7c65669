"""Round after round every daemon of mcpd is restarted, killed and replaced by apt, and no agent notices.

MCPD_ROUNDS says how many rounds (3); a round takes about ten seconds.
"""

from __future__ import annotations

import os
import time

from .conftest import Packages
from .machine import Guest
from .terminals import AGENTS, MANAGER, counter, eventually, history, page, pane, query

ROUNDS = int(os.environ.get("MCPD_ROUNDS", "3"))
WATCHED = "testing"
COUNT = "i=0; while :; do i=$((i+1)); echo n$i; sleep 0.2; done"


def daemons(guest: Guest) -> list[str]:
    """The services of mcpd that run; agents' are called otherwise."""
    listed = ("systemctl", "list-units", "--plain", "--no-legend", "--state=running", "mcpd-*.service")
    return [line.split()[0] for line in guest.exec(*listed).splitlines()]


def killed(guest: Guest, daemon: str) -> None:
    """Kill a daemon, and wait for the next one."""
    before = guest.show(daemon, "MainPID")
    guest.exec("systemctl", "kill", "-s", "KILL", daemon)
    eventually(lambda: guest.show(daemon, "MainPID") not in (before, "0") and is_active(guest, daemon))


def is_active(guest: Guest, unit: str) -> bool:
    return guest.show(unit, "ActiveState") == "active"


def viewers(guest: Guest) -> list[str]:
    return query(guest, "SELECT agent FROM terminal_viewers")


def a_round(guest: Guest, packages: Packages, number: int) -> None:
    """Disturb every daemon in every way; the terminal is open again before the next one."""
    guest.request("/api/mcp/health")
    running = daemons(guest)
    assert MANAGER in running
    for daemon in running:
        guest.exec("systemctl", "restart", daemon)
    for daemon in running:
        killed(guest, daemon)
    eventually(lambda: viewers(guest) == [WATCHED])
    guest.exec("systemctl", "restart", "mcpd-migrate.service")
    guest.apt_install((packages.newer, packages.current)[number % 2], "--allow-downgrades")
    assert sorted(daemons(guest)) == sorted(running)


def test_agents_and_an_open_terminal_outlast_every_round(guest: Guest, packages: Packages) -> None:
    for port in AGENTS.values():
        assert page(guest, port)[0] == 200
    panes = {name: pane(guest, name) for name in AGENTS}
    for name in set(AGENTS) - {WATCHED}:
        guest.exec("mcpctl", "send", name, COUNT)
    counted: dict[str, list[int]] = {}
    started_s = time.monotonic()
    with counter(guest, AGENTS[WATCHED]) as seen:
        for number in range(ROUNDS):
            a_round(guest, packages, number)
        counted = {name: history(guest, name) for name in AGENTS}
    took_s = time.monotonic() - started_s
    last = {name: numbers[-1] for name, numbers in counted.items()}
    print(f"{ROUNDS} rounds in {took_s:.0f} s, {seen['reconnects']} reconnects, counters at {last}")
    assert {name: pane(guest, name) for name in AGENTS} == panes
    for name, numbers in counted.items():
        assert numbers == list(range(1, numbers[-1] + 1)), f"the counter of {name} has gaps"
    assert min(last.values()) > took_s, "a counter stood still"
    # A kill of the manager is all that cuts a terminal; the page is back on the screen as it is by then.
    assert seen["reconnects"] == ROUNDS
    assert seen["last"] >= last[WATCHED]
    assert guest.exec("systemctl", "--failed", "--plain", "--no-legend") == ""
