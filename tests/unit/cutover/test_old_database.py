"""The old system's database: what counts as damage, and that nothing is lost when another one takes its place."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mcpd import files
from mcpd.config import Legacy
from mcpd.ctl.cutover import old_database
from mcpd.errors import EX_TEMPFAIL, SourceBusy, SourceDamaged, SourceUnusable, StoreUnavailable, UsageError

DIE_IN_TRANSACTION = """
db.execute("PRAGMA cache_size = 1")
db.execute("BEGIN")
db.execute("UPDATE activities SET activity = hex(randomblob(5000))")
os.kill(os.getpid(), 9)
"""
HOLD = """
db.execute("BEGIN EXCLUSIVE")
print("ready", flush=True)
time.sleep(100)
"""
RESTORE_AND_DIE = """
import os, sys
from pathlib import Path
from mcpd.config import Legacy
from mcpd.ctl.cutover import old_database
steps = 0
def step(event, _arguments):
    global steps
    if event.startswith("os.") and event != "os.putenv":
        steps += 1
        if steps == int(sys.argv[4]):
            os.kill(os.getpid(), 9)
legacy = Legacy(sys.argv[2], ("server.py",), sys.argv[3])
sys.addaudithook(step)
old_database.restore(Path(sys.argv[1]), legacy)
"""


def database(path: Path, rows: int, table: str = "activities") -> Path:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, agent TEXT, activity TEXT)")
        connection.executemany(f"INSERT INTO {table} VALUES (?, 'a', 'x')", [(n,) for n in range(rows)])
    connection.close()
    return path


def count(path: Path | str) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM activities").fetchone()[0])
    finally:
        connection.close()


@contextmanager
def writing(path: Path, work: str) -> Iterator[subprocess.Popen[str]]:
    """Let another process do *work* with the database for the block."""
    script = f"import os, sqlite3, time\ndb = sqlite3.connect({str(path)!r}, isolation_level=None)\n{work}"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_a_database_is_whole_empty_damaged_or_missing(tmp_path: Path) -> None:
    path = tmp_path / "mcp_state.db"
    assert old_database.look(path) == "missing"
    path.touch()
    assert old_database.look(path) == "empty", "what a hook's CREATE TABLE makes where there was none"
    database(path, 0)
    assert old_database.look(path) == "empty"
    path.unlink()
    database(path, 5000)
    assert old_database.look(path) == "whole"
    content = path.read_bytes()
    for damaged in (b"none at all", os.urandom(len(content)), content[:4096] + os.urandom(len(content) - 4096)):
        path.write_bytes(damaged)
        assert old_database.look(path) == "damaged"


def test_a_database_that_is_written_is_not_damaged_and_its_writer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcpd.store.foreign._BUSY_TIMEOUT_MS", 50)
    path = database(tmp_path / "mcp_state.db", 3)
    with writing(path, HOLD) as writer, pytest.raises(SourceBusy, match=rf"\(pid {writer.pid}\); try again") as caught:
        old_database.look(path)
    assert not isinstance(caught.value, SourceDamaged)
    assert caught.value.exit_status == EX_TEMPFAIL


def test_a_transaction_that_a_dead_writer_left_does_not_damage_a_database(tmp_path: Path) -> None:
    path = database(tmp_path / "mcp_state.db", 300)
    with writing(path, DIE_IN_TRANSACTION):
        pass
    before = (path.read_bytes(), Path(f"{path}-journal").read_bytes())
    assert old_database.look(path) == "whole"
    assert (path.read_bytes(), Path(f"{path}-journal").read_bytes()) == before
    assert sorted(each.name for each in tmp_path.iterdir()) == [path.name, f"{path.name}-journal"]


def test_what_cannot_be_read_is_not_damaged(tmp_path: Path) -> None:
    with pytest.raises(SourceUnusable) as caught:
        old_database.look(tmp_path)
    assert not isinstance(caught.value, SourceDamaged)


def test_a_snapshot_is_whole_of_the_old_system_and_the_one_that_was_made(tmp_path: Path, path: str, db: object) -> None:
    snapshot = database(tmp_path / "snapshot.db", 3)
    old_database.verify(snapshot, files.sha256(snapshot))
    old_database.verify(snapshot, None)
    with pytest.raises(SourceUnusable, match="SHA-256 differs"):
        old_database.verify(snapshot, "0" * 64)
    with pytest.raises(SourceUnusable, match="none of its tables is there"):
        old_database.verify(database(tmp_path / "other.db", 3, "foo"), None)
    with pytest.raises(SourceUnusable, match="is mcpd's own database"):
        old_database.verify(Path(path), None)
    with pytest.raises(UsageError, match="there is no such file"):
        old_database.verify(tmp_path / "missing.db", None)
    snapshot.write_bytes(b"none")
    with pytest.raises(SourceDamaged):
        old_database.verify(snapshot, None)


def test_a_restored_database_takes_the_place_of_one_that_is_kept(legacy: Legacy, tmp_path: Path) -> None:
    snapshot = database(tmp_path / "snapshot.db", 3)
    assert old_database.restore(snapshot, legacy) is None
    assert count(legacy.database) == 3
    connection = sqlite3.connect(legacy.database, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("INSERT INTO activities VALUES (99, 'a', 'x')")
    kept = old_database.restore(snapshot, legacy)
    assert kept is not None
    assert (count(legacy.database), count(kept)) == (3, 4)
    connection.close()
    assert count(snapshot) == 3
    old_database.take_back(kept, legacy)
    assert (count(legacy.database), kept.exists()) == (4, False)


def test_rows_in_the_write_ahead_log_of_a_snapshot_are_restored(legacy: Legacy, tmp_path: Path) -> None:
    snapshot = database(tmp_path / "snapshot.db", 3)
    connection = sqlite3.connect(snapshot, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("INSERT INTO activities VALUES (99, 'a', 'x')")
    old_database.restore(snapshot, legacy)
    assert count(legacy.database) == 4
    connection.close()


def test_a_restore_that_is_killed_anywhere_leaves_a_whole_database(legacy: Legacy, tmp_path: Path) -> None:
    snapshot, path = database(tmp_path / "snapshot.db", 3), database(Path(legacy.database), 5)
    killed = 0
    for step in range(1, 100):
        words = ("-c", RESTORE_AND_DIE, str(snapshot), legacy.directory, str(path), str(step))
        done = subprocess.run([sys.executable, *words], check=False)
        assert path.exists(), f"killed at step {step}"
        assert count(path) in (3, 5)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        killed += 1
    assert (done.returncode, count(path)) == (0, 3)
    assert killed >= 5


def test_a_disk_that_takes_no_more_is_an_error(legacy: Legacy, tmp_path: Path) -> None:
    snapshot = database(tmp_path / "snapshot.db", 3)
    files.partial(Path(legacy.database)).mkdir()
    with pytest.raises(StoreUnavailable, match=r"mcp_state\.db"):
        old_database.restore(snapshot, legacy)
