"""The old system: where it is, its database, and what is kept when that is replaced."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from mcpd import files
from mcpd.config import Legacy
from mcpd.ctl.cutover import old, switching
from mcpd.errors import ConfigError, SourceUnusable


@pytest.fixture
def legacy(tmp_path: Path) -> Legacy:
    directory = tmp_path / "old"
    directory.mkdir()
    (directory / "server.py").touch()
    return Legacy(str(directory), ("server.py",), str(tmp_path / "mcp_state.db"))


def database(path: Path, rows: int) -> Path:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE activities (id INTEGER PRIMARY KEY)")
        connection.executemany("INSERT INTO activities VALUES (?)", [(n,) for n in range(rows)])
    connection.close()
    return path


def count(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return int(connection.execute("SELECT count(*) FROM activities").fetchone()[0])
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("legacy", "said"),
    [
        (Legacy(), "is not set"),
        (Legacy("/nowhere"), "/nowhere: there is no such file"),
        (Legacy("/", ("server.py",)), "/server.py: there is no such file"),
        (Legacy("relative"), "there is no such file"),
        (Legacy("/", ()), "is empty"),
    ],
)
def test_an_old_system_that_is_not_there_is_an_error_of_the_configuration(legacy: Legacy, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        old.check(legacy)


def test_systemd_is_told_of_exactly_the_scripts_that_are_configured(
    legacy: Legacy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    wants = tmp_path / "wants"
    wants.mkdir()
    (wants / "mcp-legacy@gone.py.service").symlink_to("/dev/null")
    monkeypatch.setattr(old, "DROP_IN", tmp_path / "x.d" / "50-mcpctl.conf")
    monkeypatch.setattr(old, "_WANTS", wants)
    monkeypatch.setattr(switching, "systemctl", lambda *words: asked.append(words))
    old.install(legacy)
    assert f"WorkingDirectory={legacy.directory}\nUser={'root' if os.geteuid() == 0 else ''}" in old.DROP_IN.read_text()
    assert list(wants.iterdir()) == []
    assert asked == [("daemon-reload",), ("enable", "mcp-legacy@server.py.service")]


def test_a_restored_database_takes_the_place_of_one_that_is_kept(legacy: Legacy, tmp_path: Path) -> None:
    snapshot = database(tmp_path / "snapshot.db", 3)
    assert old.restore(snapshot, legacy) is None
    assert count(Path(legacy.database)) == 3
    connection = sqlite3.connect(legacy.database, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("INSERT INTO activities VALUES (99)")
    kept = old.restore(snapshot, legacy)
    assert kept is not None
    assert (count(Path(legacy.database)), count(kept)) == (3, 4)
    connection.close()
    assert count(snapshot) == 3


def test_a_snapshot_is_whole_and_the_one_that_was_made(tmp_path: Path) -> None:
    snapshot = database(tmp_path / "snapshot.db", 3)
    old.verify(snapshot, files.sha256(snapshot))
    old.verify(snapshot, None)
    assert old.is_sound(snapshot)
    with pytest.raises(SourceUnusable, match="SHA-256 differs"):
        old.verify(snapshot, "0" * 64)
    snapshot.write_bytes(b"none")
    assert not old.is_sound(snapshot)
    assert not old.is_sound(tmp_path / "missing.db")
