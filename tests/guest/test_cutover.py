"""The whole way: an old system that serves, the cut-over, the watch, back, and forward again, with every row."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .machine import GUEST, Guest

OLD = "/opt/old"
SCRIPT = "mcp_api_server_optimized.py"
DATABASE = "/tmp/mcp_state.db"
CONFIGURATION = f"""
[legacy]
directory = "{OLD}"
[cutover]
watch_s = 3
interval_s = 0.5
latency_ratio = 20
"""
UNKNOWN = "sleep runs in it, and what starting that a second time does is not known"
CLAUDE = "#!/bin/sh\necho claude was called with: $*\nsleep 100000\n"
SESSIONS = {"testing": "sh /usr/local/bin/claude", "master": "sh", "database": "sleep 100000", "shared-context": "sh"}
KNOCK = """
import json, signal, socket, time
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
print("ready", flush=True)
knocks = refused = 0
longest = last = None
while not stop:
    knocks += 1
    try:
        socket.create_connection(("127.0.0.1", 8099), 1).close()
    except OSError:
        refused += 1
    else:
        now = time.monotonic()
        if last is not None and refused_since:
            longest = max(longest or 0, now - last)
        last, refused_since = now, False
        time.sleep(0.002)
        continue
    refused_since = True
    time.sleep(0.002)
