"""mcpctl migrate as an operator runs it: beside a daemon, killed at any moment, without room, in bounded memory."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mcpd.store import exports
from mcpd.store.database import Database
from tests.functional.conftest import MakeDaemon
from tests.functional.daemon import Daemon
from tests.functional.test_jsonrpc import ask, call
from tests.functional.test_mcpctl import MCPCTL, NOBODY, answer, at, environment, mcpctl
from tests.functional.test_rest import get
from tests.unit.legacy import old
from tests.unit.legacy.conftest import dump

KILLS = int(os.environ.get("MCPD_KILLS", "8"))
"""How many runs are killed; 100 takes some minutes."""


@pytest.fixture
def state(tmp_path: Path) -> list[str]:
    """The options for a database that no daemon uses."""
    directory = tmp_path / "state"
    directory.mkdir()
    config = tmp_path / "mcpd.toml"
    config.write_text(f'[database]\npath = "{directory / "mcp.db"}"\n')
    command = [sys.executable, "-m", "mcpd.daemons.migrate", "--config", str(config)]
    subprocess.run(command, check=True, env=environment(), capture_output=True, timeout=30)
    return ["--config", str(config)]


@pytest.fixture
def target(state: list[str], tmp_path: Path) -> Path:
    return tmp_path / "state" / "mcp.db"


def many(path: Path, rows: int) -> Path:
    """Write a database with *rows* activities, in no time."""
    db = sqlite3.connect(path)
    db.execute(f"CREATE TABLE activities ({old.COLUMNS['complete']['activities']})")
    db.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?) INSERT INTO activities"
        " SELECT printf('%032x', i), 'testing', strftime('%Y-%m-%dT%H:%M:%f', 1758182400 + i, 'unixepoch'),"
        " 'Refactoring the login form #' || i, 'implementation', '{\"priority\": \"medium\"}', 'completed' FROM n",
        (rows,),
    )
    db.commit()
    db.close()
    return path


def count(path: Path, table: str) -> int:
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    found = int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    db.close()
    return found


def test_the_old_data_appears_in_a_running_daemon(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    daemon = make_daemon()
    source = old.make(tmp_path / "mcp_state.db", "a", rows=60)
    assert mcpctl("call", "log_activity", "agent=me", "activity=before", "category=task", *at(daemon)).returncode == 0
    done = mcpctl("migrate", "--from", str(source), "--timezone", "Europe/Rome", *at(daemon))
    assert done.returncode == 0, done.stderr
    assert "Migrated and verified, run 1" in done.stdout
    assert mcpctl("call", "log_activity", "agent=me", "activity=after", "category=task", *at(daemon)).returncode == 0
    status = answer(mcpctl("--json", "status", *at(daemon)))
    assert status["stats"]["total_activities"] == 62
    owner = answer(mcpctl("--json", "call", "find_component_owner", "component=/api/thing3", *at(daemon)))
    assert owner["found"]
    found = mcpctl("--json", "call", "check_conflicts", f'agents=["{owner["owner"]}","me"]', *at(daemon))
    assert answer(found)["success"]


def test_a_time_that_nobody_knows_is_not_made_up(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    source = tmp_path / "mcp_state.db"
    db = sqlite3.connect(source)
    for table in ("agent_states", "components", "activities"):
        db.execute(f"CREATE TABLE {table} ({old.COLUMNS['bridge'][table]})")
    db.execute("CREATE TABLE decisions (id, proposer, decision, created_at)")
    db.execute("CREATE TABLE conflicts (id, agents, issue, resolved, timestamp)")
    db.execute("INSERT INTO agent_states (agent) VALUES ('x')")
    db.execute("INSERT INTO components (id, name, owner) VALUES ('c', 'auth', 'x')")
    db.execute("INSERT INTO decisions VALUES ('d', 'x', 'Go?', NULL)")
    db.execute("INSERT INTO conflicts VALUES ('k', '[\"x\", \"y\"]', 'both', 0, NULL)")
    db.commit()
    db.close()
    daemon = make_daemon()
    assert mcpctl("migrate", "--from", str(source), *at(daemon)).returncode == 0
    work = {"agent": "y", "activity": "auth", "category": "task", "status": "started", "component": "auth"}
    told = [
        *(call(daemon, name, given).json["result"] for name, given in (
            ("log_activity", work), ("check_conflicts", {"agents": ["x", "y"]}),
            ("find_component_owner", {"component": "auth"}),
        )),
        *(get(daemon, f"/api/mcp/{path}").json for path in ("components", "status", "agent-states", "conflicts")),
        *(
            ask(daemon, "resources/read", {"uri": uri}).json["result"]
            for uri in ("agent://x", "config://agents/x", "component://auth")
        ),
    ]  # fmt: skip
    assert [text for text in map(json.dumps, told) if "1970" in text] == []
    [component] = get(daemon, "/api/mcp/components").json
    assert (component["created_at"], component["last_updated"]) == (None, None)
    [conflict] = [found for found in get(daemon, "/api/mcp/conflicts").json if found["conflict_type"] == "recorded"]
    assert conflict["created_at"] is None
    assert told[2] == {"success": True, "found": True, "owner": "x", "status": "active"}
    exported = [row for table in ("agents", "components", "decisions") for row in exports_of(daemon, table)]
    assert [
        row for row in exported if 0 in (row.get("created_us"), row.get("updated_us"), row.get("last_seen_us"))
    ] == []


def exports_of(daemon: Daemon, table: exports.Table) -> list[dict[str, Any]]:
    database = Database(str(daemon.database), read_only=True)
    try:
        return [row for page in exports.pages(database, table, 0) for row in page]
    finally:
        database.close()


def test_status_plan_and_report_as_json(state: list[str], target: Path, tmp_path: Path) -> None:
    source = old.make(tmp_path / "mcp_state.db", "e", rows=30)
    empty = answer(mcpctl("--json", "migrate", "status", *state))
    assert empty == {
        "running": False,
        "rows": {},
        "set_aside": [],
        "runs": [],
        "cutovers": [],
        "baselines": {"legacy": None, "mcpd": None},
    }
    before = dump(target)
    plan = answer(mcpctl("--json", "migrate", "--from", str(source), "--plan", *state))
    assert {table["table"]: table["rows"] for table in plan["sources"][0]["tables"]}["activities"] == 30
    assert plan["free_bytes"] > plan["needed_bytes"]
    assert dump(target) == before
    report = answer(mcpctl("--json", "migrate", "--from", str(source), *state))
    assert (report["run"], report["changed"]) == (1, True)
    assert json.loads(Path(report["report"]).read_text()) == report
    assert answer(mcpctl("--json", "migrate", "--from", str(source), *state))["changed"] is False
    status = answer(mcpctl("--json", "migrate", "status", *state))
    assert status["runs"] == [report]
    assert sum(status["rows"].values()) == sum(len(rows) for rows in old.read(source).values())
    for words in (["status"], ["--from", str(source)], ["--from", str(source), "--plan"]):
        shown = mcpctl("migrate", *words, *state)
        assert (shown.returncode, "activities" in shown.stdout) == (0, True)


def test_the_time_zone_of_a_file_is_known_the_next_time(state: list[str], target: Path, tmp_path: Path) -> None:
    source, other = tmp_path / "mcp_state.db", tmp_path / "mcp_system.db"
    for path in (source, other):
        many(path, 1)
    zone = ["--timezone", "America/New_York"]
    assert mcpctl("migrate", "--from", str(source), *zone, *state).returncode == 0
    db = sqlite3.connect(source)
    db.execute("INSERT INTO activities VALUES ('new', 'a', '2025-09-18T10:00:00', 'new', 'task', NULL, NULL)")
    db.commit()
    db.close()
    plan = answer(mcpctl("--json", "migrate", "--from", str(source), "--plan", *state))
    assert (plan["timezone"], plan["timezone_from"]) == ("America/New_York", "last run")
    done = mcpctl("migrate", "--from", str(source), *state)
    assert "as the last run read them" in done.stdout
    db = sqlite3.connect(target)
    assert db.execute("SELECT timestamp FROM activities WHERE activity = 'new'").fetchall() == [
        ("2025-09-18 14:00:00.000",)
    ]
    db.close()
    assert answer(mcpctl("--json", "migrate", "--from", str(other), "--plan", *state))["timezone_from"] == "machine"
    db = sqlite3.connect(other)
    db.execute("UPDATE activities SET activity = 'other'")
    db.commit()
    db.close()
    assert mcpctl("migrate", "--from", str(other), "--timezone", "Europe/Rome", *state).returncode == 0
    done = mcpctl("migrate", "--from", str(source), "--from", str(other), *state)
    assert (done.returncode, "mcp_state.db in America/New_York" in done.stderr) == (64, True), done.stderr


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 64, "which database?"),
        (["status", "--plan"], 64, "takes no such options"),
        (["--from", "/nowhere/mcp_state.db"], 64, "/nowhere/mcp_state.db: there is no such file"),
        (["--from", "/"], 64, "is a directory"),
        (["--from", "/dev/zero"], 64, "is not a regular file"),
        (["--from", "/etc/passwd"], 65, "/etc/passwd: is not an SQLite database"),
        (["--from", "/etc/passwd", "--timezone", "Mars/Base"], 64, "--timezone Mars/Base: there is no such time zone"),
        (["--from", "/etc/passwd", "--timezone", "../../etc/passwd"], 64, "there is no such time zone"),
        (["--from", "/etc/passwd", "--snapshots", "/nowhere/at/all"], 64, "there is no directory /nowhere/at"),
        (["restart"], 64, "invalid choice"),
    ],
)
def test_a_wrong_command_line_is_told_what_is_wrong(words: list[str], status: int, said: str, state: list[str]) -> None:
    done = mcpctl("migrate", *words, *state)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr
    as_json = json.loads(mcpctl("--json", "migrate", *words, *state).stdout)
    assert as_json["error"]["exit_status"] == status


def test_who_may_not_is_told_what_to_do(state: list[str], target: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    source = old.make(tmp_path / "mcp_state.db", "a", rows=3)
    for path in (tmp_path, *tmp_path.parents):
        if path.stat().st_mode & 0o001 == 0:
            path.chmod(path.stat().st_mode | 0o055)
    done = mcpctl("migrate", "--from", str(source), *state, user=NOBODY)
    assert (done.returncode, "run as root" in done.stderr) == (77, True), done.stderr
    source.chmod(0o600)
    done = mcpctl("migrate", "--from", str(source), *state, user=NOBODY)
    assert (done.returncode, "run as root" in done.stderr) == (77, True), done.stderr


def test_what_root_migrates_belongs_to_the_daemons_user(state: list[str], target: Path, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    for path in (target.parent, target):
        os.chown(path, NOBODY, NOBODY)
    source = old.make(tmp_path / "mcp_state.db", "a", rows=3)
    assert mcpctl("migrate", "--from", str(source), *state).returncode == 0
    owners = {path: path.stat().st_uid for path in (target.parent, *target.parent.rglob("*"))}
    assert set(owners.values()) == {NOBODY}, owners


def test_somebody_elses_database_in_tmp_is_read_while_it_is_written(state: list[str], tmp_path: Path) -> None:
    """The kernel keeps even root from opening others' files in /tmp for writing (fs.protected_regular)."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    source = Path(f"/tmp/mcpd-test-{os.getpid()}.db")
    script = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('PRAGMA journal_mode = WAL');"
        "db.execute('CREATE TABLE activities (id, agent, timestamp, activity)');"
        "db.execute(\"INSERT INTO activities VALUES (1, 'x', '2025-01-01 00:00:00', 'y')\"); db.commit();"
        "print('ready', flush=True); sys.stdin.read()"
    )
    command = ["/usr/bin/env", "python3", "-c", script, str(source)]
    writer = subprocess.Popen(command, user=NOBODY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        plan = answer(mcpctl("--json", "migrate", "--from", str(source), "--plan", *state))
        assert [found["pid"] for found in plan["sources"][0]["writers"]] == [writer.pid]
        report = answer(mcpctl("--json", "migrate", "--from", str(source), *state))
        assert report["sources"][0]["tables"][0]["migrated"] == 1
    finally:
        writer.communicate(timeout=10)
        for suffix in ("", "-wal", "-shm"):
            Path(f"{source}{suffix}").unlink(missing_ok=True)


def test_who_looks_on_sees_how_far_it_is(state: list[str], tmp_path: Path) -> None:
    source = many(tmp_path / "mcp_state.db", 20_000)
    ours, theirs = pty.openpty()
    command = [*MCPCTL, "migrate", "--from", str(source), *state]
    with subprocess.Popen(
        command, env=environment() | {"TERM": "xterm"}, stdout=subprocess.DEVNULL, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(ours, 65536):
                shown += part
    os.close(ours)
    assert process.returncode == 0
    assert "rows of mcp_state.db" in shown.decode()
    assert "%" in shown.decode()


def test_killed_at_any_moment_it_has_done_all_or_nothing(state: list[str], target: Path, tmp_path: Path) -> None:
    source = many(tmp_path / "mcp_state.db", 20_000)
    before = dump(target)
    command = [*MCPCTL, "--json", "migrate", "--from", str(source), *state]
    chance = random.Random()
    longest_s = 0.2
    finished = 0
    for _ in range(KILLS):
        started_s = time.monotonic()
        process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            process.wait(chance.uniform(0.1, 1.2 * longest_s) if finished else longest_s * chance.uniform(1, 3))
        except subprocess.TimeoutExpired:
            longest_s = max(longest_s, time.monotonic() - started_s)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if count(target, "legacy_rows"):
            finished += 1
            assert (count(target, "activities"), count(target, "legacy_rows")) == (20_000, 20_000)
            assert_sound(target)
            restore(target, before)
        else:
            assert dump(target) == before
    done = mcpctl("--json", "migrate", "--from", str(source), *state)
    assert answer(done)["sources"][0]["tables"][0]["migrated"] == 20_000
    assert list(target.parent.glob(".mcpd-*")) == list((target.parent / "legacy").glob(".mcpd-*")) == []
    assert_sound(target)


def assert_sound(path: Path) -> None:
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()


def restore(target: Path, before: list[tuple[Any, ...]]) -> None:
    """Take back what the migration brought, so that the next one has it before it again."""
    db = sqlite3.connect(target)
    for table in ("legacy_rows", "migration_sources", "migration_runs", "activities", "events", "audit"):
        db.execute(f"DELETE FROM {table}")
    db.execute("DELETE FROM sqlite_sequence")
    db.commit()
    db.close()
    assert dump(target) == [row for row in before if row[0] != "sqlite_sequence"]


@pytest.mark.parametrize("size_kib", [64, 600, 3_000, 6_000])
def test_without_room_nothing_is_changed(size_kib: int, state: list[str], target: Path, tmp_path: Path) -> None:
    """The limit on a file's size meets the snapshot, the stage or the write-ahead log, as a full disk would."""
    source = many(tmp_path / "mcp_state.db", 12_000)
    before = dump(target)
    limit = size_kib * 1024

    def small() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [*MCPCTL, "migrate", "--from", str(source), *state]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, preexec_fn=small, check=False)
    assert "Traceback" not in done.stderr
    assert (done.returncode, "nothing was changed" in done.stderr) == (75, True), done.stderr
    assert dump(target) == before
    assert list(target.parent.glob(".mcpd-*")) == list((target.parent / "legacy").iterdir()) == []


def test_memory_does_not_grow_with_the_source(state: list[str], tmp_path: Path) -> None:
    def peak_mib(rows: int) -> float:
        source = many(tmp_path / f"{rows}.db", rows)
        command = [*MCPCTL, "--json", "migrate", "--from", str(source), *state]
        process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return used.ru_maxrss / 1024

    few, lots = peak_mib(1_000), peak_mib(150_000)
    assert lots < few + 64, (few, lots)


def test_a_daemon_that_writes_goes_on(make_daemon: MakeDaemon, tmp_path: Path) -> None:
    daemon = make_daemon()
    source = many(tmp_path / "mcp_state.db", 20_000)
    command = [*MCPCTL, "--json", "migrate", "--from", str(source), *at(daemon)]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    written = 0
    while process.poll() is None:
        done = mcpctl("call", "log_activity", "agent=me", "activity=x", "category=task", *at(daemon))
        assert done.returncode == 0, done.stderr
        written += 1
    assert process.stdout is not None
    assert json.loads(process.stdout.read())["changed"]
    assert written > 0
    assert count(daemon.database, "activities") == 20_000 + written
    assert isinstance(daemon, Daemon)
