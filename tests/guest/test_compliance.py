"""Compliance on the installed machine: the key in the sandbox, root's commands beside the daemon, agents shut out."""

from __future__ import annotations

import json

from .machine import DATABASE, Guest

KEY = "/var/lib/mcpd/compliance.key"
FOLDER = "/api/mcp/compliance"


def sql(guest: Guest, query: str) -> str:
    return guest.exec("runuser", "-u", "mcpd", "--", "sqlite3", DATABASE, query).strip()


def test_the_sandboxed_daemon_encrypts_and_root_decrypts(guest: Guest) -> None:
    sealed = guest.request(f"{FOLDER}/encrypt", {"data": "a secret", "classification": "phi"})
    assert sealed.status == 200
    assert guest.exec("stat", "-c", "%U %a %s", KEY).split() == ["mcpd", "600", "32"]
    guest.exec("sh", "-c", f"echo '{sealed.body['encrypted']}' >/root/sealed")
    assert guest.exec("mcpctl", "compliance", "decrypt", "/root/sealed") == "a secret"
    assert guest.status("runuser", "-u", "nobody", "--", "mcpctl", "compliance", "decrypt", "/root/sealed") != 0


def test_retention_is_enforced_by_root_while_the_daemon_writes(guest: Guest) -> None:
    guest.call("log_activity", agent="ada", activity="of today", category="task")
    sql(
        guest,
        "INSERT INTO activities (at_us, agent, activity, category, status) SELECT 1, 'x', 'long ago', 'task', 'done'"
        " FROM generate_series(1, 2000)",
    )
    with guest.load("meanwhile") as load:
        done = json.loads(guest.exec("mcpctl", "compliance", "retention", "--enforce", "--json"))
    assert done["rows"]["activities"] == 2000
    assert load.result.failed == 0
    assert "of today" in guest.activities()
    assert "long ago" not in guest.activities()
    owners = guest.exec("sh", "-c", f"stat -c %U {DATABASE}*").split()
    assert set(owners) == {"mcpd"}


def test_a_person_is_exported_and_erased_by_members_of_the_group_alone(guest: Guest) -> None:
    guest.exec("useradd", "-G", "mcp-admin", "officer")
    guest.exec("useradd", "outsider")
    assert guest.request(f"{FOLDER}/consent", {"user_id": "ada", "purpose": "mail"}, user="outsider").status == 403
    assert guest.request(f"{FOLDER}/consent", {"user_id": "ada", "purpose": "mail"}, user="officer").status == 200
    assert guest.request(f"{FOLDER}/consents", user="mcp-agent").status == 403
    officer = ("runuser", "-u", "officer", "--", "mcpctl", "compliance")
    found = json.loads(guest.exec(*officer, "export", "ada"))
    assert [consent["purpose"] for consent in found["data"]["consents"]] == ["mail"]
    done = json.loads(guest.exec(*officer, "erase", "ada", "--yes", "--reason", "asked", "--json"))
    assert done["deleted"]["subject_consents"] == 1
    assert sql(guest, "SELECT count(*) FROM activities WHERE agent = 'ada'") == "0"
    assert guest.status(*officer, "erase", "backend-api", "--yes") == 1


def test_a_key_of_systemd_is_used_where_there_is_one(guest: Guest) -> None:
    guest.exec("sh", "-c", "head -c 32 /dev/urandom >/root/key && chmod 600 /root/key")
    guest.exec("mkdir", "-p", "/etc/systemd/system/mcpd-rpc.service.d")
    drop_in = "[Service]\\nLoadCredential=mcpd.compliance-key:/root/key\\n"
    guest.exec("sh", "-c", f"printf '{drop_in}' >/etc/systemd/system/mcpd-rpc.service.d/key.conf")
    guest.exec("systemctl", "daemon-reload")
    guest.exec("systemctl", "stop", "mcpd-rpc.service")
    sealed = guest.request(f"{FOLDER}/encrypt", {"data": "by systemd"}).body["encrypted"]
    guest.exec("sh", "-c", f"echo '{sealed}' >/root/sealed")
    assert guest.status("mcpctl", "compliance", "decrypt", "/root/sealed") == 65
    assert guest.exec("mcpctl", "compliance", "decrypt", "--key", "/root/key", "/root/sealed") == "by systemd"
