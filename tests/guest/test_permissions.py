"""Every command of mcpctl as somebody who may not: one line that says what to do, never a fault of mcpctl's own."""

from __future__ import annotations

import re
import subprocess

import pytest

from mcpd.ctl.main import COMMANDS

from .machine import GUEST, Guest

BACKUP = "/root/mcp_backup_20260101T000000Z.tar.gz"
OLD = "/root/mcp_state.db"
WHAT_TO_DO = re.compile(
    r"run as root|by sudo|ask root|be root|only root|usermod -aG mcp-admin|root and the user mcpd may"
)

ROOTS = f"""
    backup list
    backup now
    backup now --directory /root/backups
    backup list --directory /root/backups
    backup show
    backup show {BACKUP}
    backup show {BACKUP} testing
    backup verify
    backup verify {BACKUP}
    backup verify {BACKUP}.age --identity /root/key
    backup verify /tmp/mcp_backup.tar.gz.age --identity /root/key
    backup restore {BACKUP}
    backup restore /tmp/mcp_backup.tar.gz
    backup prune
    backup prune --dry-run
    maintenance now
    maintenance status
    baseline
    migrate --from {OLD}
    migrate --from {OLD} --plan
    migrate --from /tmp/mcp_state.db
    migrate --from /tmp/mcp_state.db --plan
    migrate --from /tmp/mcp_state.db --snapshots /root/legacy
    migrate status
    migrate report --reason trouble
    migrate sessions --adopt
    migrate --cutover
    migrate --cutover --watch
    migrate --watch
    rollback
    rollback --to {OLD}
    rollback --forward
    rollback --upgrade
    rollback --upgrade --plan
    agent add docs
    agent limits testing --nice 5
    hooks install --user root
    hooks status --user root
    prompt set review /root/prompt
    compliance export alice --output /root/export
    compliance decrypt /root/export --key /root/key
    config --config /root/mcpd.toml
    backup list --config /root/mcpd.toml
"""
"""What only root may."""

OTHERS = """
    status
    health
    health --config /root/mcpd.toml
    call list_agents
    call log_activity agent=me activity=x category=task
    prompt list
    prompt show review
    prompt remove review
    plugins
    consent list
    consent approve 1
    client list
    client add ci --scope read
    client remove ci
    token list
    token revoke 1
    agent list
    agent show testing
    agent start testing
    agent freeze testing
    agent thaw testing
    agent stop testing
    agent restart testing
    agent remove testing
    attach testing
    capture testing
    send testing hello
    keys testing Enter
    terminals
    waiting
    top --once
    events --limit 1
    backup verify /tmp/mcp_backup.tar.gz
    backup list --directory /tmp
    compliance report gdpr
    compliance consents
    compliance processing
    compliance export alice
    compliance erase alice --yes
    compliance breaches
    compliance breach low 1 email
    compliance retention
    compliance retention --enforce
    migrate sessions
    hooks status
    hooks install
    hooks uninstall
    logs rpc --lines 1
    config
    version
"""


def commands(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip()]


def run(guest: Guest, user: str, words: list[str]) -> subprocess.CompletedProcess[str]:
    command = [str(GUEST), "exec", guest.name, "timeout", "30", "runuser", "-u", user, "--", "mcpctl", *words]
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)


def test_every_command_is_tried() -> None:
    assert {words[0] for words in commands(ROOTS + OTHERS)} == set(COMMANDS)


@pytest.mark.parametrize("user", ["outsider", "member"])
def test_who_may_not_is_told_what_to_do(guest: Guest, user: str) -> None:
    guest.exec("useradd", "--create-home", user)
    if user == "member":
        guest.exec("usermod", "-aG", "mcp-admin", user)
    guest.exec(
        "sh", "-c", f"sqlite3 {OLD} 'create table if not exists activities (id integer primary key, agent text)'"
    )
    guest.exec("sh", "-c", f"mcpctl backup now --directory /root/made && mv /root/made/*.gz {BACKUP}; rm -r /root/made")
    guest.exec("sh", "-c", "for f in mcpd.toml export prompt; do touch /root/$f; done")
    guest.exec("sh", "-c", f"cp {BACKUP} /tmp/mcp_backup.tar.gz; cp {OLD} /tmp/mcp_state.db; chmod 644 /tmp/mcp_*")
    guest.exec("sh", "-c", "rm -f /root/key; age-keygen -o /root/key")
    guest.exec(
        "sh", "-c", "age -e -i /root/key -o /tmp/mcp_backup.tar.gz.age /tmp/mcp_backup.tar.gz; chmod 644 /tmp/*.age"
    )
    wrong = []
    for words in commands(ROOTS + OTHERS):
        done = run(guest, user, words)
        what = f"mcpctl {' '.join(words)}: {done.returncode}: {done.stderr}"
        fault = done.returncode == 70 or "Traceback" in done.stderr or "internal error" in done.stderr
        wordless = done.returncode == 77 and not WHAT_TO_DO.search(done.stderr)
        allowed = done.returncode != 77 and words in commands(ROOTS)
        if fault or wordless or allowed:
            wrong.append(what)
    assert wrong == []
