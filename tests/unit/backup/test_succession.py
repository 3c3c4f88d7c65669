"""A restored database goes on with numbers that no event ever had."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mcpd.backup import backups
from mcpd.errors import StoreUnavailable
from mcpd.protocol import events as catalogue
from mcpd.store import events, removal, schema, succession
from mcpd.store.database import Database
from mcpd.store.removal import Policy
from tests.unit.legacy.conftest import dump


def tell(database: Path, count: int) -> int:
    """Add *count* events; return the number of the last."""
    db = Database(str(database))
    for number in range(count):
        events.add(db, number, "test.told", None, {})
    newest = events.newest(db)
    db.close()
    return newest


def restored(database: Path) -> tuple[int, Any]:
    """The number and the data of the last event, which tells that the database was restored; none was before."""
    db = Database(str(database), read_only=True)
    seq, _, topic, _, data = events.since(db, 0, 1000)[-1]
    assert (topic, events.newest(db)) == ("database.restored", seq)
    catalogue.check(topic, data)
    db.close()
    return seq, json.loads(data)


def test_no_number_of_the_replaced_database_is_given_again(database: Path, tmp_path: Path) -> None:
    assert tell(database, 10) == 10
    older = backups.make(database, {}, tmp_path / "backups").path
    assert tell(database, 5) == 15
    newer = backups.make(database, {}, tmp_path / "backups").path
    assert tell(database, 5) == 20
    done = backups.restore(older, database)
    assert restored(database) == (21, {"after": 10, "kept": str(done.replaced)})
    assert tell(database, 4) == 25
    done = backups.restore(newer, database)
    assert restored(database) == (26, {"after": 15, "kept": str(done.replaced)})
    assert tell(database, 1) == 27


@pytest.mark.parametrize("cause", ["missing", "rubbish", "damaged", "another"])
def test_where_it_is_not_known_how_far_the_numbers_came_many_are_left_out(
    cause: str, database: Path, tmp_path: Path
) -> None:
    """The last is what a new installation made before the restore, which has not come as far as the backup."""
    assert tell(database, 10) == 10
    made = backups.make(database, {}, tmp_path / "backups").path
    if cause == "damaged":
        db = Database(str(database))
        root = db.value("SELECT rootpage FROM sqlite_schema WHERE name = 'events'")
        size_bytes = db.value("PRAGMA page_size")
        db.close()
        with database.open("r+b") as file:
            file.seek((root - 1) * size_bytes)
            file.write(b"\xff" * size_bytes)
    else:
        database.unlink()
    if cause == "rubbish":
        database.write_bytes(b"rubbish" * 1000)
    if cause == "another":
        db = Database(str(database))
        schema.migrate(db, 1)
        db.close()
        assert tell(database, 3) == 3
    backups.restore(made, database)
    assert restored(database)[0] == 10 + succession.JUMP
    assert tell(database, 1) == 11 + succession.JUMP < 2**53, "the numbers of JSON"


def test_a_backup_from_before_events_shared_their_numbers_goes_on_above_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, steps = tmp_path / "mcp.db", schema.migrations()
    monkeypatch.setattr(schema, "migrations", lambda: [step for step in steps if step.version < 9])
    db = Database(str(path))
    schema.migrate(db, 1)
    db.execute("INSERT INTO events (at_us, topic, data) VALUES (1, 'a.b', '{}')")
    db.close()
    monkeypatch.undo()
    succession.go_on(path, 40, None)
    db = Database(str(path))
    schema.migrate(db, 2)
    assert (events.newest(db), [row[0] for row in events.since(db, 0, 10)]) == (41, [1, 41])
    db.close()


def test_without_room_for_that_everything_is_as_before(
    made: Path, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dump(database)

    def fail(*_: object) -> None:
        raise StoreUnavailable("the database or its disk is full")

    monkeypatch.setattr(succession, "go_on", fail)
    for content in (None, b"rubbish"):
        if content is not None:
            database.write_bytes(content)
            Path(f"{database}-wal").write_bytes(b"its log")
        with pytest.raises(StoreUnavailable, match="disk is full"):
            backups.restore(made, database)
        there = {path.name: path.read_bytes() for path in database.parent.iterdir() if path.is_file()}
        if content is None:
            assert (dump(database), sorted(there)) == (before, ["mcp.db"])
        else:
            assert there == {"mcp.db": content, "mcp.db-wal": b"its log"}


def test_numbers_that_were_left_out_do_not_count_for_how_many_events_are_kept(database: Path) -> None:
    tell(database, 10)
    succession.go_on(database, None, None)
    tell(database, 4)
    db = Database(str(database))
    removal.remove(db, Policy(0, 8), 0, 0, lambda: None)
    assert [row[0] for row in events.since(db, 0, 99)][:4] == [8, 9, 10, 10 + succession.JUMP]
    removal.remove(db, Policy(0, 3), 0, 0, lambda: None)
    assert [row[0] - succession.JUMP for row in events.since(db, 0, 99)] == [12, 13, 14]
    db.close()
