from __future__ import annotations

import time
from pathlib import Path

import apsw
import pytest

from mcpd.errors import ConfigError, StoreUnavailable
from mcpd.store import activities, events, schema
from mcpd.store.checkpoint import PASSIVE_PAGES, TRUNCATE_PAGES, Checkpointer
from mcpd.store.database import Database, unavailable
from mcpd.store.turn import Turn


def add(db: Database, text: str) -> int:
    return activities.add(db, 1, "a", text, "task", "completed", None)


def texts(db: Database) -> list[str]:
    return [row[0] for row in db.rows("SELECT activity FROM activities ORDER BY id")]


def test_it_opens_in_wal_with_foreign_keys_and_strict_quoting(db: Database) -> None:
    assert db.value("PRAGMA journal_mode") == "wal"
    assert db.value("PRAGMA foreign_keys") == 1
    assert db.value("PRAGMA synchronous") == 1
    with pytest.raises(apsw.SQLError):
        db.execute('SELECT "no such column"')


def test_power_durability_syncs_every_commit(path: str) -> None:
    db = Database(path, durability="power")
    assert db.value("PRAGMA synchronous") == 2
    db.close()


def test_every_table_is_strict(db: Database) -> None:
    tables = db.rows("SELECT name, strict FROM pragma_table_list WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    assert len(tables) >= 9
    assert {name for name, strict in tables if not strict} == set()


def test_a_read_only_database_cannot_be_changed(db: Database, path: str) -> None:
    reader = Database(path, read_only=True)
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("DELETE FROM agents")
    reader.close()


def test_a_transaction_is_kept_whole_or_not_at_all(db: Database) -> None:
    with db.transaction():
        add(db, "kept")
    with pytest.raises(ZeroDivisionError), db.transaction():
        add(db, "lost")
        1 / 0  # noqa: B018
    with pytest.raises(StoreUnavailable), db.transaction():
        db.execute("ROLLBACK")
        db.execute("SELECT nothing")
    assert texts(db) == ["kept"]


def test_a_file_that_is_no_database_and_a_missing_directory_are_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.db"
    bad.write_bytes(b"x" * 4096)
    with pytest.raises(StoreUnavailable, match="not an SQLite file"):
        Database(str(bad))
    with pytest.raises(StoreUnavailable, match="cannot be opened"):
        Database(str(tmp_path / "no" / "such.db"))


def test_errors_say_what_is_the_matter_without_sql() -> None:
    assert "locked by another process" in unavailable(apsw.BusyError("x")).message
    assert "disk is full" in unavailable(apsw.FullError("x")).message
    assert unavailable(apsw.SQLError("no such table: secret")).message.count("secret") == 0


def test_probe_fails_when_the_schema_is_gone(db: Database) -> None:
    db.probe()
    db.execute("DROP TABLE schema_migrations")
    with pytest.raises(StoreUnavailable):
        db.probe()


def test_migrating_twice_changes_nothing(db: Database) -> None:
    assert schema.migrate(db, 2) == []
    assert schema.version(db) == schema.migrations()[-1].version
    schema.check(db)
    taken = db.rows("SELECT version, name, applied_us FROM schema_migrations")
    assert taken == [(step.version, step.name, 1) for step in schema.migrations()]


def test_a_foreign_or_newer_or_older_database_is_refused(db: Database, tmp_path: Path) -> None:
    foreign = Database(str(tmp_path / "foreign.db"))
    foreign.execute("CREATE TABLE activities (id TEXT)")
    with pytest.raises(ConfigError, match="not made by mcpd"):
        schema.migrate(foreign, 1)
    foreign.close()
    empty = Database(str(tmp_path / "empty.db"))
    with pytest.raises(ConfigError, match="run mcpd-migrate"):
        schema.check(empty)
    empty.close()
    db.execute("PRAGMA user_version = 999")
    with pytest.raises(ConfigError, match="install the newer mcpd"):
        schema.check(db)


def test_a_migration_that_fails_leaves_the_last_whole_step(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = [
        *schema.migrations(),
        schema.Migration(901, "good", "CREATE TABLE two (x TEXT) STRICT"),
        schema.Migration(902, "bad", "CREATE TABLE three (x TEXT) STRICT; CREATE TABLE two (x TEXT) STRICT"),
    ]
    monkeypatch.setattr(schema, "migrations", lambda: steps)
    with pytest.raises(StoreUnavailable):
        schema.migrate(db, 5)
    assert db.value("PRAGMA user_version") == 901
    assert db.value("SELECT count(*) FROM pragma_table_list WHERE name = 'three'") == 0


def test_the_requests_of_a_turn_are_kept_together(db: Database, path: str) -> None:
    turn, other = Turn(db), Database(path, read_only=True)
    turn.run(lambda: add(db, "one"))
    turn.run(lambda: add(db, "two"))
    assert texts(other) == []
    turn.commit()
    assert texts(other) == ["one", "two"]
    other.close()


def test_a_failing_request_takes_back_only_itself(db: Database) -> None:
    turn = Turn(db)
    turn.run(lambda: add(db, "one"))

    def fails() -> None:
        add(db, "half")
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        turn.run(fails)
    with pytest.raises(StoreUnavailable):
        turn.run(lambda: db.execute("INSERT INTO no_such_table VALUES (1)"))
    assert turn.run(lambda: add(db, "dry"), keep=False) == 2
    turn.run(lambda: add(db, "two"))
    turn.commit()
    assert texts(db) == ["one", "two"]


def test_a_turn_without_work_begins_no_transaction(db: Database, path: str) -> None:
    locker = Database(path)
    locker.execute("BEGIN IMMEDIATE")
    Turn(db).commit()
    locker.close()


def test_a_locked_database_costs_one_wait_a_turn(db: Database, path: str) -> None:
    locker = Database(path)
    locker.execute("BEGIN IMMEDIATE")
    turn = Turn(db)
    for _ in range(100):
        with pytest.raises(StoreUnavailable, match="locked"):
            turn.run(lambda: add(db, "x"))
    turn.commit()
    locker.close()


def test_a_full_disk_takes_the_whole_turn_and_the_next_one_works(db: Database) -> None:
    turn = Turn(db)
    turn.run(lambda: add(db, "one"))
    pages = db.value("PRAGMA page_count")
    db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreUnavailable, match="full"):
        turn.run(lambda: add(db, "x" * 100_000))
    lost = not db.connection.in_transaction
    if lost:
        with pytest.raises(StoreUnavailable):
            turn.run(lambda: add(db, "behind"))
        with pytest.raises(StoreUnavailable):
            turn.commit()
    else:
        turn.commit()
    assert texts(db) == ([] if lost else ["one"])
    db.execute("PRAGMA max_page_count = 100000")
    following = Turn(db)
    following.run(lambda: add(db, "after"))
    following.commit()
    assert texts(db)[-1] == "after"


def test_a_transaction_lost_under_a_request_is_noticed(db: Database) -> None:
    turn = Turn(db)
    turn.run(lambda: add(db, "one"))

    def lose() -> None:
        db.execute("ROLLBACK")
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        turn.run(lose)
    with pytest.raises(StoreUnavailable, match="lost"):
        turn.run(lambda: add(db, "two"))
    with pytest.raises(StoreUnavailable, match="lost"):
        turn.commit()
    assert texts(db) == []


def test_a_commit_that_fails_keeps_nothing(db: Database) -> None:
    db.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY) STRICT")
    child = "CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED) STRICT"
    db.execute(child)
    turn = Turn(db)
    turn.run(lambda: add(db, "one"))
    turn.run(lambda: db.execute("INSERT INTO child VALUES (7)"))
    with pytest.raises(StoreUnavailable):
        turn.commit()
    assert texts(db) == []
    assert db.connection.in_transaction is False


