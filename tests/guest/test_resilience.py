"""The daemon is frozen, killed and restarted while a second process writes to it."""

from __future__ import annotations

import time

from .machine import Background, Guest

KILLS = 4
RESTARTS = 20


def no_acknowledged_write_is_lost(guest: Guest, load: Background) -> None:
    acknowledged = set(load.result.acknowledged)
    print(f"{load.result.sent} sent, {load.result.answered} answered, {load.result.connections} connections,")
    print(f"{load.result.refused} refused, {load.result.lost_fresh}+{load.result.lost_reused} lost on fresh+reused,")
    print(f"{load.result.wrong} wrong, slowest {load.result.slowest_s:.2f} s", *load.result.errors, sep="\n")
    assert len(acknowledged) == load.result.answered > 100
    assert acknowledged - set(guest.activities()) == set()


def test_a_frozen_daemon_is_killed_by_the_watchdog_and_the_next_request_is_answered(guest: Guest) -> None:
    assert guest.request("/api/mcp/health").status == 200
    pid = guest.show("mcpd-rpc", "MainPID")
    guest.exec("kill", "-STOP", pid)
    answer = guest.request("/api/mcp/health", timeout_s=25)
    print(f"answered {answer.seconds:.1f} s after the freeze")
    assert answer.status == 200
    assert guest.show("mcpd-rpc", "MainPID") != pid
    assert "Watchdog timeout (limit 10s)!" in guest.journal("-u", "mcpd-rpc")


def test_kill_9_under_load_loses_no_acknowledged_write(guest: Guest) -> None:
    with guest.load("killed", "--keep-alive") as load:
        for _ in range(KILLS):
            assert guest.request("/api/mcp/health").status == 200
            time.sleep(0.5)
            guest.exec("kill", "-KILL", guest.show("mcpd-rpc", "MainPID"))
        assert guest.request("/api/mcp/health").status == 200
    no_acknowledged_write_is_lost(guest, load)
    assert load.result.lost_fresh + load.result.lost_reused > 0, "the kills hit nothing"
    assert load.result.refused == 0
    assert load.result.wrong == 0


def test_restarts_under_load_refuse_no_connection_and_answer_every_request_sent_on_a_fresh_one(guest: Guest) -> None:
    pids = set()
    with guest.load("fresh") as fresh, guest.load("kept", "--keep-alive") as kept:
        for _ in range(RESTARTS):
            guest.exec("systemctl", "restart", "mcpd-rpc.service")
            pids.add(guest.show("mcpd-rpc", "MainPID"))
            time.sleep(0.3)
    assert len(pids) == RESTARTS
    for load in fresh, kept:
        no_acknowledged_write_is_lost(guest, load)
        assert load.result.refused == 0
        assert load.result.lost_fresh == 0
        assert load.result.wrong == 0
    assert guest.exec("systemctl", "is-active", "mcpd-rpc.service", "mcpd-rpc.socket").split() == ["active"] * 2
