"""Snapshots from before upgrades: taken beside a writer, whole or not at all, few, and known to be what they were."""

from __future__ import annotations

import shutil
import sqlite3
from collections import namedtuple
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from mcpd import files
from mcpd.backup import upgrades
from mcpd.backup.upgrades import Snapshot
from mcpd.errors import SourceUnusable, StoreUnavailable
from mcpd.store import activities, schema
from mcpd.store.database import Database
from tests.unit.legacy.conftest import dump

NEWEST = schema.migrations()[-1].version


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "mcp.db"
    db = Database(str(path))
    schema.migrate(db, 1)
    add(db, 20)
    db.close()
    return path


def add(db: Database, count: int) -> None:
    for number in range(count):
        activities.add(db, number, "a", f"activity {number}", "task", "completed", None)


def take(database: Path, version: str = "1.0-1", before: str = "1.1-1", keep: int = 3) -> Snapshot:
    made = upgrades.take(database, version, before, keep)
    assert made is not None
    return made


def test_a_snapshot_is_what_was_there_and_says_so(database: Path) -> None:
    db = Database(str(database))
    add(db, 5)  # still in the write-ahead log of one who has it open
    made = take(database)
    assert (made.version, made.before, made.schema_version, made.rows["activities"]) == ("1.0-1", "1.1-1", NEWEST, 25)
    assert dump(made.path) == dump(database)
    assert made.path.stat().st_mode & 0o777 == 0o640
    assert upgrades.all_of(database) == [made]
    upgrades.verify(made)
    add(db, 7)
    assert upgrades.written_since(made, database) == {"activities": 7}
    db.close()


def test_few_are_kept_and_the_newest_comes_first(database: Path) -> None:
    made = [take(database, f"1.{number}-1", keep=2) for number in range(4)]
    assert {snapshot.version for snapshot in upgrades.all_of(database)} == {"1.2-1", "1.3-1"}
    assert len(list(upgrades.directory_of(database).iterdir())) == 4
    assert not made[0].path.exists()
    assert upgrades.take(database, "2", "3", 0) is None
    assert upgrades.take(database.with_name("none.db"), "2", "3", 3) is None


@pytest.mark.parametrize("version", ["1:2.0~rc1+dfsg-1", "../../etc/passwd", "", "x y\n"])
def test_a_version_makes_no_other_path(database: Path, version: str) -> None:
    made = take(database, version)
    assert (made.path.parent, made.version) == (upgrades.directory_of(database), version)
    assert upgrades.all_of(database) == [made]


def test_what_a_killed_run_left_is_removed(database: Path) -> None:
    first = take(database)
    folder = upgrades.directory_of(database)
    left = [folder / f"{files.PARTIAL}x.db", folder / "mcp-1-2.db", folder / "mcp-1-2.db-journal"]
    for path in left:
        path.write_bytes(b"x")
    second = take(database, "1.1-1")
    assert not any(path.exists() for path in left)
    assert {snapshot.path for snapshot in upgrades.all_of(database)} == {first.path, second.path}


def test_a_snapshot_that_changed_is_refused(database: Path) -> None:
    made = take(database)
    with pytest.raises(SourceUnusable, match="not the rows or the schema"):
        upgrades.verify(msgspec.structs.replace(made, rows={}))
    content = bytearray(made.path.read_bytes())
    content[-1] ^= 1
    made.path.write_bytes(content)
    with pytest.raises(SourceUnusable, match="its SHA-256 differs"):
        upgrades.verify(made)
    made.path.with_suffix(".json").write_text("{}")
    assert upgrades.all_of(database) == []


def test_a_damaged_or_foreign_database_gives_no_snapshot(database: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    sqlite3.connect(foreign).execute("CREATE TABLE t (x)").connection.close()
    with pytest.raises(SourceUnusable, match="was not made by mcpd"):
        upgrades.take(foreign, "1", "2", 3)
    database.write_bytes(database.read_bytes()[:20_000])
    with pytest.raises(SourceUnusable):
        upgrades.take(database, "1", "2", 3)
    assert upgrades.all_of(database) == []


def test_without_room_there_is_none_and_it_says_what_to_do(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1 << 30, 1 << 30, 1 << 20))
    with pytest.raises(StoreUnavailable, match=r"1 MiB are free; make room, or set backup\.keep_upgrades = 0"):
        take(database)


def test_only_a_fresh_snapshot_of_the_same_schema_covers_the_database(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not upgrades.is_covered(database, NEWEST)
    take(database)
    assert upgrades.is_covered(database, NEWEST)
    assert not upgrades.is_covered(database, NEWEST - 1)
    monkeypatch.setattr(upgrades, "_FRESH", timedelta(0))
    assert not upgrades.is_covered(database, NEWEST)
