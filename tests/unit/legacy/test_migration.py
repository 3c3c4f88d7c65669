"""Whole migrations: every variant, every row traced; again, later, mixed, and into a database that is in use."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw
import pytest

from mcpd import files
from mcpd.errors import ConfigError, Error, SourceUnusable, StoreUnavailable
from mcpd.legacy import migration, preflight
from mcpd.legacy.report import VerificationFailed
from mcpd.store import agents, claims, components, legacy, schema, staging
from mcpd.store.database import Database
from tests.unit.legacy import old
from tests.unit.legacy.conftest import ROME, Migrate, dump, job

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def query(path: Path, sql: str, *parameters: Any) -> list[dict[str, Any]]:
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    db.row_factory = sqlite3.Row
    rows = [dict(row) for row in db.execute(sql, parameters)]
    db.close()
    return rows


def kept(target: Path, table: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The ledger's entries for *table*, each with the row that it keeps."""
    rows = query(target, "SELECT * FROM legacy_rows WHERE source_table = ?", table)
    return [(json.loads(row["row"]), row) for row in rows]


def assert_every_row_is_there(target: Path, source: Path) -> None:
    for table, rows in old.read(source).items():
        expected = sorted(json.dumps(old.as_kept(row), sort_keys=True) for row in rows)
        found = [json.dumps(row, sort_keys=True) for row, entry in kept(target, table) for _ in range(entry["copies"])]
        assert sorted(found) == expected, table


