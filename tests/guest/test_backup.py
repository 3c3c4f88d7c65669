"""Backups on the installed machine: every night by themselves, proved, loud when they fail, and put back."""

from __future__ import annotations

import json

from .machine import Guest

BACKUPS = "/var/backups/mcpd"
UNIT = "mcpd-backup.service"


def backups(guest: Guest) -> list[str]:
    """The archives there are, oldest first."""
    return sorted(guest.exec("find", BACKUPS, "-name", "mcp_backup_*", "!", "-name", "*.sha256").split())


def last_event(guest: Guest, but: str = "") -> tuple[str, dict[str, object]]:
    which = f"(topic like 'backup.%' or topic = 'alert.raised') and topic <> '{but}'"
    query = f"select topic || ' ' || data from events where {which} order by seq desc limit 1"
    found = guest.exec("runuser", "-u", "mcpd", "--", "sqlite3", "/var/lib/mcpd/mcp.db", query)
    topic, _, data = found.partition(" ")
    return topic, json.loads(data)


def test_the_timer_waits_for_the_night_and_a_missed_night_is_made_up_for(guest: Guest) -> None:
    assert guest.show("mcpd-backup.timer", "ActiveState") == "active"
    assert guest.show("mcpd-backup.timer", "Persistent") == "yes"
    assert guest.show(UNIT, "ActiveState") == "inactive"
    assert "03:" in guest.exec("systemctl", "list-timers", "--no-legend", "mcpd-backup.timer")
    guest.exec("systemctl", "stop", "mcp.target")
    assert guest.show("mcpd-backup.timer", "ActiveState") == "inactive"
    guest.exec("mkdir", "-p", "/run/systemd/system/mcpd-backup.timer.d")
    guest.exec("sh", "-c", "printf '[Timer]\\nRandomizedDelaySec=0\\n' >/run/systemd/system/mcpd-backup.timer.d/x.conf")
    guest.exec("touch", "-d", "3 days ago", "/var/lib/systemd/timers/stamp-mcpd-backup.timer")
    guest.exec("systemctl", "daemon-reload")
    guest.exec("systemctl", "start", "mcp.target")
    guest.exec("timeout", "30", "sh", "-c", f"until ls {BACKUPS}/mcp_backup_*; do sleep 0.2; done")
    guest.exec("timeout", "30", "sh", "-c", f"while systemctl -q is-active {UNIT}; do sleep 0.1; done")
    assert len(backups(guest)) == 1


def test_a_backup_is_made_and_proved_while_writes_go_on_and_can_be_restored(guest: Guest) -> None:
    with guest.load("before") as before:
        guest.exec("sleep", "1")
    with guest.load("during") as during:
        guest.exec("systemctl", "start", UNIT)
    path = backups(guest)[-1]
    assert during.result.answered > 50
    assert (before.result.failed, during.result.failed) == (0, 0)
    assert guest.exec("stat", "-c", "%U %a", BACKUPS, path).split() == ["mcpd", "750", "mcpd", "640"]
    topic, data = last_event(guest)
    assert (topic, data["path"]) == ("backup.finished", path)
    assert "made and proved" in guest.journal("-u", "mcpd-backup")
    made = json.loads(guest.exec("mcpctl", "--json", "backup", "verify", path))
    assert made["rows"]["activities"] >= before.result.answered

    assert guest.status("mcpctl", "backup", "restore", path) == 75, "the daemon uses the database"
    written = guest.activities()
    guest.exec("systemctl", "stop", "mcp.target")
    restored = json.loads(guest.exec("mcpctl", "--json", "backup", "restore", path))
    guest.exec("systemctl", "start", "mcp.target")
    assert guest.request("/api/mcp/health").status == 200
    assert set(before.result.acknowledged) <= set(guest.activities())
    assert len(guest.activities()) == made["rows"]["activities"] <= len(written)
    kept = guest.exec("sqlite3", restored["replaced"], "select count(*) from activities")
    assert int(kept) == len(written)
    assert guest.call("heartbeat", agent="load-1").status == 200


