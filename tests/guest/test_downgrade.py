"""An upgrade to a real newer package with a newer schema: a snapshot first, and back again with what that had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .conftest import Packages
from .machine import DATABASE, Guest
from .test_resilience import no_acknowledged_write_is_lost

UPGRADES = "/var/lib/mcpd/upgrades"
ROLLBACK = ("mcpctl", "--json", "rollback", "--upgrade")


def query(guest: Guest, path: str, sql: str) -> str:
    return guest.exec("runuser", "-u", "mcpd", "--", "sqlite3", path, sql).strip()


def schema(guest: Guest) -> int:
    return int(query(guest, DATABASE, "PRAGMA user_version"))


def version(guest: Guest) -> str:
    return guest.exec("dpkg-query", "-W", "-f", "${Version}", "mcpd")


def version_of(deb: Path) -> str:
    return deb.name.split("_")[1]


def write(guest: Guest, text: str) -> None:
    assert guest.call("log_activity", agent="a", activity=text, category="task").status == 200


def rolls_back(guest: Guest, *options: str) -> Any:
    return json.loads(guest.exec(*ROLLBACK, *options))


def refused(guest: Guest, *options: str) -> tuple[int, str]:
    command = f"{' '.join((*ROLLBACK, *options))}; status=$?; echo; echo $status"
    said, _, status = guest.exec("sh", "-c", command).rstrip().rpartition("\n\n")
    return int(status), json.loads(said)["error"]["message"]


def snapshots(guest: Guest) -> list[dict[str, Any]]:
    found = guest.exec("sh", "-c", f"cat {UPGRADES}/*.json | tr -d '\\n'").replace("}{", "}\n{")
    return sorted((json.loads(line) for line in found.splitlines()), key=lambda each: str(each["made"]))


def offer_by_apt(guest: Guest, deb: Path) -> None:
    """Let apt have *deb*, from a repository in the guest's own files."""
    guest.exec("mkdir", "-p", "/srv/repository")
    guest.push(deb, to="/srv/repository/")
    index = (
        f'cd /srv/repository; f={deb.name}; {{ dpkg-deb -f "$f"; echo "Filename: ./$f";'
        ' echo "Size: $(stat -c %s "$f")"; echo "SHA256: $(sha256sum "$f" | cut -d" " -f1)"; } >Packages'
    )
    guest.exec("sh", "-c", index)
    source = "deb [trusted=yes] file:/srv/repository ./"
    guest.exec("sh", "-c", f"echo '{source}' >/etc/apt/sources.list.d/local.list")
    only = ("-o", "Dir::Etc::sourcelist=sources.list.d/local.list", "-o", "Dir::Etc::sourceparts=-")
    guest.exec("apt-get", "-q", "update", *only, "-o", "APT::Get::List-Cleanup=0")


def test_an_upgrade_keeps_a_snapshot_and_fails_no_request(guest: Guest, packages: Packages) -> None:
    before = schema(guest)
    guest.exec("mcpctl", "agent", "start", "backend-api")
    write(guest, "before the upgrade")
    with guest.load("fresh") as load:
        guest.exec("sleep", "0.3")
        guest.apt_install(packages.later)
        guest.exec("sleep", "0.5")
    no_acknowledged_write_is_lost(guest, load)
    assert load.result.failed == 0
    assert (schema(guest), version(guest)) == (999, version_of(packages.later))
    (made,) = snapshots(guest)
    assert (made["version"], made["before"]) == (version_of(packages.current), version_of(packages.later))
    assert (made["schema_version"], made["rows"]["activities"] > 0) == (before, True)
    assert query(guest, made["path"], "select count(*) from activities") == str(made["rows"]["activities"])
    assert guest.exec("stat", "-c", "%U %a", made["path"]) == "mcpd 640\n"


def test_where_nobody_has_the_package_any_more_it_is_said(guest: Guest, packages: Packages) -> None:
    old = version_of(packages.current)
    guest.exec("rm", "-f", f"/root/{packages.current.name}")
    status, said = refused(guest, "--plan")
    assert (status, f"apt no longer has mcpd {old}" in said, "--package mcpd_" in said) == (64, True, True)
    status, said = refused(guest, "--package", f"/root/{packages.later.name}")
    assert (status, f"the snapshot is of {old}" in said) == (65, True)
    assert refused(guest, "--package", "/nowhere.deb")[0] == 65
    assert refused(guest, "--package", "/etc/passwd")[0] == 65
    assert guest.request("/api/mcp/health").status == 200, "nothing was stopped"
    assert version(guest) == version_of(packages.later)