def test_a_savepoint_that_cannot_be_taken_back_loses_the_turn(db: Database) -> None:
    turn = Turn(db)

    def release_early() -> None:
        db.execute("RELEASE request")
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        turn.run(release_early)
    with pytest.raises(StoreUnavailable):
        turn.commit()


def test_events_are_numbered_in_commit_order_and_never_reused(db: Database) -> None:
    assert events.newest(db) == 0
    for number in range(3):
        events.add(db, number, "t", None, {"n": number})
    assert [row[0] for row in events.since(db, 1, 10)] == [2, 3]
    assert events.remove_to(db, 3) == 3
    assert (events.newest(db), events.removed_to(db)) == (3, 3)
    events.add(db, 9, "t", "a", {})
    assert events.since(db, 0, 10) == [(4, 9, "t", "a", "{}")]
    assert events.newest(db) == 4


@pytest.mark.parametrize("pages", [PASSIVE_PAGES, TRUNCATE_PAGES])
def test_the_checkpointer_moves_the_wal_into_the_database(db: Database, path: str, pages: int) -> None:
    db.connection.set_busy_timeout(5000)
    checkpointer = Checkpointer(db, path)
    with db.transaction():
        for _ in range(pages // 4 + 200):
            add(db, "x" * 16_000)
    deadline = time.monotonic() + 10
    while Path(path).stat().st_size < pages * 4096 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert Path(path).stat().st_size >= pages * 4096
    checkpointer.close()


def test_the_checkpointer_gives_way_to_a_reader_and_comes_back(db: Database, path: str) -> None:
    db.connection.set_busy_timeout(5000)
    checkpointer = Checkpointer(db, path)
    reader = Database(path, read_only=True)
    reader.execute("BEGIN")
    texts(reader)
    with db.transaction():
        for _ in range(TRUNCATE_PAGES // 4 + 200):
            add(db, "x" * 16_000)
    reader.execute("COMMIT")
    reader.close()
    for _ in range(50):
        add(db, "small")
    checkpointer.close()
    assert len(texts(db)) == TRUNCATE_PAGES // 4 + 250