def test_a_backup_keeps_what_agents_have_on_their_screens(guest: Guest) -> None:
    guest.exec("mcpctl", "agent", "start", "backend-api")
    guest.exec("mcpctl", "send", "backend-api", "echo on the screen $((6*7))")
    seen = "until mcpctl capture backend-api | grep -q 'on the screen 42'; do sleep 0.2; done"
    guest.exec("timeout", "30", "sh", "-c", seen)
    guest.exec("systemctl", "start", UNIT)
    shown = json.loads(guest.exec("mcpctl", "--json", "backup", "show"))
    found = {agent["name"]: agent for agent in shown["agents"]}
    assert len(found) == 9
    agent = found["backend-api"]
    assert (agent["unit"], agent["unseen"], agent["user"]) == ("active", "", "mcp-agent")
    assert agent["cwd"] == agent["workdir"] == "/var/lib/mcp-agents/backend-api"
    assert "claude-testing is not running" in found["testing"]["unseen"]
    assert "on the screen 42" in guest.exec("mcpctl", "backup", "show", shown["path"], "backend-api")
    # The watch would start them again.
    watch = "mcp-watch@backend-api.service"
    guest.exec("systemctl", "stop", watch, "mcpd-ttyd-control.socket", "mcpd-ttyd-manager.service")
    guest.exec("systemctl", "start", UNIT)
    absent = json.loads(guest.exec("mcpctl", "--json", "backup", "show"))["agents"]
    assert [a["unseen"] for a in absent if "mcpd-ttyd-manager cannot be reached" not in a["unseen"]] == []
    guest.exec("systemctl", "start", "mcp.target")
    guest.exec("mcpctl", "agent", "stop", "backend-api")


def test_a_backup_reaches_nothing_that_could_hurt_an_agent(guest: Guest) -> None:
    look = "find /run/mcpd -mindepth 1 >/var/backups/mcpd/.seen; find /run/dbus -mindepth 1 >>/var/backups/mcpd/.seen"
    drop_in = f"[Service]\nExecStart=\nExecStart=/bin/sh -c '{look} 2>/dev/null || true'\n"
    directory = "/run/systemd/system/mcpd-backup.service.d"
    guest.exec("mkdir", "-p", directory)
    guest.exec("sh", "-c", f'printf "$0" >{directory}/look.conf; systemctl daemon-reload', drop_in)
    guest.exec("systemctl", "start", UNIT)
    guest.exec("sh", "-c", f"rm {directory}/look.conf; systemctl daemon-reload")
    assert guest.exec("cat", f"{BACKUPS}/.seen").split() == ["/run/mcpd/states.sock"]


def test_a_backup_that_is_killed_is_an_alert(guest: Guest) -> None:
    directory = "/run/systemd/system/mcpd-backup.service.d"
    guest.exec("mkdir", "-p", directory)
    drop_in = "[Service]\nExecStart=\nExecStart=/bin/sleep 60\n"
    guest.exec("sh", "-c", f'printf "$0" >{directory}/slow.conf; systemctl daemon-reload', drop_in)
    guest.exec("systemctl", "start", "--no-block", UNIT)
    guest.exec("timeout", "20", "sh", "-c", f"until systemctl kill --kill-whom=main -s KILL {UNIT}; do sleep 0.1; done")
    guest.exec("timeout", "20", "sh", "-c", f"until systemctl -q is-failed {UNIT}; do sleep 0.1; done")
    guest.exec("sh", "-c", f"rm {directory}/slow.conf; systemctl daemon-reload")
    topic, data = last_event(guest)
    assert (topic, data["source"]) == ("alert.raised", "backup")
    assert "signal (KILL)" in str(data["message"])
    assert str(data["message"]).endswith(backups(guest)[-1])
    guest.exec("journalctl", "--sync")
    assert "mcpd-backup failed: signal (KILL)" in guest.journal("-u", "mcpd-backup", "-p", "alert")
    guest.exec("systemctl", "start", UNIT)
    assert guest.status("mcpctl", "health") == 0


def test_a_client_has_a_backup_made_that_its_server_cannot_touch(guest: Guest) -> None:
    made = json.loads(guest.exec("mcpctl", "--json", "call", "create_backup"))
    assert guest.exec("stat", "-c", "%U", made["path"]) == "mcpd\n"
    assert made["path"] in guest.journal("-u", "mcpd-backup")
    pid = guest.show("mcpd-rpc", "MainPID")
    assert guest.status("nsenter", "-t", pid, "-m", "touch", "/var/backups/mcpd/x") != 0, "the server sees it read-only"


