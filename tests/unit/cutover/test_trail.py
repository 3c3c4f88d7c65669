"""Switches are noted in mcpd's database, and beside it where that is damaged or gone, until it takes them."""

from __future__ import annotations

import os
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from mcpd.ctl.cutover import trail, unwritten
from mcpd.ctl.cutover.record import Record
from mcpd.errors import ConfigError, Error, StoreUnavailable
from mcpd.legacy import migration
from mcpd.legacy.migration import Job
from mcpd.store.database import Database
from tests.unit.legacy import old


@pytest.fixture
def record(db: Database, path: str) -> Record:
    db.close()
    return Record(Path(path))


def damage(record: Record) -> bytes:
    whole = record.path.read_bytes()
    record.path.write_bytes(os.urandom(len(whole)))
    return whole


def test_a_switch_that_the_database_cannot_take_is_noted_beside_it_until_it_can(record: Record) -> None:
    said: list[str] = []
    cutover = trail.begin(record, "cutover", said.append)
    cutover.change("switched", outage_us=5)
    whole = damage(record)
    back = trail.begin_anyway(record, "rollback", said.append)
    back.change("rolled back", outage_us=7, reason="corruption")
    cutover.change("rolled back", reason="corruption")
    assert len(said) == 2
    assert all(str(record.path.with_name(unwritten.FILE)) in each for each in said)
    last = record.newest()
    assert last is not None
    assert (last.direction, last.state, last.outage_us) == ("rollback", "rolled back", 7)
    record.path.write_bytes(whole)
    assert record.newest() == last
    number = record.begin("forward")
    assert not record.path.with_name(unwritten.FILE).exists()
    with record.opened() as db:
        rows = db.rows("SELECT id, direction, state, outage_us, reason FROM cutovers ORDER BY id")
        topics = [row[0] for row in db.rows("SELECT topic FROM events ORDER BY seq")]
    assert rows == [
        (1, "cutover", "rolled back", 5, "corruption"),
        (2, "rollback", "rolled back", 7, "corruption"),
        (number, "forward", "switching", None, None),
    ]
    names = ["cutover", "switched", "rolled_back", "rolled_back", "forward"]
    assert topics == [f"cutover.{name}" for name in names]


def test_a_way_there_is_not_begun_without_a_note_of_it(record: Record) -> None:
    damage(record)
    with pytest.raises(StoreUnavailable):
        trail.begin(record, "cutover", lambda _: None)
    assert not record.path.with_name(unwritten.FILE).exists()
    with pytest.raises(Error):
        record.newest()


def test_a_directory_that_takes_no_note_does_not_keep_from_going_back() -> None:
    said: list[str] = []
    back = trail.begin_anyway(Record(Path("/nowhere/mcp.db")), "rollback", said.append)
    back.change("rolled back")
    assert [each.partition(":")[0] for each in said[1:]] == ["this switch is noted nowhere"] * 2


def test_the_snapshot_is_found_without_the_database(record: Record, tmp_path: Path) -> None:
    source, snapshots = tmp_path / "mcp_state.db", tmp_path / "legacy"
    for variant in ("a", "c"):
        source.unlink(missing_ok=True)
        old.make(source, variant, rows=3, seed=ord(variant))
        done = migration.run(Job((source,), record.path, ZoneInfo("UTC"), "UTC", snapshots), lambda *_: None)
    newest = done.sources[0]
    expected = (Path(str(newest.snapshot)), str(newest.sha256))
    assert record.snapshot_of(str(source)) == expected
    (snapshots / "migration_7.json").write_text("{")
    for lose in (damage, lambda record: record.path.unlink()):
        lose(record)
        assert record.snapshot_of(str(source)) == expected
        assert record.digest_of(expected[0]) == expected[1]
        assert (record.snapshot_of("/other.db"), record.digest_of(Path("/other.db"))) == (None, None)
    with pytest.raises(ConfigError):
        record.baseline()