@pytest.mark.parametrize("variant", old.VARIANTS)
def test_every_row_of_every_variant_is_kept_as_it_stood(
    variant: str, tmp_path: Path, target: Path, migrate: Migrate
) -> None:
    source = old.make(tmp_path / "old.db", variant)
    before = source.read_bytes()
    report = migrate(source).as_json()
    assert source.read_bytes() == before
    assert_every_row_is_there(target, source)
    counted = {table: len(rows) for table, rows in old.read(source).items()}
    assert {table["table"]: table["rows"] for table in report["sources"][0]["tables"]} == counted
    for table in report["sources"][0]["tables"]:
        parts = ("known", "migrated", "merged", "kept", "set_aside")
        assert sum(table[part] for part in parts) == table["rows"]
    assert query(target, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    assert query(target, "PRAGMA foreign_key_check") == []


def expected_time(value: str) -> int:
    """What a timestamp means, worked out in another way than the code does."""
    if value.endswith("+00:00"):
        moment = datetime.fromisoformat(value)
    elif "T" in value:
        moment = datetime.fromtimestamp(datetime.fromisoformat(value).replace(tzinfo=ROME).timestamp(), UTC)
        moment = moment.replace(microsecond=datetime.fromisoformat(value).microsecond)
    else:
        moment = datetime.strptime(value + "+0000", "%Y-%m-%d %H:%M:%S%z")
    return int((moment - EPOCH).total_seconds()) * 1_000_000 + moment.microsecond


@pytest.mark.parametrize("variant", ["a", "b", "c", "d", "e", "system", "everything"])
def test_every_activity_says_what_it_said(variant: str, tmp_path: Path, target: Path, migrate: Migrate) -> None:
    migrate(old.make(tmp_path / "old.db", variant, rows=120))
    by_id = {row["id"]: row for row in query(target, "SELECT * FROM activities")}
    table = "activity_logs" if variant == "system" else "activities"
    traced = 0
    for row, entry in kept(target, table):
        if entry["outcome"] == "set aside":
            assert "timestamp" not in row
            assert "_1758" not in str(row["id"])
            continue
        ours = by_id.pop(entry["target_key"])
        traced += 1
        if "timestamp" in row:
            assert ours["at_us"] == expected_time(row["timestamp"])
        assert ours["activity"] == row.get("activity", "")
        assert (ours["category"] or "info") == (row.get("category") or "info")
        assert ours["status"] == (row.get("status") or "completed")
        said = row.get("agent", row.get("agent_id", "unknown"))
        assert ours["agent"] == {"Backend API Agent": "backend-api", "Queue Manager": "queue-manager"}.get(said, said)
        details = row.get("details", row.get("metadata"))
        if details is not None:
            unparsed = json.loads(ours["details"])
            assert unparsed == {"unparsed": details} or unparsed == json.loads(details)
    assert by_id == {}
    assert traced > 50


def test_what_is_set_aside_says_why(tmp_path: Path, target: Path, migrate: Migrate) -> None:
    source = tmp_path / "old.db"
    db = sqlite3.connect(source)
    db.execute(f"CREATE TABLE activities ({old.COLUMNS['bridge']['activities']})")
    db.execute("INSERT INTO activities VALUES ('abc', 'x', 'soon', 'text', NULL, NULL, NULL)")
    db.commit()
    db.close()
    migrate(source)
    reject, *others = query(target, "SELECT * FROM migration_rejects")
    assert others == []
    assert (reject["source"], reject["source_table"], reject["source_key"]) == (str(source), "activities", "abc")
    assert reject["reason"] == "no time: neither 'timestamp' nor 'id' holds one"
    assert json.loads(reject["row"])["timestamp"] == "soon"


@pytest.mark.parametrize("variant", old.VARIANTS)
def test_a_second_run_changes_nothing(variant: str, tmp_path: Path, target: Path, migrate: Migrate) -> None:
    source = old.make(tmp_path / "old.db", variant)
    migrate(source)
    before, kept_files = dump(target), sorted(target.parent.glob("legacy/*"))
    moved = source.rename(tmp_path / "moved.db")
    report = migrate(moved)
    assert report.run is None
    assert dump(target) == before
    assert sorted(target.parent.glob("legacy/*")) == kept_files
    assert sorted(target.parent.glob(".*")) == []


def test_rows_written_later_are_taken_up(tmp_path: Path, target: Path, migrate: Migrate) -> None:
    source = old.make(tmp_path / "old.db", "a", rows=30)
    migrate(source)
    count = len(query(target, "SELECT id FROM activities"))
    db = sqlite3.connect(source)
    old.fill(db, "activities", old.Writer(2), 10, first=1000)
    db.execute("ALTER TABLE activities ADD COLUMN later TEXT")  # as some of the old programs did; old rows stay known
    db.execute("UPDATE agent_states SET last_seen = '2035-01-01T00:00:00', status = 'idle' WHERE agent = 'database'")
    db.commit()
    db.close()
    report = migrate(source).as_json()
    tables = {table["table"]: table for table in report["sources"][0]["tables"]}
    assert (tables["activities"]["known"], tables["activities"]["migrated"]) == (30, 10)
    assert (tables["agent_states"]["known"], tables["agent_states"]["migrated"]) == (29, 1)
    assert len(query(target, "SELECT id FROM activities")) == count + 10
    assert query(target, "SELECT status FROM agents WHERE name = 'database'") == [{"status": "idle"}]
    assert [run.id for run in runs(target)] == [2, 1]


def runs(target: Path) -> list[legacy.Run]:
    db = Database(str(target), read_only=True)
    try:
        return legacy.runs(db, 10)
    finally:
        db.close()


def test_several_databases_at_once_share_what_they_share(tmp_path: Path, target: Path, migrate: Migrate) -> None:
    first = old.make(tmp_path / "mcp_state.db", "e", seed=3)
    copy = tmp_path / "copy.db"
    copy.write_bytes(first.read_bytes())
    sources = [
        first,
        old.make(tmp_path / "mcp_system.db", "system"),
        old.make(tmp_path / "shared_inbox.db", "inbox"),
        copy,
    ]
    report = migrate(*sources).as_json()
    again = report["sources"][3]["tables"]
    assert all(table["merged"] == table["rows"] for table in again)
    merged = query(target, "SELECT count(*) AS n FROM legacy_rows WHERE copies > 1 AND source_id = 1")
    assert merged == [{"n": sum(table["rows"] for table in again)}]


def test_what_mcpd_knows_newer_stays_and_what_is_older_gives_way(
    tmp_path: Path, target: Path, migrate: Migrate
) -> None:
    source = tmp_path / "old.db"
    db = sqlite3.connect(source)
    db.execute(f"CREATE TABLE agent_states ({old.COLUMNS['complete']['agent_states']})")
    db.execute(f"CREATE TABLE components ({old.COLUMNS['bridge']['components']})")
    for agent in ("old", "new"):
        db.execute("INSERT INTO agent_states VALUES (?, '2025-09-18 08:00:00', 'working', 'x', NULL, NULL)", (agent,))
    for key, name, owner, at in [
        (1, "shared", "first", "2025-01-01 00:00:00"), (2, "shared", "second", "2025-01-02 00:00:00"),
        (3, "ours", "theirs", "2025-01-01 00:00:00"), (4, "free", None, None),
    ]:  # fmt: skip
        db.execute(
            "INSERT INTO components VALUES (?, ?, 'api', ?, '', '[]', '{}', ?, ?, 4)", (key, name, owner, at, at)
        )
    db.commit()
    db.close()
    ours = Database(str(target))
    agents.set_status(ours, "new", "busy", None, 2_000_000_000_000_000)
    agents.set_status(ours, "old", "busy", None, 1_000_000)
    components.register(ours, 2_000_000_000_000_000, "ours", "me", "active", None)
    migrate(source)
    assert (agents.status(ours, "new"), agents.status(ours, "old")) == ("busy", "working")
    found = {name: components.find(ours, name) for name in ("shared", "ours", "free")}
    assert {name: (c.owner, c.version) for name, c in found.items() if c is not None} == {
        "shared": ("second", 4), "ours": ("me", 1), "free": ("unknown", 4),
    }  # fmt: skip
    held = claims.live(ours, 1, 10)
    assert [(claim.agent, claim.target, claim.mode) for claim in held] == [("second", "shared", "own")]
    outcomes = {(row["id"], entry["outcome"], entry["reason"]) for row, entry in kept(target, "components")}
    assert outcomes == {
        ("1", "merged", "another row of that name is newer"), ("2", "migrated", None),
        ("3", "merged", "mcpd knew newer"), ("4", "migrated", None),
    }  # fmt: skip
    ours.close()


def test_a_migration_is_an_event_and_audited(tmp_path: Path, target: Path, migrate: Migrate) -> None:
    migrate(old.make(tmp_path / "old.db", "a", rows=5))
    (event,) = query(target, "SELECT topic, data FROM events")
    assert (event["topic"], json.loads(event["data"])["run"]) == ("migration.finished", 1)
    (audited,) = query(target, "SELECT operation, outcome FROM audit")
    assert audited == {"operation": "migrate", "outcome": "ok"}


def test_the_snapshot_is_the_source_and_the_report_is_kept_thrice(
    tmp_path: Path, target: Path, migrate: Migrate
) -> None:
    source = old.make(tmp_path / "old.db", "e")
    report = migrate(source)
    snapshot = Path(str(report.sources[0].snapshot))
    assert old.read(snapshot) == old.read(source)
    assert hashlib.sha256(snapshot.read_bytes()).hexdigest() == report.sources[0].sha256
    assert snapshot.stat().st_mode & 0o777 == 0o640
    written = json.loads(Path(str(report.file)).read_text())
    assert written == report.as_json() == json.loads(runs(target)[0].report)


def in_wal(path: Path, rows: int) -> sqlite3.Connection:
    """Leave *rows* in the write-ahead log of *path*, and the connection open."""
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    old.fill(db, "activities", old.Writer(9), rows, first=5000)
    db.commit()
    return db


@contextmanager
def child(work: Callable[[], object]) -> Iterator[int]:
    """Run *work* in a process that keeps what it returns, and give its id; it is killed when the block ends."""
    ready, tell = os.pipe()
    if (pid := os.fork()) == 0:
        kept = work()
        os.write(tell, b"!")
        signal.pause()
        del kept
    try:
        assert os.read(ready, 1) == b"!"
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(ready)
        os.close(tell)


def test_rows_in_the_write_ahead_log_of_a_live_writer_come_along(
    tmp_path: Path, target: Path, migrate: Migrate
) -> None:
    source = old.make(tmp_path / "old.db", "a", rows=10)

    def write() -> sqlite3.Connection:
        db = in_wal(source, 7)
        db.execute("INSERT INTO activities VALUES ('uncommitted', 'x', '2025-01-01 00:00:00', 'x', 'x', NULL, NULL)")
        return db

    with child(write):
        assert migrate(source).sources[0].tables[0].rows == 17
    assert_every_row_is_there(target, source)


def test_a_write_ahead_log_that_a_dead_writer_left_comes_along(tmp_path: Path, target: Path, migrate: Migrate) -> None:
    source = old.make(tmp_path / "old.db", "a", rows=10)
    with child(lambda: in_wal(source, 7)):
        pass
    assert Path(f"{source}-wal").stat().st_size
    assert migrate(source).sources[0].tables[0].rows == 17


def test_a_transaction_that_a_dead_writer_left_is_rolled_back_in_a_copy(
    tmp_path: Path, target: Path, migrate: Migrate
) -> None:
    source = old.make(tmp_path / "old.db", "a", rows=10)
    expected = old.read(source)

    def write() -> sqlite3.Connection:
        db = sqlite3.connect(source)
        db.execute("PRAGMA cache_size = 1")
        db.execute("PRAGMA cache_spill = 1")
        db.execute("UPDATE activities SET activity = hex(randomblob(20000))")
        return db

    with child(write):
        pass
    before = (source.read_bytes(), Path(f"{source}-journal").read_bytes())
    assert preflight.plan(job(target, source)).sources[0].is_rollback_pending
    report = migrate(source)
    assert (source.read_bytes(), Path(f"{source}-journal").read_bytes()) == before
    assert old.read(Path(str(report.sources[0].snapshot))) == expected


def test_text_that_is_no_text_is_kept_byte_by_byte(tmp_path: Path, target: Path, migrate: Migrate) -> None:
    source = old.make(tmp_path / "old.db", "a", rows=3)
    db = sqlite3.connect(source)
    db.execute("UPDATE activities SET agent = CAST(x'62ff' AS TEXT), category = x'00ff' WHERE rowid = 1")
    db.commit()
    db.close()
    migrate(source)
    assert_every_row_is_there(target, source)
    assert query(target, "SELECT count(*) AS n FROM activities WHERE agent = 'b\\xff'") == [{"n": 1}]


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
def test_a_database_in_utf_16_is_read(encoding: str, tmp_path: Path, target: Path, migrate: Migrate) -> None:
    source = tmp_path / "old.db"
    db = sqlite3.connect(source)
    db.execute(f"PRAGMA encoding = '{encoding}'")
    db.execute("CREATE TABLE agent_states (agent TEXT, last_seen TEXT)")
    db.execute("INSERT INTO agent_states VALUES ('检查', '2025-01-01 00:00:00')")
    db.commit()
    db.close()
    migrate(source)
    assert query(target, "SELECT name FROM agents") == [{"name": "检查"}]


def test_names_of_tables_and_columns_may_be_anything(tmp_path: Path, target: Path, migrate: Migrate) -> None:
    source = tmp_path / "old.db"
    db = sqlite3.connect(source)
    db.execute('CREATE TABLE "a ""b"" --" ("x "" y" TEXT, "SELECT" TEXT, UPPER TEXT)')
    db.execute("""INSERT INTO "a ""b"" --" VALUES ('1', '2', '3')""")
    wide = ", ".join(f"c{n}" for n in range(1500))
    db.execute(f"CREATE TABLE wide ({wide})")
    db.execute("INSERT INTO wide (c0, c1499) VALUES (1, 2)")
    db.execute("CREATE TABLE keyed (a, b, PRIMARY KEY (b, a)) WITHOUT ROWID")
    db.execute("INSERT INTO keyed VALUES (1, 'x')")
    db.execute("CREATE VIEW v AS SELECT * FROM nowhere")
    db.commit()
    db.close()
    migrate(source)
    assert [row for row, _ in kept(target, 'a "b" --')] == [{'x " y': "1", "select": "2", "upper": "3"}]
    assert [row for row, _ in kept(target, "wide")] == [{"c0": 1, "c1499": 2}]
    assert [entry["source_key"] for _, entry in kept(target, "keyed")] == ['["x",1]']


@pytest.fixture
def sources(tmp_path: Path, target: Path) -> dict[str, Path]:
    """Files that are no database of the old system, each in its own way."""
    found = {name: tmp_path / name for name in ("no such file", "text", "empty", "half", "cut", "newer", "locked")}
    found["text"].write_text("not a database, though long enough to have a header" * 10)
    found["empty"].write_bytes(b"")
    whole = old.make(tmp_path / "whole.db", "a", rows=200).read_bytes()
    found["half"].write_bytes(whole[: len(whole) // 2])
    found["cut"].write_bytes(whole[:4096] + bytes(len(whole) - 4096))
    found["directory"] = tmp_path
    found["ours"] = target
    found["newer"].write_bytes(whole[:18] + b"\x09\x09" + whole[20:])
    return found


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no such file", "there is no such file"),
        ("text", "is not an SQLite database"),
        ("empty", "is empty"),
        ("half", "is damaged"),
        ("cut", "is damaged"),
        ("directory", "is a directory"),
        ("ours", "is mcpd's own database"),
        ("newer", "is not an SQLite database"),
    ],
)
def test_what_cannot_be_migrated_is_refused_with_its_name(
    name: str, said: str, sources: dict[str, Path], target: Path, migrate: Migrate
) -> None:
    before = dump(target)
    with pytest.raises(Error, match=said) as caught:
        preflight.plan(job(target, sources[name]))
        migrate(sources[name])
    assert str(sources[name]) in caught.value.message
    assert dump(target) == before
    assert list(target.parent.glob(".mcpd-*")) == list((target.parent / "legacy").glob("*")) == []


def test_a_source_that_is_locked_is_not_waited_for_for_ever(
    tmp_path: Path, target: Path, migrate: Migrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcpd.store.foreign._BUSY_TIMEOUT_MS", 50)
    source = old.make(tmp_path / "old.db", "a", rows=3)
    db = apsw.Connection(str(source))  # sqlite3 may be another copy of SQLite, whose locks hold nothing in one process
    db.execute("BEGIN EXCLUSIVE")
    with pytest.raises(SourceUnusable, match="is locked by a program that writes it"):
        migrate(source)
    db.close()
    assert migrate(source).run == 1


def test_a_target_that_is_locked_is_left_alone(
    tmp_path: Path, target: Path, migrate: Migrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration, "LOCK_TIMEOUT_S", 0.05)
    source, before = old.make(tmp_path / "old.db", "a", rows=3), dump(target)
    db = apsw.Connection(str(target))
    db.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="is locked by another process; nothing was changed"):
        migrate(source)
    db.close()
    assert dump(target) == before


def test_one_migration_at_a_time(tmp_path: Path, target: Path, migrate: Migrate) -> None:
    with (
        files.alone(target.parent, "migration"),
        pytest.raises(StoreUnavailable, match="another migration is at work"),
    ):
        migrate(old.make(tmp_path / "old.db", "a"))
    assert not files.is_locked(target.parent)


@pytest.mark.parametrize(("version", "said"), [(999, "install the newer mcpd"), (1, "run mcpd-migrate")])
def test_a_target_of_another_schema_is_refused(
    version: int, said: str, tmp_path: Path, target: Path, migrate: Migrate
) -> None:
    db = sqlite3.connect(target)
    db.execute(f"PRAGMA user_version = {version}")
    db.close()
    with pytest.raises(ConfigError, match=said):
        migrate(old.make(tmp_path / "old.db", "a"))


def test_a_target_that_is_missing_is_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "none.db"
    with pytest.raises(ConfigError, match=r"systemctl start mcpd-migrate\.service"):
        migration.run(job(missing, old.make(tmp_path / "old.db", "a")), lambda *_: None)
    assert not missing.exists()


def test_too_little_room_is_found_out_before_anything_changes(tmp_path: Path, target: Path) -> None:
    plan = preflight.plan(job(target, old.make(tmp_path / "old.db", "a")))
    plan.check_room()
    full = preflight.Plan(plan.job, plan.sources, plan.versions, plan.needed_bytes, plan.needed_bytes - 1)
    with pytest.raises(StoreUnavailable, match="MiB free"):
        full.check_room()


def test_a_full_database_is_left_as_it_was(tmp_path: Path, target: Path, migrate: Migrate) -> None:
    source = old.make(tmp_path / "old.db", "a", rows=200)
    before = dump(target)
    original = migration.open_target

    def small(path: Path) -> Database:
        db = original(path)
        db.execute("PRAGMA max_page_count = 120")
        return db

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migration, "open_target", small)
        with pytest.raises(StoreUnavailable, match="disk is full; nothing was changed"):
            migrate(source)
    assert dump(target) == before
    assert list((target.parent / "legacy").iterdir()) == []
    assert migrate(source).run == 1


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM activities WHERE id = 7",
        "UPDATE activities SET at_us = at_us + 1 WHERE id = 7",
        "DELETE FROM agents WHERE name = 'database'",
        "DELETE FROM legacy_rows WHERE id = 7",
        "UPDATE legacy_rows SET row = json_set(row, '$.id', 'other') WHERE id = 7",
        "UPDATE legacy_rows SET copies = 2 WHERE id = 7",
        "UPDATE agents SET status = 'evil' WHERE name = 'database'",
        "UPDATE agents SET capabilities = json_array('evil') WHERE capabilities IS NOT NULL",
        "UPDATE agents SET created_us = created_us + 1 WHERE name = 'database'",
        "UPDATE components SET owner = 'evil'",
        "UPDATE components SET version = version + 1",
        "UPDATE components SET metadata = NULL",
        "UPDATE decisions SET status = 'evil'",
        "UPDATE subject_consents SET purpose = 'evil'",
        "UPDATE processing_records SET classification = 'public'",
        "UPDATE sensitive_accesses SET caller = 'evil'",
        "UPDATE breaches SET affected_records = affected_records - 1",
    ],
)
def test_what_is_not_written_as_it_was_read_is_taken_back(
    change: str, tmp_path: Path, target: Path, migrate: Migrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = staging.take_over

    def faulty(db: Database, first_source: int) -> staging.Taken:
        taken = original(db, first_source)
        db.execute(change)
        return taken

    source, before = old.make(tmp_path / "old.db", "e", rows=30), dump(target)
    monkeypatch.setattr(staging, "take_over", faulty)
    with pytest.raises(VerificationFailed):
        migrate(source)
    assert dump(target) == before
    assert list((target.parent / "legacy").iterdir()) == []
    monkeypatch.undo()
    assert migrate(source).run == 1


def test_what_a_killed_run_left_is_removed(tmp_path: Path, target: Path, migrate: Migrate) -> None:
    (target.parent / ".mcpd-migrate-dead").mkdir()
    (target.parent / ".mcpd-migrate-dead" / "stage.db").write_text("half")
    (target.parent / "legacy").mkdir()
    (target.parent / "legacy" / ".mcpd-partial-old.db").write_text("half")
    migrate(old.make(tmp_path / "old.db", "a"))
    assert list(target.parent.glob(".mcpd-*")) == list((target.parent / "legacy").glob(".mcpd-*")) == []


def test_a_plan_says_who_writes_and_changes_nothing(tmp_path: Path, target: Path) -> None:
    source = old.make(tmp_path / "old.db", "e", rows=10)
    before = (dump(target), source.read_bytes())
    with source.open("rb"):
        plan = preflight.plan(job(target, source))
        assert plan.sources[0].writers == ()  # we are no writer to ourselves
    with child(lambda: source.open("rb")) as pid:
        assert [writer.pid for writer in preflight.plan(job(target, source)).sources[0].writers] == [pid]
    assert {table.name: to for table, to in plan.sources[0].tables}["audit_log"] is None
    assert (dump(target), source.read_bytes()) == before
    assert sorted(p.name for p in target.parent.iterdir() if not p.name.startswith("mcp.db")) == []


def test_versions_are_compared_as_numbers() -> None:
    assert preflight.is_old("systemd", "252")
    assert not preflight.is_old("systemd", "257.9-1")
    assert not preflight.is_old("tmux", "3.10a")
    assert preflight.is_old("tmux", "3.2a")
    assert preflight.versions()["python"] is not None
    assert schema.migrations()[-1].version >= 6


REGISTERS = {
    "consent_records": "subject_consents",
    "data_processing_records": "processing_records",
    "hipaa_access_logs": "sensitive_accesses",
    "breach_records": "breaches",
}


def test_the_registers_of_the_old_system_are_ours_and_read_as_before(
    tmp_path: Path, target: Path, migrate: Migrate
) -> None:
    migrate(old.make(tmp_path / "old.db", "e", rows=60))
    for table, into in REGISTERS.items():
        ours = {row["id"]: row for row in query(target, f"SELECT * FROM {into}")}
        entries = [(row, entry) for row, entry in kept(target, table) if entry["outcome"] == "migrated"]
        assert len(entries) == len(ours) > 40, table
        assert {entry["target_key"] for _, entry in entries} == set(ours)
        views = {row["id"]: row for row in query(target, f"SELECT * FROM {table}")}
        assert set(views) == set(ours)
        wanted = {name for row, _ in entries for name in row}
        assert wanted <= set(next(iter(views.values()))), "each column of old is there"


def test_a_consent_that_was_withdrawn_since_is_withdrawn_here_too(
    tmp_path: Path, target: Path, migrate: Migrate
) -> None:
    source = old.make(tmp_path / "old.db", "e", rows=0)
    db = sqlite3.connect(source)
    db.execute("INSERT INTO consent_records (id, user_id, purpose, granted_at) VALUES ('c', 'ada', 'p', '2025-01-01')")
    db.commit()
    migrate(source)
    db.execute("UPDATE consent_records SET withdrawn_at = '2025-02-01T00:00:00'")
    db.commit()
    db.close()
    migrate(source)
    [consent] = query(target, "SELECT user_id, granted_at, withdrawn_at FROM consent_records")
    assert consent == {
        "user_id": "ada", "granted_at": "2025-01-01T00:00:00.000", "withdrawn_at": "2025-02-01T00:00:00.000",
    }  # fmt: skip