def test_a_full_disk_fails_loudly_and_leaves_what_is_there(guest: Guest) -> None:
    there = backups(guest)
    for path in there:
        guest.exec("mv", path, "/root/")
    guest.exec("mount", "-t", "tmpfs", "-o", "size=64k,mode=750,uid=mcpd,gid=mcpd", "small", BACKUPS)
    try:
        assert guest.status("systemctl", "start", UNIT) == 1
        assert guest.exec("ls", "-A", BACKUPS) == ""
        assert guest.show(UNIT, "Result") == "exit-code"
        assert guest.show(UNIT, "ExecMainStatus") == "75"
        said = guest.entries("-u", "mcpd-backup", "-p", "err")
        assert any("disk is full" in str(entry["MESSAGE"]) or "No space" in str(entry["MESSAGE"]) for entry in said)
        assert last_event(guest)[0] == "alert.raised"
        topic, data = last_event(guest, but="alert.raised")
        assert (topic, data["directory"]) == ("backup.failed", BACKUPS)
        assert "mcpd-backup failed" in guest.journal("-u", "mcpd-backup", "-p", "alert")
        assert guest.status("mcpctl", "health") == 1
        assert guest.request("/api/mcp/health").status == 200, "a failed backup is no reason to refuse callers"
    finally:
        guest.exec("umount", BACKUPS)
        guest.exec("sh", "-c", f"mv /root/mcp_backup_* {BACKUPS}/")
    guest.exec("systemctl", "start", UNIT)
    assert guest.status("mcpctl", "health") == 0
    assert backups(guest)[-1] not in there


def test_without_leave_the_backup_fails_loudly_and_in_one_line(guest: Guest) -> None:
    guest.exec("sh", "-c", f"chmod 000 {BACKUPS}; chown root: {BACKUPS}")
    try:
        assert guest.status("systemctl", "start", UNIT) == 1
        assert guest.show(UNIT, "ExecMainStatus") == "77"
        guest.exec("journalctl", "--sync")
        said = guest.journal("-u", "mcpd-backup", "-n", "20", "-o", "cat")
        assert "Traceback" not in said
        assert f"{BACKUPS}: Permission denied" in said
        topic, data = last_event(guest)
        assert (topic, data["source"]) == ("alert.raised", "backup")
        assert f"the newest backup is not to be found: {BACKUPS}: Permission denied" in str(data["message"])
        assert last_event(guest, but="alert.raised")[0] == "backup.failed"
    finally:
        guest.exec("sh", "-c", f"chmod 750 {BACKUPS}; chown mcpd:mcpd {BACKUPS}")
    guest.exec("systemctl", "start", UNIT)
    assert guest.status("mcpctl", "health") == 0


def test_an_encrypted_backup_is_restored_with_its_key(guest: Guest) -> None:
    guest.exec("age-keygen", "-o", "/root/key")
    recipient = guest.exec("age-keygen", "-y", "/root/key").strip()
    guest.exec("sh", "-c", f"printf '[backup]\\nrecipient = \"{recipient}\"\\n' >/etc/mcpd/mcpd.toml.d/backup.toml")
    guest.exec("systemctl", "start", UNIT)
    path = next(path for path in backups(guest) if path.endswith(".age"))
    assert "is what was proved" in guest.exec("mcpctl", "backup", "verify", path)
    guest.exec("mcpctl", "backup", "verify", path, "--identity", "/root/key")
    assert guest.exec("stat", "-c", "%U %a", f"{path}.sha256").split() == ["mcpd", "640"]
    guest.exec("sh", "-c", f"cd {BACKUPS} && sha256sum --check *.sha256")
    newest = f"{path.partition('T')[0]}T235959Z.tar.gz.age"
    guest.exec("cp", "-p", path, newest)
    assert guest.status("mcpctl", "backup", "verify", newest) == 65, "nobody can prove it without the key"
    guest.exec("mcpctl", "backup", "verify", newest, "--identity", "/root/key")
    guest.exec("sh", "-c", f"printf xxxx | dd of={newest} bs=1 seek=9000 conv=notrunc")
    assert guest.status("mcpctl", "backup", "verify", newest) == 65
    assert guest.status("mcpctl", "backup", "verify", newest, "--identity", "/root/key") == 65
    pruned = json.loads(guest.exec("mcpctl", "--json", "backup", "prune"))
    assert (pruned["removed"], list(pruned["unusable"])) == ([], [newest])
    guest.exec("systemctl", "start", UNIT)
    assert newest in backups(guest)
    guest.exec("journalctl", "--sync")
    assert f"{newest}: is damaged" in guest.journal("-u", "mcpd-backup", "-p", "warning")
    guest.exec("rm", newest)
    guest.exec("sh", "-c", "printf '[backup]\\nrecipient = \"nobody\"\\n' >/etc/mcpd/mcpd.toml.d/backup.toml")
    assert guest.status("systemctl", "start", UNIT) == 1
    guest.exec("journalctl", "--sync")
    assert "expected an age recipient" in guest.journal("-u", "mcpd-backup", "-p", "err")


def test_the_backup_is_confined(guest: Guest) -> None:
    guest.exec("systemd-analyze", "security", "--no-pager", "--threshold=20", UNIT)
