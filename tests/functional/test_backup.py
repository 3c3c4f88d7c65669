"""mcpctl backup as an operator runs it: beside a daemon that writes, killed at any moment, in and out again."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from mcpd.backup import archive, backups, proof
from mcpd.store import events
from mcpd.store.database import Database
from tests.functional.conftest import UNLIMITED, MakeDaemon
from tests.functional.test_mcpctl import MCPCTL, NOBODY, answer, at, environment, mcpctl
from tests.functional.test_migrate import KILLS, count, many
from tests.functional.writer import writing
from tests.unit.legacy.conftest import dump, dump_before


def test_every_write_acknowledged_before_is_in_the_backup(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    daemon = make_daemon()
    directory = tmp_path / "backups"
    acknowledged: list[int] = []
    enough, stop = threading.Event(), threading.Event()

    def write() -> None:
        arguments = {"agent": "me", "activity": "x", "category": "task"}
        params = {"name": "log_activity", "arguments": arguments}
        while not stop.is_set():
            reply = daemon.post("/jsonrpc", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
            acknowledged.append(reply.json["result"]["id"])
            if len(acknowledged) == 50:
                enough.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert enough.wait(20)
        before = acknowledged[-1]
        made = answer(mcpctl("--json", "backup", "now", "--directory", str(directory), *at(daemon)))
    finally:
        stop.set()
        writer.join()
    assert acknowledged[-1] > before
    with tempfile.TemporaryDirectory() as scratch:
        archive.unpack(Path(made["path"]), Path(scratch))
        assert count(Path(scratch) / "mcp.db", f"activities WHERE id <= {before}") == before
    assert made["rows"]["activities"] < acknowledged[-1]
    refused = mcpctl("backup", "restore", made["path"], *at(daemon))
    assert (refused.returncode, "systemctl stop mcp.target" in refused.stderr) == (75, True)
    daemon.stop()
    restored = answer(mcpctl("--json", "backup", "restore", made["path"], *at(daemon)))
    assert count(daemon.database, "activities") == made["rows"]["activities"]
    assert count(Path(restored["replaced"]), "activities") == acknowledged[-1]
    daemon.start()
    assert answer(mcpctl("--json", "status", *at(daemon)))["stats"]["total_activities"] == made["rows"]["activities"]


def test_what_a_thousand_writes_a_second_had_answered_before_is_in_the_backup_which_is_of_one_moment(
    make_daemon: MakeDaemon, tmp_path: Path
) -> None:
    daemon = make_daemon(UNLIMITED)
    with writing(daemon.port, 1000) as written:
        began_ns = time.monotonic_ns()
        made = answer(mcpctl("--json", "backup", "now", "--directory", str(tmp_path / "backups"), *at(daemon)))
        ended_ns = time.monotonic_ns()
    assert (written.failed, written.per_s(began_ns, ended_ns) > 0) == ([], True)
    daemon.stop()
    answer(mcpctl("--json", "backup", "restore", made["path"], *at(daemon)))
    db = sqlite3.connect(daemon.database)
    restored = {number for (number,) in db.execute("SELECT id FROM activities")}
    acknowledged = written.before(began_ns)
    assert len(acknowledged) >= 200
    assert acknowledged <= restored
    assert restored == set(range(1, len(restored) + 1)), "each write has the one before it"
    audited = db.execute("SELECT count(*) FROM audit WHERE resource = 'log_activity'").fetchone()[0]
    assert audited == len(restored), "what was committed together is there together"
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()


@pytest.fixture
def options(make_daemon: MakeDaemon, tmp_path: Path) -> list[str]:
    """The options for a database that no daemon uses any more."""
    daemon = make_daemon()
    daemon.stop()
    return ["--config", str(daemon.config)]


@pytest.fixture
def database(options: list[str]) -> Path:
    return Path(options[1]).with_name("mcp.db")


def test_backups_are_listed_verified_and_pruned(options: list[str], tmp_path: Path) -> None:
    where = ["--directory", str(tmp_path / "backups")]
    assert answer(mcpctl("--json", "backup", "list", *where, *options)) == []
    made = answer(mcpctl("--json", "backup", "now", *where, *options))
    assert answer(mcpctl("--json", "backup", "list", *where, *options)) == [made]
    assert answer(mcpctl("--json", "backup", "verify", *where, *options)) == made
    assert answer(mcpctl("--json", "backup", "verify", made["path"], *options)) == made
    broken = tmp_path / "backups" / "mcp_backup_20200101T000000Z.tar.gz"
    broken.write_bytes(b"broken")
    listed = answer(mcpctl("--json", "backup", "list", *where, *options))
    assert (listed[0], listed[1]["path"], "is not a backup" in listed[1]["error"]) == (made, str(broken), True)
    assert "is not a backup" in mcpctl("backup", "list", *where, *options).stdout
    broken.unlink()
    assert answer(mcpctl("--json", "backup", "prune", *where, *options)) == {
        "dry_run": False, "removed": [], "unusable": {},
    }  # fmt: skip
    for words, said in [("list", made["mcpd_version"]), ("verify", "is whole"), ("prune --dry-run", "nothing to")]:
        shown = mcpctl("backup", *words.split(), *where, *options)
        assert (shown.returncode, said in shown.stdout) == (0, True)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["restore"], 64, "which backup?"),
        (["now", "file"], 64, "takes no FILE"),
        (["now", "--dry-run"], 64, "takes no --dry-run"),
        (["verify", "--directory", "/nowhere"], 64, "there are no backups in /nowhere"),
        (["verify", "/nowhere/x.tar.gz"], 65, "/nowhere/x.tar.gz: No such file"),
        (["restore", "/etc/passwd"], 65, "/etc/passwd: is not a backup"),
        (["restore", "/etc"], 65, "/etc: Is a directory"),
        (["now", "--directory", "/nowhere/at/all"], 75, "/nowhere/at/all: No such file"),
    ],
)
def test_what_is_wrong_is_said(words: list[str], status: int, said: str, options: list[str]) -> None:
    done = mcpctl("backup", *words, *options)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr


def test_who_may_not_is_told_what_to_do(options: list[str], tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_mode & 0o001 == 0:
            path.chmod(path.stat().st_mode | 0o055)
    done = mcpctl("backup", "now", "--directory", str(tmp_path / "b"), *options, user=NOBODY)
    assert (done.returncode, "run as root" in done.stderr) == (77, True), done.stderr
    where = ["--directory", str(tmp_path / "backups")]
    made = answer(mcpctl("--json", "backup", "now", *where, *options))["path"]
    directory = Path(made).parent
    key = tmp_path / "key"
    key.touch(0o600)
    for path in (directory, *directory.iterdir()):
        path.chmod(0o700 if path.is_dir() else 0o600)

    def refused(*words: str) -> None:
        done = mcpctl("backup", *words, *options, user=NOBODY)
        assert (done.returncode, "run as root, by sudo" in done.stderr) == (77, True), (words, done.stderr)

    for words in ("list", "now", "show", "verify", "prune", "prune --dry-run"):
        refused(*words.split(), *where)
    directory.chmod(0o755)
    refused("show", made)
    refused("verify", made)
    proof.path_of(Path(made)).unlink()
    refused("verify", made)
    Path(made).rename(f"{made}.age")
    refused("verify", f"{made}.age", "--identity", str(key))
    (entry,) = answer(mcpctl("--json", "backup", "list", *where, *options, user=NOBODY))
    assert entry == {"path": f"{made}.age", "error": f"{made}.age: Permission denied; run as root, by sudo"}


def test_a_backup_without_room_says_where_there_is_none(options: list[str], database: Path, tmp_path: Path) -> None:
    def small() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    directory = tmp_path / "full"
    command = [*MCPCTL, "backup", "now", "--directory", str(directory), *options]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, preexec_fn=small, check=False)
    assert done.returncode == 75
    assert done.stderr.startswith(f"mcpctl: {directory}/")
    assert f"the copy of {database} cannot be written: the disk is full or failing" in done.stderr
    assert list(directory.iterdir()) == []


def test_the_units_backup_that_may_not_says_so_in_one_line(options: list[str], database: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_mode & 0o001 == 0:
            path.chmod(path.stat().st_mode | 0o055)
    directory = tmp_path / "backups"
    directory.mkdir(mode=0o700)
    for path in (database.parent, *database.parent.iterdir()):
        os.chown(path, NOBODY, NOBODY)
    with Path(options[1]).open("a") as file:
        file.write(f'[backup]\ndirectory = "{directory}"\n')
    command = [sys.executable, "-m", "mcpd.daemons.backup", *options]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, user=NOBODY, check=False)
    assert (done.returncode, done.stderr) == (77, f"<3>{directory}: Permission denied; run as root, by sudo\n")
    variables = environment() | {"SERVICE_RESULT": "exit-code", "EXIT_STATUS": "77"}
    done = subprocess.run(
        [*command, "--alert"], env=variables, capture_output=True, text=True, user=NOBODY, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    db = sqlite3.connect(database)
    told = db.execute("SELECT topic, data FROM events ORDER BY seq").fetchall()
    db.close()
    assert [topic for topic, _ in told] == ["backup.failed", "alert.raised"]
    assert f"the newest backup is not to be found: {directory}: Permission denied" in told[1][1]


@pytest.mark.parametrize(
    ("result", "status", "topics"),
    [
        ("success", "0", []),
        ("exit-code", "75", ["alert.raised"]),
        ("oom-kill", "KILL", ["backup.failed", "alert.raised"]),
    ],
)
def test_the_unit_has_an_alert_left_when_it_has_failed(
    result: str, status: str, topics: list[str], options: list[str], database: Path
) -> None:
    command = [sys.executable, "-m", "mcpd.daemons.backup", "--alert", *options]
    variables = environment() | {"SERVICE_RESULT": result, "EXIT_STATUS": status}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    said = f"<1>mcpd-backup failed: {result} ({status}); mcpctl logs backup says why\n"
    assert done.stderr == (said if topics else "")
    db = sqlite3.connect(database)
    assert [topic for (topic,) in db.execute("SELECT topic FROM events ORDER BY seq")] == topics
    db.close()


def newest(database: Path) -> int:
    """The last number of an event."""
    db = Database(str(database), read_only=True)
    try:
        return events.newest(db)
    finally:
        db.close()


def killed(words: list[str], after_s: float) -> bool:
    """Run mcpctl and kill it after a while; return whether it was done before."""
    process = subprocess.Popen([*MCPCTL, *words], env=environment(), stdout=subprocess.DEVNULL)
    try:
        return process.wait(after_s) == 0
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return False


def test_killed_at_any_moment_there_are_only_whole_backups_and_whole_databases(
    options: list[str], database: Path, tmp_path: Path
) -> None:
    source, directory = many(tmp_path / "mcp_state.db", 5_000), tmp_path / "backups"
    empty = answer(mcpctl("--json", "backup", "now", "--directory", str(tmp_path / "empty"), *options))["path"]
    assert mcpctl("migrate", "--from", str(source), *options).returncode == 0
    states = [dump_before(database)]
    full = answer(mcpctl("--json", "backup", "now", "--directory", str(tmp_path / "full"), *options))["path"]
    assert mcpctl("backup", "restore", empty, *options).returncode == 0
    states.append(dump_before(database))
    chance, last = random.Random(), newest(database)
    for number in range(KILLS):
        before = dump(database)
        killed(["backup", "now", "--directory", str(directory), *options], chance.uniform(0.1, 0.6))
        assert dump(database) == before
        for path in backups.all_of(directory):
            backups.verify(path)
        killed(["backup", "restore", (full, empty)[number % 2], *options], chance.uniform(0.1, 0.6))
        assert dump_before(database) in states
        before_it, last = last, newest(database)
        assert last >= before_it, "a number is given again"
    assert mcpctl("backup", "restore", full, *options).returncode == 0
    assert dump_before(database) == states[0]
    assert newest(database) == last + 1
    assert list(database.parent.glob(".mcpd-*")) == []