print(json.dumps({"knocks": knocks, "refused": refused, "outage_ms": 1000 * (longest or 0)}))
"""


WRITE = f"""
import sqlite3, time
db = sqlite3.connect("{DATABASE}", isolation_level=None)
db.execute("insert into activities (agent, timestamp, activity) values ('late', '2026-01-01T00:00:00', 'acknowledged')")
db.execute("pragma cache_size = 2")
db.execute("begin exclusive")
db.execute("update activities set activity = hex(randomblob(50000))")
open("/tmp/holds", "w").close()
time.sleep(100)
"""
DAMAGE = """
import os
file = os.open("/var/lib/mcpd/mcp.db", os.O_RDWR)
for page in range(os.fstat(file).st_size // 4096):
    os.pwrite(file, os.urandom(2048), page * 4096 + 100)
"""


@contextmanager
def knocking(guest: Guest) -> Iterator[dict[str, Any]]:
    """Connect to port 8099 from outside all along; afterwards the result says for how long nobody could."""
    command = [str(GUEST), "net", guest.name, sys.executable, "-c", KNOCK]
    result: dict[str, Any] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield result
        finally:
            process.terminate()
            result.update(json.loads(process.communicate(timeout=30)[0]))


def mcpctl(guest: Guest, *words: str) -> Any:
    return json.loads(guest.exec("mcpctl", "--json", *words))


def old_rows(guest: Guest) -> int:
    return int(guest.exec("sqlite3", DATABASE, "select count(*) from activities"))


def write_to_old(guest: Guest, text: str) -> None:
    assert guest.request("/api/mcp/activities", {"agent": "testing", "activity": text}).body == {"success": True}


def database_of(guest: Guest, session: str) -> str:
    """To whose database what starts in the old system's *session* is led."""
    shown = in_session(guest, "show-environment", "-t", f"={session}", "MCP_DB_PATH")
    return shown.strip().removeprefix("MCP_DB_PATH=")


def replaced(guest: Guest) -> list[str]:
    """The old databases that others took the place of."""
    return guest.exec("find", "/tmp", "-maxdepth", "1", "-name", "*.replaced-*").split()


def switches(guest: Guest) -> list[str]:
    """The topics of the events about switches."""
    query = "select topic from events where topic like 'cutover.%' and topic <> 'cutover.session' order by seq"
    return guest.exec("sqlite3", "/var/lib/mcpd/mcp.db", query).split()


@pytest.fixture(scope="module")
def old(guest: Guest, tmp_path_factory: pytest.TempPathFactory) -> Guest:
    """A machine on which the old system serves, started by hand, with mcpd installed beside it."""
    directory = tmp_path_factory.mktemp("old")
    (directory / SCRIPT).write_bytes(Path(__file__).with_name("old_server.py").read_bytes())
    (directory / "cutover.toml").write_text(CONFIGURATION)
    guest.exec("useradd", "erik")
    guest.exec("mkdir", OLD)
    guest.push(directory / SCRIPT, to=f"{OLD}/")
    guest.push(directory / "cutover.toml", to="/etc/mcpd/mcpd.toml.d/")
    guest.exec("chown", "-R", "erik:", OLD)
    guest.exec("systemctl", "stop", "mcp.target")
    by_hand = ("--unit=by-hand", "--uid=erik", f"--working-directory={OLD}")
    guest.exec("systemd-run", "--quiet", *by_hand, "python3", SCRIPT)
    guest.exec("timeout", "20", "sh", "-c", "until curl -sf http://127.0.0.1:8099/api/mcp/status; do sleep 0.1; done")
    for number in range(50):
        write_to_old(guest, f"old {number}")
    guest.exec("sh", "-c", f"printf '%s' '{CLAUDE}' >/usr/local/bin/claude; chmod +x /usr/local/bin/claude")
    for name, program in SESSIONS.items():
        in_session(guest, "new-session", "-d", "-s", f"claude-{name}", "-c", OLD, program)
    return guest


def in_session(guest: Guest, *words: str) -> str:
    """Give erik's own tmux server a command."""
    return guest.exec("runuser", "-u", "erik", "--", "env", "-C", OLD, "tmux", *words)


def sessions(guest: Guest) -> set[str]:
    return set(in_session(guest, "list-sessions", "-F", "#{session_name}").split())


def the_sessions_were_adopted_and_go_on(guest: Guest, found: list[dict[str, Any]]) -> None:
    became = {each["session"]: (each["agent"], each["outcome"], each["why"]) for each in found}
    assert became == {
        "claude-testing": ("testing", "adopted", ""),
        "claude-master": ("master", "adopted", ""),
        "claude-database": ("database", "left running", UNKNOWN),
        "claude-shared-context": (None, "left running", "no agent of mcpd has this name"),
    }  # fmt: skip
    assert sessions(guest) == set(became), "none is ended"
    testing = next(each for each in found if each["session"] == "claude-testing")
    assert (testing["user"], testing["cwd"], testing["program"]) == ("erik", OLD, "claude")
    assert "claude was called with:" in guest.exec("cat", testing["saved"])
    assert guest.exec("stat", "-c", "%U %a", testing["saved"]) == "mcpd 640\n"
    seen = "until mcpctl capture testing | grep -q 'claude was called with: --continue'; do sleep 0.2; done"
    guest.exec("timeout", "30", "sh", "-c", seen)
    for name in ("testing", "master"):
        shown = mcpctl(guest, "agent", "show", name)
        assert (shown["user"], shown["workdir"], shown["state"], shown["command"]) == ("erik", OLD, "active", "")
    assert guest.exec("systemctl", "show", "--value", "-p", "User", "mcp-agent@testing") == "erik\n"
    assert guest.status("ls", "/run/systemd/system/mcp-agent@testing.service.d/60-adopted.conf") != 0, "this once only"
    exported = in_session(guest, "show-environment", "-t", "=claude-database")
    assert "MCP_DB_PATH=/var/lib/mcpd/mcp.db\n" in exported
    assert "CLAUDE_AGENT_NAME=database\n" in exported
    told = {each["session"]: each for each in mcpctl(guest, "migrate", "sessions")}
    assert told["claude-testing"]["why"] == "mcp-agent@testing.service runs already"
    guest.exec("sh", "-c", told["claude-master"]["commands"][-1])
    assert "claude-master" not in sessions(guest), "the command that is told ends the session"
    in_session(guest, "new-session", "-d", "-s", "claude-master", "-c", OLD, "sh")


def test_from_the_old_system_to_mcpd_back_and_forward_again(old: Guest) -> None:
    guest = old
    assert guest.status("mcpctl", "migrate", "--cutover", "--from", "/nonexistent.db") == 64
    assert guest.status("mcpctl", "migrate", "--cutover", "--from", "/tmp") == 64
    untouched = mcpctl(guest, "migrate", "status")
    assert (untouched["cutovers"], untouched["baselines"]["legacy"], untouched["runs"]) == ([], None, [])
    assert mcpctl(guest, "baseline", "--requests", "50")["server"] == "legacy"
    with knocking(guest) as knocks:
        done = mcpctl(guest, "migrate", "--cutover", "--watch", "--adopt", "--timezone", "UTC")
    the_sessions_were_adopted_and_go_on(guest, done["sessions"])
    print(
        f"cut-over: refused for {done['outage_us'] / 1000:.0f} ms by itself, {knocks['outage_ms']:.0f} ms from outside"
    )
    assert (done["direction"], done["state"], done["reason"]) == ("cutover", "success", None)
    assert done["outage_us"] < 10_000_000
    assert guest.request("/api/mcp/health").body["status"] == "healthy"
    assert set(guest.activities()) == {f"old {number}" for number in range(50)}
    assert guest.exec("systemctl", "is-enabled", "mcp.target") == "enabled\n"
    assert guest.call("log_activity", agent="a", activity="new 1", category="task").status == 200

    with knocking(guest) as knocks:
        done = mcpctl(guest, "rollback", "--reason", "for the test")
    print(
        f"rollback: refused for {done['outage_us'] / 1000:.0f} ms by itself, {knocks['outage_ms']:.0f} ms from outside"
    )
    assert (done["direction"], done["state"], done["reason"]) == ("rollback", "rolled back", "for the test")
    status = guest.request("/api/mcp/status").body
    assert (status["server_running"], status["stats"]["total_activities"]) == (True, 50)
    assert sessions(guest) == {f"claude-{name}" for name in SESSIONS}
    assert database_of(guest, "claude-testing") == DATABASE
    assert guest.exec("systemctl", "show", "--value", "-p", "User", f"mcp-legacy@{SCRIPT}") == "erik\n"
    assert guest.status("systemctl", "is-active", "mcp.target", "mcpd-rpc.socket", "mcpd-rpc.service") != 0
    assert guest.status("systemctl", "is-enabled", "mcp.target") != 0
    assert guest.exec("systemctl", "is-enabled", "mcp-legacy.target") == "enabled\n"
    write_to_old(guest, "meanwhile")
    assert guest.status("mcpctl", "rollback") == 64, "it runs already"

    with knocking(guest) as knocks:
        done = mcpctl(guest, "rollback", "--forward", "--timezone", "UTC")
    print(
        f"forward: refused for {done['outage_us'] / 1000:.0f} ms by itself, {knocks['outage_ms']:.0f} ms from outside"
    )
    assert (done["direction"], done["state"], done["reason"]) == ("forward", "switched", None)
    assert database_of(guest, "claude-testing") == "/var/lib/mcpd/mcp.db"
    assert set(guest.activities()) == {f"old {number}" for number in range(50)} | {"new 1", "meanwhile"}
    assert guest.status("systemctl", "is-active", "mcp-legacy.target", f"mcp-legacy@{SCRIPT}") != 0
    shown = mcpctl(guest, "migrate", "status")
    assert [each["direction"] for each in shown["cutovers"]] == ["forward", "rollback", "cutover"]
    assert shown["baselines"]["legacy"]["requests"] == 50
    assert "SUCCESS".lower() in guest.exec("mcpctl", "migrate", "status").lower()
    assert switches(guest) == [
        "cutover.baseline", "cutover.cutover", "cutover.switched", "cutover.watching", "cutover.success",
        "cutover.rollback", "cutover.rolled_back", "cutover.forward", "cutover.switched",
    ]  # fmt: skip


def test_a_lost_old_database_is_restored_and_a_damaged_snapshot_refused(old: Guest) -> None:
    guest, rows = old, old_rows(old)
    guest.exec("sh", "-c", f"head -c 4096 /dev/urandom >{DATABASE}")
    mcpctl(guest, "rollback")
    assert old_rows(guest) == rows
    assert guest.request("/api/mcp/status").body["stats"]["total_activities"] == rows
    write_to_old(guest, "after the restore")
    mcpctl(guest, "rollback", "--forward", "--timezone", "UTC")
    assert "after the restore" in guest.activities()
    snapshot = guest.exec("sh", "-c", "ls /var/lib/mcpd/legacy/*.db").split()[0]
    guest.exec("sh", "-c", f"cp -p {snapshot} /root/whole; printf x | dd of={snapshot} bs=1 seek=60 conv=notrunc")
    assert guest.status("mcpctl", "rollback", "--to", snapshot) == 65
    assert guest.request("/api/mcp/health").status == 200, "nothing was stopped"
    guest.exec("cp", "-p", "/root/whole", snapshot)
    mcpctl(guest, "rollback", "--to", snapshot)
    assert old_rows(guest) <= rows
    assert guest.exec("sh", "-c", f"ls {DATABASE}.replaced-*")
    mcpctl(guest, "rollback", "--forward", "--timezone", "UTC")


def test_an_old_database_that_is_written_or_whose_writer_died_is_not_taken_for_damaged(old: Guest) -> None:
    guest, rows, before = old, old_rows(old), replaced(old)
    guest.exec("systemd-run", "--quiet", "--unit=writer", "--uid=erik", "python3", "-c", WRITE)
    guest.exec("timeout", "20", "sh", "-c", "until test -e /tmp/holds; do sleep 0.1; done")
    writer = guest.show("writer", "MainPID")
    said = guest.exec("sh", "-c", "mcpctl rollback 2>&1; echo status $?")
    assert said.endswith(f"is written by python3 (pid {writer}); try again when that is done\nstatus 75\n")
    assert guest.request("/api/mcp/health").status == 200, "nothing was stopped"
    guest.exec("sh", "-c", "systemctl kill -s KILL writer; until ! systemctl is-active -q writer; do sleep 0.1; done")
    guest.exec("test", "-s", f"{DATABASE}-journal")
    mcpctl(guest, "rollback")
    assert (old_rows(guest), replaced(guest)) == (rows + 1, before)
    assert guest.request("/api/mcp/status").body["stats"]["total_activities"] == rows + 1
    mcpctl(guest, "rollback", "--forward", "--timezone", "UTC")
    assert "acknowledged" in guest.activities()


def test_only_a_database_of_the_old_system_takes_its_place(old: Guest) -> None:
    guest, rows, before = old, old_rows(old), replaced(old)
    guest.exec("sqlite3", "/root/foo.db", "create table foo(x); insert into foo values(1)")
    guest.exec("cp", "/var/lib/mcpd/mcp.db", "/root/own.db")
    for file, status in {"foo.db": 65, "own.db": 65, "none.db": 64}.items():
        assert guest.status("mcpctl", "rollback", "--to", f"/root/{file}") == status, file
    assert guest.request("/api/mcp/health").status == 200, "nothing was stopped"
    assert (old_rows(guest), replaced(guest)) == (rows, before)


@pytest.mark.parametrize("loss", ["head -c 400000 /dev/urandom >", "rm "])
def test_no_state_of_mcpd_s_database_keeps_from_going_back(old: Guest, loss: str) -> None:
    guest, rows = old, old_rows(old)
    guest.exec("systemctl", "stop", "mcp.target", "mcpd-rpc.service", "mcpd-ws.service")
    guest.exec("cp", "-a", "/var/lib/mcpd", "/root/keep")
    guest.exec("sh", "-c", f"cd /var/lib/mcpd; rm -f mcp.db-*; {loss}mcp.db; rm {DATABASE}")
    done = mcpctl(guest, "rollback", "--reason", "it is gone")
    assert (done["id"], done["state"], done["reason"]) == (0, "rolled back", "it is gone")
    assert old_rows(guest) == rows, "from the snapshot that a report told of"
    assert guest.request("/api/mcp/status").body["stats"]["total_activities"] == rows
    assert guest.exec("systemctl", "is-enabled", "mcp-legacy.target") == "enabled\n"
    guest.exec("sh", "-c", "rm -f /var/lib/mcpd/mcp.db*; cp -a /root/keep/mcp.db* /var/lib/mcpd; rm -r /root/keep")
    mcpctl(guest, "rollback", "--forward", "--timezone", "UTC")
    taken = mcpctl(guest, "migrate", "status")["cutovers"][1]
    assert (taken["direction"], taken["state"], taken["reason"]) == ("rollback", "rolled back", "it is gone")
    assert guest.status("ls", "/var/lib/mcpd/switches.json") != 0


def test_an_old_system_that_does_not_answer_leaves_mcpd_in_place(old: Guest) -> None:
    guest, rows = old, old_rows(old)
    guest.exec("sqlite3", "/root/less.db", "create table activities (id, agent, timestamp, activity)")
    guest.exec("sh", "-c", f"cd {OLD}; cp -p {SCRIPT} kept.py; echo 'raise SystemExit(3)' >{SCRIPT}")
    assert guest.status("mcpctl", "rollback", "--to", "/root/less.db") == 69
    assert guest.request("/api/mcp/health").body["status"] == "healthy"
    assert guest.exec("systemctl", "is-enabled", "mcp.target") == "enabled\n"
    assert mcpctl(guest, "migrate", "status")["cutovers"][0]["state"] == "failed"
    assert old_rows(guest) == rows, "what was there is put back"
    guest.exec("sh", "-c", f"cd {OLD}; mv kept.py {SCRIPT}")
    mcpctl(guest, "rollback")
    assert guest.request("/api/mcp/status").body["stats"]["total_activities"] == rows


def test_a_cut_over_without_the_last_rows_is_one_after_a_reboot_too(old: Guest) -> None:
    guest, rows = old, old_rows(old)
    drop_in = "/run/systemd/system/mcp-legacy@.service.d"
    ruin = f'[Service]\\nExecStopPost=/bin/sh -c "head -c 100000 /dev/urandom >{DATABASE}"\\n'
    guest.exec("sh", "-c", f"mkdir -p {drop_in}; printf '{ruin}' >{drop_in}/zz.conf; systemctl daemon-reload")
    assert guest.status("mcpctl", "rollback", "--forward", "--timezone", "UTC") == 65
    assert guest.request("/api/mcp/health").body["status"] == "healthy"
    assert guest.exec("systemctl", "is-enabled", "mcp.target") == "enabled\n"
    assert guest.status("systemctl", "is-enabled", "mcp-legacy.target") != 0
    last = mcpctl(guest, "migrate", "status")["cutovers"][0]
    assert (last["state"], last["reason"].partition(":")[0]) == ("switched", "the last rows were not brought over")
    assert database_of(guest, "claude-testing") == "/var/lib/mcpd/mcp.db"
    guest.exec("sh", "-c", f"rm {drop_in}/zz.conf; systemctl daemon-reload")
    mcpctl(guest, "rollback")
    assert old_rows(guest) == rows
    mcpctl(guest, "rollback", "--forward", "--timezone", "UTC")


def test_a_user_s_report_leads_back_while_it_is_watched(old: Guest) -> None:
    guest = old
    mcpctl(guest, "rollback")
    guest.exec("sh", "-c", "sed -i 's/^watch_s.*/watch_s = 600/' /etc/mcpd/mcpd.toml.d/cutover.toml")
    command = [str(GUEST), "exec", guest.name, "mcpctl", "migrate", "--cutover", "--watch", "--timezone", "UTC"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        until_s = time.monotonic() + 30
        while switches(guest)[-1] != "cutover.watching" and time.monotonic() < until_s:
            time.sleep(0.2)
        guest.exec("mcpctl", "migrate", "report", "--reason", "all is grey")
        output, _ = watching.communicate(timeout=60)
    assert watching.returncode == 1
    assert "ALERT report: 1 of users" in output
    assert output.endswith("ROLLED BACK\n")
    assert guest.request("/api/mcp/status").body["server_running"] is True
    first = mcpctl(guest, "migrate", "status")["cutovers"][1]
    assert (first["state"], first["reason"]) == ("rolled back", "report: 1 of users")
    assert database_of(guest, "claude-testing") == DATABASE


def test_a_terminal_that_cannot_be_opened_leads_back(old: Guest) -> None:
    guest = old
    command = [str(GUEST), "exec", guest.name, "mcpctl", "migrate", "--cutover", "--watch", "--timezone", "UTC"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        until_s = time.monotonic() + 30
        while switches(guest)[-1] != "cutover.watching" and time.monotonic() < until_s:
            time.sleep(0.2)
        guest.exec("systemctl", "stop", "mcp-terminal@testing.socket")
        output, _ = watching.communicate(timeout=60)
    assert watching.returncode == 1
    assert output.endswith("ROLLED BACK\n")
    last = next(each for each in mcpctl(guest, "migrate", "status")["cutovers"] if each["direction"] == "cutover")
    assert (last["state"], last["reason"].partition(":")[0]) == ("rolled back", "terminals")
    assert guest.request("/api/mcp/status").body["server_running"] is True


def test_a_damaged_database_leads_back_and_what_it_could_not_note_is_not_lost(old: Guest) -> None:
    guest = old
    guest.exec("cp", "-a", "/var/lib/mcpd", "/root/keep")
    command = [str(GUEST), "exec", guest.name, "mcpctl", "migrate", "--cutover", "--watch", "--timezone", "UTC"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watching:
        until_s = time.monotonic() + 30
        while switches(guest)[-1] != "cutover.watching" and time.monotonic() < until_s:
            time.sleep(0.2)
        guest.exec("python3", "-c", DAMAGE)
        guest.exec("truncate", "-s", "0", "/var/lib/mcpd/mcp.db-wal")
        output, _ = watching.communicate(timeout=60)
    assert watching.returncode == 1
    assert output.endswith("ROLLED BACK\n")
    assert guest.request("/api/mcp/status").body["server_running"] is True
    assert database_of(guest, "claude-testing") == DATABASE
    guest.exec("sh", "-c", "rm -f /var/lib/mcpd/mcp.db*; cp -a /root/keep/mcp.db* /var/lib/mcpd; rm -r /root/keep")
    shown = mcpctl(guest, "migrate", "status")["cutovers"][:2]
    assert [(each["direction"], each["state"]) for each in shown] == [
        ("rollback", "rolled back"), ("cutover", "rolled back"),
    ]  # fmt: skip
    assert {each["reason"].partition(":")[0] for each in shown} == {"corruption"}


def test_an_mcpd_that_cannot_start_leaves_the_old_system_in_place(old: Guest) -> None:
    guest = old
    guest.exec("sh", "-c", "mkdir -p /run/systemd/system/mcpd-rpc.service.d")
    broken = "printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\n' >/run/systemd/system/mcpd-rpc.service.d/x.conf"
    guest.exec("sh", "-c", f"{broken}; systemctl daemon-reload")
    assert guest.status("mcpctl", "migrate", "--cutover", "--timezone", "UTC") == 69
    assert guest.request("/api/mcp/status").body["server_running"] is True
    assert guest.exec("systemctl", "is-enabled", "mcp-legacy.target") == "enabled\n"
    assert mcpctl(guest, "migrate", "status")["cutovers"][0]["state"] == "rolled back"
