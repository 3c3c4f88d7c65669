"""apt replaces the package under load, forwards and backwards."""

from __future__ import annotations

from pathlib import Path

from .conftest import Packages
from .machine import Guest
from .test_resilience import no_acknowledged_write_is_lost


def replace_under_load(guest: Guest, deb: Path) -> None:
    """Install *deb* and expect new processes, old sockets, and not one failed request."""
    guest.request("/api/mcp/health")
    daemon = guest.show("mcpd-rpc", "MainPID")
    migrated = guest.show("mcpd-migrate", "ExecMainStartTimestampMonotonic")
    socket = guest.show("mcpd-rpc.socket", "ActiveEnterTimestampMonotonic")
    with guest.load(f"{deb.name} fresh") as fresh, guest.load(f"{deb.name} kept", "--keep-alive") as kept:
        guest.exec("sleep", "0.5")
        guest.apt_install(deb, "--allow-downgrades")
        guest.exec("sleep", "1")
    assert guest.exec("dpkg-query", "-W", "-f", "${Version}", "mcpd") == deb.name.split("_")[1]
    for load in fresh, kept:
        no_acknowledged_write_is_lost(guest, load)
        assert load.result.failed == 0
    assert guest.show("mcpd-rpc", "MainPID") != daemon
    assert guest.show("mcpd-migrate", "ExecMainStartTimestampMonotonic") != migrated
    assert guest.show("mcpd-rpc.socket", "ActiveEnterTimestampMonotonic") == socket
    started = int(guest.show("mcpd-rpc", "ExecMainStartTimestampMonotonic"))
    assert int(guest.show("mcpd-migrate", "ExecMainExitTimestampMonotonic")) < started


def test_a_newer_package_under_load_fails_no_request(guest: Guest, packages: Packages) -> None:
    replace_under_load(guest, packages.newer)


def test_the_previous_package_under_load_fails_no_request(guest: Guest, packages: Packages) -> None:
    replace_under_load(guest, packages.previous)


def test_an_upgrade_starts_nothing_that_the_administrator_stopped(guest: Guest, packages: Packages) -> None:
    guest.exec("systemctl", "disable", "--now", "mcp.target")
    guest.apt_install(packages.newer)
    units = ("mcp.target", "mcpd-rpc.socket", "mcpd-rpc.service", "mcpd-migrate.service")
    states = [guest.show(unit, "ActiveState") for unit in units]
    assert states == ["inactive"] * 4
    assert guest.show("mcp.target", "UnitFileState") == "disabled"
