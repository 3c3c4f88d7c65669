"""apt remove leaves the data, apt purge takes it, and mcpd can come back."""

from __future__ import annotations

from .conftest import Packages
from .machine import DATABASE, Guest


def write(guest: Guest, text: str) -> None:
    assert guest.call("log_activity", agent="a", activity=text, category="task").body["result"]["success"] is True


def no_trace_runs(guest: Guest) -> None:
    assert guest.exec("systemctl", "list-units", "--plain", "--no-legend", "mcp*") == ""
    assert guest.exec("systemctl", "--failed", "--plain", "--no-legend") == ""
    assert guest.exec("ss", "-Hltn", "sport = :8099") == ""
    assert guest.status("test", "-e", "/run/mcpd/mcp.sock") == 1
    assert guest.status("pgrep", "-u", "mcpd") == 1
    assert guest.status("pgrep", "-u", "mcp-agent") == 1


def test_removing_leaves_the_data_reinstalling_serves_it_and_purging_deletes_it(
    guest: Guest, packages: Packages
) -> None:
    guest.exec("rm", "/etc/default/mcpd")  # the tests' own
    write(guest, "before the removal")
    for name in ("testing", "master"):
        guest.exec("mcpctl", "agent", "start", name)
    guest.exec("mcpctl", "agent", "freeze", "master")  # which systemd does not stop
    guest.exec("apt-get", "-qy", "remove", "mcpd")
    no_trace_runs(guest)
    assert guest.activities() == ["before the removal"]

    guest.apt_install(packages.current)
    write(guest, "after the return")
    assert guest.activities() == ["before the removal", "after the return"]

    guest.exec("apt-get", "-qy", "purge", "mcpd")
    no_trace_runs(guest)
    assert guest.status("test", "-e", DATABASE) == 1
    assert guest.status("test", "-e", "/var/lib/mcpd") == 1
    assert guest.exec("find", "/etc", "-name", "*mcpd*", "-o", "-name", "mcp.target") == ""

    guest.apt_install(packages.current)
    write(guest, "a new life")
    assert guest.activities() == ["a new life"]