def test_an_upgrade_is_taken_back_with_the_package_that_apt_has(guest: Guest, packages: Packages) -> None:
    offer_by_apt(guest, packages.current)
    write(guest, "after the upgrade")
    agent = guest.show("mcp-agent@backend-api", "MainPID")
    (snapshot,) = snapshots(guest)
    plan = rolls_back(guest, "--plan")
    assert (plan["version"], plan["package"]) == (version_of(packages.current), None)
    assert plan["written"]["activities"] >= 1
    assert "kept beside" in guest.exec("mcpctl", "rollback", "--upgrade", "--plan")
    assert version(guest) == version_of(packages.later), "a plan changes nothing"

    done = rolls_back(guest)
    print(f"upgrade taken back: port 8099 refused for {done['outage_us'] / 1000:.0f} ms")
    assert version(guest) == version_of(packages.current)
    assert schema(guest) == snapshot["schema_version"]
    there, kept = guest.activities(), query(guest, done["kept"], "select activity from activities").splitlines()
    assert len(there) == snapshot["rows"]["activities"]
    assert ("before the upgrade" in there, "after the upgrade" in there) == (True, False)
    assert "after the upgrade" in kept
    assert done["written"]["activities"] == len(kept) - len(there)
    told = json.loads(query(guest, DATABASE, "select data from events where topic = 'upgrade.taken_back'"))
    assert (told["from"], told["to"]) == (version_of(packages.later), version_of(packages.current))
    assert (told["kept"], told["written"]) == (done["kept"], done["written"])
    assert guest.request("/api/mcp/health").body["status"] == "healthy"
    assert guest.status("mcpctl", "health") == 0
    assert guest.exec("systemctl", "--failed", "--plain", "--no-legend") == ""
    assert guest.show("mcp-agent@backend-api", "MainPID") == agent != "0"
    assert "active" in guest.exec("systemctl", "is-active", "mcp-watch@backend-api.service")
    write(guest, "and on")
    status, said = refused(guest)
    assert (status, "no snapshot" in said) == (64, True)


@pytest.fixture
def full(guest: Guest) -> Any:
    """No room for a snapshot."""
    guest.exec("mount", "-t", "tmpfs", "-o", "size=64k,mode=750,uid=mcpd,gid=mcpd", "small", UPGRADES)
    yield guest
    guest.status("umount", UPGRADES)


def test_an_upgrade_that_can_keep_no_snapshot_stops_and_mcpd_serves_on(full: Guest, packages: Packages) -> None:
    guest = full
    daemon = guest.show("mcpd-rpc", "MainPID")
    guest.push(packages.newer, to="/root/")
    install = (
        "apt-get",
        "-qy",
        "install",
        "--no-install-recommends",
        "--allow-downgrades",
        f"/root/{packages.newer.name}",
    )
    said = guest.exec("sh", "-c", f"{' '.join(install)} 2>&1 || true")
    assert "a snapshot of the database needs" in said
    assert "dpkg --configure mcpd" in said
    assert guest.show("mcpd-rpc", "MainPID") == daemon
    assert guest.request("/api/mcp/health").status == 200
    guest.exec("umount", UPGRADES)
    guest.exec("dpkg", "--configure", "mcpd")
    assert (version(guest), snapshots(guest)[-1]["before"]) == (version_of(packages.newer),) * 2


def test_one_that_cannot_be_put_in_leaves_mcpd_as_it_was(guest: Guest, packages: Packages) -> None:
    guest.apt_install(packages.later)
    write(guest, "after the second upgrade")
    guest.exec("sh", "-c", "printf '#!/bin/sh\\nexit 1\\n' >/usr/local/bin/fails; chmod +x /usr/local/bin/fails")
    guest.exec("sh", "-c", "echo 'DPkg::Pre-Invoke { \"/usr/local/bin/fails\"; };' >/etc/apt/apt.conf.d/99fails")
    try:
        status, said = refused(guest, "--package", f"/root/{packages.newer.name}")
        assert (status, "apt could not install" in said) == (69, True), said
    finally:
        guest.exec("rm", "/etc/apt/apt.conf.d/99fails")
    assert (version(guest), schema(guest)) == (version_of(packages.later), 999)
    assert "after the second upgrade" in guest.activities()
    assert guest.request("/api/mcp/health").status == 200


@pytest.mark.parametrize("after_s", [0.7, 1.5, 3.0])
def test_killed_at_any_moment_no_row_is_lost_and_mcpd_comes_back(
    guest: Guest, packages: Packages, after_s: float
) -> None:
    guest.apt_install(packages.later, "--allow-downgrades")
    write(guest, f"before the kill after {after_s} s")
    package = f"--package /root/{packages.newer.name}"
    guest.exec("sh", "-c", f"timeout -s KILL {after_s} mcpctl rollback --upgrade {package} || true")
    guest.exec("timeout", "60", "sh", "-c", "while pgrep -x apt-get; do sleep 0.2; done")  # it goes on to its end
    assert guest.exec("dpkg", "--audit") == ""
    guest.exec("systemctl", "daemon-reload")
    guest.exec("systemctl", "reset-failed")
    guest.exec("systemctl", "start", "mcp.target")
    assert guest.request("/api/mcp/health").status == 200
    assert query(guest, DATABASE, "PRAGMA integrity_check") == "ok"
    files = guest.exec("sh", "-c", "ls /var/lib/mcpd/mcp.db /var/lib/mcpd/mcp.db.replaced-*Z || true").split()
    texts = {text for file in files for text in query(guest, file, "select activity from activities").splitlines()}
    assert {"after the second upgrade", f"before the kill after {after_s} s"} <= texts
