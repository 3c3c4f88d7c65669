"""The watch over a cut-over: each trigger ends as configured, and neither a terminal nor a reboot ends the watch."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import test_cutover
from .machine import DATABASE, GUEST, Guest, script
from .test_cutover import OLD, mcpctl, switches

CRITERIA = ("availability", "latency", "terminals", "corruption", "errors", "report")
CUT_OVER = ("mcpctl", "migrate", "--cutover", "--watch", "--timezone", "UTC")
WATCH = "mcp-cutover.service"
DAMAGED = "breaches"  # a table that nobody reads here
SLOW = "while kill -STOP $0; do sleep 0.5; kill -CONT $0; sleep 0.005; done"

old = test_cutover.old


def configure(guest: Guest, directory: Path, watch_s: float, **reactions: str) -> None:
    """What is not told in *reactions* only alerts."""
    lines = [f'{name} = "{reactions.get(name, "alert")}"' for name in CRITERIA]
    text = "\n".join(["[cutover]", f"watch_s = {watch_s}", "interval_s = 0.5", "latency_ratio = 10", *lines])
    (directory / "cutover.toml").write_text(f'[legacy]\ndirectory = "{OLD}"\n{text}\n')
    guest.push(directory / "cutover.toml", to="/etc/mcpd/mcpd.toml.d/")


def until(what: Callable[[], bool], timeout_s: float = 40) -> None:
    end_s = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < end_s
        time.sleep(0.2)


@contextmanager
def cut_over(guest: Guest, *command: str) -> Iterator[subprocess.Popen[str]]:
    """Cut over and watch, or do what *command* says; the block begins when a watch runs."""
    words = [str(GUEST), "exec", guest.name, *(command or CUT_OVER)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as watching:
        try:
            until(lambda: last(guest, "cutover") == ("watching", None) and active(guest))
            yield watching
        except BaseException:
            watching.kill()
            raise


def active(guest: Guest) -> bool:
    return guest.status("systemctl", "is-active", WATCH) == 0


def last(guest: Guest, direction: str) -> tuple[str, str | None]:
    """State and reason of the last switch in that direction."""
    shown = mcpctl(guest, "migrate", "status")["cutovers"]
    return next(((each["state"], each["reason"]) for each in shown if each["direction"] == direction), ("", None))


def alerts(guest: Guest) -> set[str]:
    """The criteria that events tell of, since the last cut-over."""
    query = (
        "select json_extract(data, '$.criterion') from events where topic = 'cutover.alert'"
        " and json_extract(data, '$.cutover') = (select max(id) from cutovers where direction = 'cutover')"
    )
    return set(guest.exec("sqlite3", DATABASE, query).split())


def old_serves(guest: Guest) -> bool:
    return "server_version" not in guest.request("/api/mcp/status").body


def damage(guest: Guest) -> None:
    """Overwrite a page of the database that is in use."""
    query = f"pragma wal_checkpoint(truncate); select rootpage - 1 from sqlite_schema where name = '{DAMAGED}'"
    page = guest.exec("runuser", "-u", "mcpd", "--", "sqlite3", DATABASE, query).split()[-1]
    dd = "dd status=none bs=4096 count=1 conv=notrunc"
    guest.exec("sh", "-c", f"{dd} if={DATABASE} skip={page} of=/root/page; echo {page} >/root/which")
    guest.exec("sh", "-c", f"tr '\\0' x </dev/zero | {dd} iflag=fullblock of={DATABASE} seek={page}")


def repair(guest: Guest) -> None:
    which = "seek=$(cat /root/which)"
    guest.exec("sh", "-c", f"dd status=none if=/root/page of={DATABASE} bs=4096 conv=notrunc {which}")


def slow_down(guest: Guest) -> None:
    """Let mcpd-rpc stand still nearly all the time."""
    pid = guest.show("mcpd-rpc.service", "MainPID")
    assert int(pid) > 1
    guest.exec("systemd-run", "--quiet", "--collect", "--unit=slow", "sh", "-c", SLOW, pid)


def log_an_error(guest: Guest) -> None:
    guest.exec("systemd-run", "--quiet", "--collect", "--unit=mcpd-test", "sh", "-c", "echo '<3>it broke'")


PROVOKE = {"corruption": damage, "latency": slow_down, "errors": log_an_error}
SEEN = {"corruption": "integrity: ", "latency": "p95 is ", "errors": "1 in the journal, the last: it broke"}


def test_what_only_alerts_is_told_and_leaves_mcpd_in_place(old: Guest, tmp_path: Path) -> None:
    guest = old
    configure(guest, tmp_path, 12)
    with cut_over(guest) as watching:
        for provoke in PROVOKE.values():
            provoke(guest)
        output, _ = watching.communicate(timeout=60)
    assert watching.returncode == 1
    for criterion, seen in SEEN.items():
        assert f"ALERT {criterion}: {seen}" in output
    assert "not all criteria are fulfilled: " in output
    assert alerts(guest) >= set(PROVOKE)
    state, reason = last(guest, "cutover")
    assert state == "unfulfilled"
    assert reason is not None
    assert SEEN["corruption"] in reason
    assert not old_serves(guest)
    assert guest.show(WATCH, "ActiveState") == "inactive"
    assert guest.status("systemctl", "is-enabled", WATCH) != 0
    guest.exec("systemctl", "stop", "slow")
    repair(guest)
    mcpctl(guest, "rollback")


@pytest.mark.parametrize("criterion", PROVOKE)
def test_what_is_to_lead_back_does(criterion: str, old: Guest, tmp_path: Path) -> None:
    guest = old
    configure(guest, tmp_path, 600, **{criterion: "rollback"})
    with cut_over(guest) as watching:
        PROVOKE[criterion](guest)
        output, _ = watching.communicate(timeout=60)
    assert watching.returncode == 1
    assert output.endswith("ROLLED BACK\n")
    state, reason = last(guest, "cutover")
    assert state == "rolled back"
    assert reason is not None
    assert reason.startswith(f"{criterion}: {SEEN[criterion]}")
    assert last(guest, "rollback") == ("rolled back", reason)
    assert old_serves(guest)
    if criterion == "corruption":
        repair(guest)


def test_the_watch_outlives_the_terminal_and_its_own_death(old: Guest, tmp_path: Path) -> None:
    guest = old
    configure(guest, tmp_path, 600, report="rollback")
    in_background = f"{' '.join(CUT_OVER)} >/root/said 2>&1 & echo $! >/root/pid; wait $!; echo $? >/root/rc"
    with cut_over(guest, "sh", "-c", in_background):
        until(lambda: "migrated and verified" in guest.exec("cat", "/root/said"))
        guest.exec("sh", "-c", "sleep 1.5; kill -HUP $(cat /root/pid)")
    assert guest.exec("cat", "/root/rc") == "129\n"
    assert "mcpctl migrate --watch follows it" in guest.exec("cat", "/root/said")
    assert active(guest)
    before = guest.show(WATCH, "MainPID")
    guest.exec("sh", "-c", f"mv {DATABASE} {DATABASE}.away; systemctl kill --signal=KILL {WATCH}")
    until(lambda: f"ALERT corruption: database: {DATABASE}" in guest.journal("-u", WATCH, "--since=-30s"))
    guest.exec("mv", f"{DATABASE}.away", DATABASE)
    assert active(guest)
    assert guest.show(WATCH, "MainPID") != before
    assert last(guest, "cutover") == ("watching", None)
    with cut_over(guest, "mcpctl", "migrate", "--watch") as following:
        assert mcpctl(guest, "migrate", "report", "--reason", "all is grey")["reason"] == "all is grey"
        output, _ = following.communicate(timeout=60)
    assert (following.returncode, output.endswith("ROLLED BACK\n")) == (1, True)
    assert "ALERT report: 1 of users" in output
    assert last(guest, "cutover") == ("rolled back", "report: 1 of users")
    assert guest.status("systemctl", "is-enabled", WATCH) != 0


def test_while_the_old_system_serves_health_advises_nothing_that_would_end_it(old: Guest) -> None:
    found = mcpctl(old, "health")
    assert old_serves(old)
    assert "failed" not in {check["outcome"] for check in found["checks"]}
    assert "start mcp.target" not in json.dumps(found)
    by_name = {check["name"]: check for check in found["checks"]}
    assert by_name["port 8099"]["detail"].startswith("the old system answers in ")
    assert by_name["mcp-legacy.target"]["advice"].startswith("mcpctl rollback --forward")
    said = old.exec("sh", "-c", "mcpctl status 2>&1 || true")
    assert said.endswith("mcpctl rollback --forward, since the old system serves\n")


def test_a_watch_survives_a_reboot_is_told_when_it_is_stopped_and_ends_with_another_switch(
    old: Guest, tmp_path: Path
) -> None:
    guest = old
    configure(guest, tmp_path, 600)
    with cut_over(guest) as watching:
        guest.exec("systemctl", "stop", WATCH)
        output, _ = watching.communicate(timeout=60)
    assert watching.returncode == 1
    assert "mcpctl migrate --watch goes on with it" in output
    assert last(guest, "cutover") == ("watch interrupted", None)
    assert "mcpctl migrate --watch goes on with it" in guest.exec("mcpctl", "migrate", "status")

    guest.exec("cp", "-p", "/tmp/mcp_state.db", "/var/tmp/")  # /tmp may be memory
    script("down", guest.name)
    assert script("up", guest.name, "--keep") == "running\n"
    guest.exec("cp", "-p", "/var/tmp/mcp_state.db", "/tmp/")
    until(lambda: active(guest))
    assert last(guest, "cutover") == ("watching", None)
    with cut_over(guest, "mcpctl", "migrate", "--watch") as following:
        taken = "flock /etc/systemd/system/mcp-legacy@.service.d sh -c 'sleep 2; mcpctl rollback 2>&1 || true'"
        said = guest.exec("sh", "-c", taken)
        assert "another switch between mcpd and the old system is at work" in said
        mcpctl(guest, "rollback", "--reason", "by hand")
        output, _ = following.communicate(timeout=60)
    number = mcpctl(guest, "migrate", "status")["cutovers"][0]["id"]
    assert following.returncode == 1
    assert output.endswith(f"superseded by switch {number}\n")
    assert "ALERT availability" not in output
    assert last(guest, "cutover") == ("superseded", f"by switch {number}")
    assert last(guest, "rollback") == ("rolled back", "by hand")
    assert switches(guest)[-3:] == ["cutover.rollback", "cutover.rolled_back", "cutover.superseded"]
    until(lambda: not active(guest))
    assert guest.status("systemctl", "is-enabled", WATCH) != 0
    assert guest.exec("systemctl", "--failed", "--plain", "--no-legend") == ""
