"""A mistake in the configuration is reported once, precisely, and repaired by an edit and a restart."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from .machine import Guest

FILE = "/etc/mcpd/mcpd.toml"
GOOD = "[server]\nmax_connections = 100\n"
BAD = '[server]\nmax_connections = "many"\n'


def write(guest: Guest, text: str) -> None:
    guest.exec("sh", "-c", f"cat >{FILE} <<'EOF'\n{text}EOF")


def failures(guest: Guest, unit: str) -> int:
    return guest.journal("-u", unit).count("status=78/CONFIG")


def serves_again_after_a_repair(guest: Guest) -> None:
    write(guest, GOOD)
    guest.exec("systemctl", "restart", "mcp.target")
    assert guest.request("/api/mcp/health").status == 200
    assert guest.exec("systemctl", "--failed", "--plain", "--no-legend") == ""


@pytest.fixture
def broken(guest: Guest) -> Iterator[Guest]:
    """mcpd runs, and its configuration has just become bad."""
    guest.request("/api/mcp/health")
    write(guest, BAD)
    yield guest
    guest.exec("rm", "-f", FILE)
    guest.exec("systemctl", "restart", "mcp.target")


def stays_down(guest: Guest, unit: str, before: int) -> None:
    """One attempt, exit status 78, callers refused at once, and no further attempt."""
    assert guest.show(unit, "ActiveState") == "failed"
    assert guest.show(unit, "ExecMainStatus") == "78"
    for _ in range(3):
        assert guest.status("curl", "-sm", "10", "http://127.0.0.1:8099/") == 7, "the connection was not refused"
    time.sleep(2)
    assert failures(guest, unit) == before + 1


def says_where_and_what(guest: Guest, unit: str) -> None:
    message = guest.journal("-u", unit, "-p", "err", "-n", "5")
    assert FILE in message
    assert "server.max_connections" in message
    assert "expected a whole number" in message


def test_a_bad_value_at_the_start_of_the_target_is_reported_and_systemd_does_not_loop(broken: Guest) -> None:
    before = failures(broken, "mcpd-migrate")
    broken.exec("systemctl", "restart", "mcp.target")
    stays_down(broken, "mcpd-migrate", before)
    says_where_and_what(broken, "mcpd-migrate")
    serves_again_after_a_repair(broken)


def test_a_bad_value_at_a_restart_of_the_daemon_is_reported_and_systemd_does_not_loop(broken: Guest) -> None:
    before = failures(broken, "mcpd-rpc")
    assert broken.status("systemctl", "restart", "mcpd-rpc.service") == 1
    stays_down(broken, "mcpd-rpc", before)
    says_where_and_what(broken, "mcpd-rpc")
    serves_again_after_a_repair(broken)


def test_a_caller_who_waits_on_the_socket_of_a_misconfigured_daemon_is_not_left_hanging(broken: Guest) -> None:
    before = failures(broken, "mcpd-rpc")
    broken.exec("systemctl", "stop", "mcpd-rpc.service")
    assert broken.status("curl", "-sm", "10", "http://127.0.0.1:8099/api/mcp/health") in {52, 56}, "not hung up on"
    stays_down(broken, "mcpd-rpc", before)
    serves_again_after_a_repair(broken)
