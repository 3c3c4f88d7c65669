"""Events on a machine: followed over a restart of the daemon, removed by the timer's job while others write."""

from __future__ import annotations

import json

from .machine import DATABASE, Guest

UNIT = "mcpd-maintenance.service"


def as_mcpd(guest: Guest, query: str) -> str:
    """What a query answers; as mcpd, so that no file of root's appears beside the database."""
    return guest.exec("runuser", "-u", "mcpd", "--", "sqlite3", "-cmd", ".timeout 30000", DATABASE, query).strip()


def listed(guest: Guest, *options: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in guest.exec("mcpctl", "events", "--json", *options).splitlines()]


def test_the_timer_is_there_and_waits(guest: Guest) -> None:
    assert guest.show("mcpd-maintenance.timer", "ActiveState") == "active"
    assert guest.show("mcpd-maintenance.timer", "NextElapseUSecRealtime")
    checks = json.loads(guest.exec("mcpctl", "--json", "health"))["checks"]
    found = {check["name"]: check["outcome"] for check in checks}
    assert found["mcpd-maintenance.timer"] == found[UNIT] == "ok"


def test_events_come_as_they_happen_and_over_a_restart(guest: Guest) -> None:
    guest.exec("sh", "-c", "mcpctl events --follow --json >/run/followed 2>/run/said & echo $! >/run/follower")
    guest.exec("sh", "-c", "for i in $(seq 200); do [ -S /run/mcpd/mcp.sock ] && break; sleep .1; done")
    with guest.load("followed") as load:
        for _ in range(3):
            guest.exec("systemctl", "restart", "mcpd-rpc.service")
    assert load.result.failed == 0, load.result.errors
    newest = listed(guest, "--limit", "1")[-1]["seq"]
    guest.exec(
        "sh",
        "-c",
        f"for i in $(seq 300); do grep -q '\"seq\": {newest},' /run/followed && exit; sleep .1; done; exit 1",
    )
    guest.exec("sh", "-c", "kill $(cat /run/follower)")
    followed = [json.loads(line)["seq"] for line in guest.exec("cat", "/run/followed").splitlines()]
    everything = [event["seq"] for event in listed(guest, "--since", str(followed[0] - 1))]
    assert followed == everything[: len(followed)]
    assert followed[-1] >= int(str(newest))


def test_a_run_removes_what_the_policy_says_while_others_write(guest: Guest) -> None:
    as_mcpd(
        guest,
        "UPDATE events SET at_us = at_us - 40 * 86400000000 WHERE seq <= (SELECT max(seq) / 2 FROM events);"
        "UPDATE audit SET at_us = at_us - 40 * 86400000000 WHERE id <= (SELECT max(seq) / 2 FROM events)",
    )
    half = int(as_mcpd(guest, "SELECT max(seq) FROM events WHERE at_us < unixepoch() * 1000000 - 30 * 86400000000"))
    audited = int(as_mcpd(guest, "SELECT count(*) FROM audit"))
    with guest.load("maintained") as load:
        guest.exec("systemctl", "start", UNIT)
    assert load.result.failed == 0, load.result.errors
    assert guest.show(UNIT, "Result") == "success"
    assert half <= int(as_mcpd(guest, "SELECT removed_to FROM event_log")) <= half + 1
    assert int(as_mcpd(guest, "SELECT min(seq) FROM events")) > half
    assert int(as_mcpd(guest, "SELECT count(*) FROM audit")) >= audited
    (told,) = listed(guest, "--since", "0", "--topic", "maintenance")
    assert told["data"]["removed"]["events"] > 0  # type: ignore[index]
    guest.exec("journalctl", "--sync")
    assert "removed " in guest.journal("-u", "mcpd-maintenance")


def test_the_maintenance_is_confined(guest: Guest) -> None:
    guest.exec("systemd-analyze", "security", "--no-pager", "--threshold=20", UNIT)
