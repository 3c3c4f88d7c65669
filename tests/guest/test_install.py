"""From `apt install` to the first answered request."""

from __future__ import annotations

import pytest

from .conftest import Packages
from .machine import ROOT, Guest

DAEMONS = ("mcpd-rpc.service", "mcpd-migrate.service")


def test_the_first_request_after_apt_install_starts_the_daemon_and_is_in_the_journal(
    bare: Guest, packages: Packages
) -> None:
    bare.apt_install(packages.current)
    assert bare.exec("systemctl", "is-enabled", "mcp.target") == "enabled\n"
    assert bare.exec("systemctl", "is-active", "mcp.target", "mcpd-rpc.socket", "mcpd-rpc6.socket").split() == [
        "active",
        "active",
        "active",
    ]
    assert bare.status("pgrep", "-u", "mcpd") == 1, "a process of mcpd runs before anybody asked for one"

    answer = bare.call("log_activity", agent="first", activity="the first request", category="task")

    print(f"cold start through the socket: {answer.seconds:.3f} s")
    assert answer.status == 200
    assert answer.body["result"]["success"] is True
    assert bare.activities() == ["the first request"]
    entry = next(e for e in bare.entries("-u", "mcpd-rpc") if e.get("MCPD_TOOL") == "log_activity")
    assert entry["MCPD_METHOD"] == "tools/call"
    assert entry["MCPD_CALLER"]
    assert entry["MCPD_REQUEST_ID"]
    assert 0 < int(entry["MCPD_DURATION_US"]) < 10_000_000


def test_a_cold_start_through_the_socket_takes_at_most_two_seconds(guest: Guest) -> None:
    """Half a second on an idle machine; the bound leaves room for a busy one."""
    guest.exec("systemctl", "stop", "mcpd-rpc.service")
    answer = guest.request("/api/mcp/health")
    print(f"cold start through the socket: {answer.seconds:.3f} s")
    assert answer.status == 200
    assert answer.seconds <= 2


def test_the_daemon_answers_on_ipv6_and_on_the_unix_socket_of_everybody(guest: Guest) -> None:
    assert "healthy" in guest.exec("curl", "-sSm", "10", "http://[::1]:8099/api/mcp/health")
    unix = ("curl", "-sSm", "10", "--unix-socket", "/run/mcpd/mcp.sock", "http://localhost/api/mcp/health")
    assert "healthy" in guest.exec(*unix)
    assert "healthy" in guest.exec("runuser", "-u", "nobody", "--", *unix)


def test_the_daemon_uses_at_most_60_mb(guest: Guest) -> None:
    with guest.load("rss") as load:
        guest.exec("sleep", "2")
    pid = guest.show("mcpd-rpc", "MainPID")
    rss_kb = int(guest.exec("ps", "-o", "rss=", "-p", pid))
    print(f"RSS after {load.result.answered} requests: {rss_kb / 1000:.1f} MB")
    assert load.result.answered > 100
    assert rss_kb * 1024 <= 60_000_000


def test_a_local_user_outside_mcp_admin_is_refused_but_may_ask_for_health(guest: Guest) -> None:
    guest.exec("useradd", "outsider")
    guest.exec("useradd", "-G", "mcp-admin", "insider")
    refused = guest.call("log_activity", user="outsider", agent="o", activity="outsider", category="task")
    allowed = guest.call("log_activity", user="insider", agent="i", activity="insider", category="task")
    assert refused.status == 403
    assert allowed.status == 200
    assert allowed.body["result"]["success"] is True
    assert {"outsider", "insider"} & set(guest.activities()) == {"insider"}
    assert guest.request("/api/mcp/health", user="outsider").status == 200


@pytest.mark.parametrize("unit", DAEMONS)
def test_a_unit_is_confined(guest: Guest, unit: str) -> None:
    report = guest.exec("systemd-analyze", "security", "--no-pager", "--threshold=20", unit)
    print(report.splitlines()[-1])


def test_the_installed_units_are_correct(guest: Guest) -> None:
    names = guest.exec("sh", "-c", "cd /usr/lib/systemd/system && find mcp* -maxdepth 0 -type f").split()
    units = " ".join(name.replace("@.", "@backend-api.") for name in names)  # with what mcpd-agents adds for that one
    assert len(names) >= 5
    assert guest.exec("sh", "-c", f"systemd-analyze verify --generators=yes --man=no {units} 2>&1") == ""


def test_the_package_passes_its_tests_on_the_distribution_s_own_python(guest: Guest) -> None:
    """The tests come from the checkout, mcpd from the package: there is no other one in the guest."""
    guest.exec("mkdir", "/root/checkout")
    guest.push(*(path for path in ROOT.iterdir() if path.name not in {"mcpd", ".git"}), to="/root/checkout/")
    guest.exec("ln", "-s", "/usr/lib/python3/dist-packages/mcpd", "/root/checkout/mcpd")
    pytest_run = "cd /root/checkout && python3 -m pytest --tb=short -m 'not host' tests/unit tests/functional 2>&1"
    output = guest.exec("sh", "-c", pytest_run, timeout_s=1200)
    print(output.splitlines()[-1])
    assert " passed" in output.splitlines()[-1]
