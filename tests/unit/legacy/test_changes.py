"""What was brought over before and has changed since: in its source, under another name, by a faulty writer."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from mcpd.legacy.report import VerificationFailed
from mcpd.store import components
from mcpd.store.database import Database
from tests.unit.legacy import old
from tests.unit.legacy.conftest import Migrate, dump
from tests.unit.legacy.test_migration import assert_every_row_is_there, kept, query

AT = "2025-09-18T10:00:00.25"


def execute(path: Path, *statements: str) -> None:
    db = sqlite3.connect(path)
    for statement in statements:
        db.execute(statement)
    db.commit()
    db.close()


def make(path: Path, schema: str, *inserts: str) -> Path:
    """Write a database with the tables of *schema* (``old.COLUMNS``) and those rows."""
    tables = old.COLUMNS[schema].items()
    execute(path, *(f"CREATE TABLE {table} ({columns})" for table, columns in tables), *inserts)
    return path


def outcomes(target: Path, table: str) -> list[tuple[str, str | None]]:
    rows = query(target, "SELECT outcome, reason FROM legacy_rows WHERE source_table = ? ORDER BY id", table)
    return [(row["outcome"], row["reason"]) for row in rows]


CHANGED = [("merged", "the row was changed later"), ("migrated", "the row was changed since it was migrated")]


def test_a_decision_that_was_made_since_is_made_here_too(tmp_path: Path, target: Path, migrate: Migrate) -> None:
    pending = f"INSERT INTO decisions (id, proposer, decision, created_at) VALUES ('d', 'master', 'Go?', '{AT}')"
    source = make(tmp_path / "old.db", "complete", pending)
    migrate(source)
    execute(source, "UPDATE decisions SET status = 'approved', resolved_at = '2025-09-18T11:00:00'")
    report = migrate(source).as_json()
    [decision] = query(target, "SELECT id, status, question, resolved_us IS NOT NULL AS resolved FROM decisions")
    assert decision == {"id": 1, "status": "approved", "question": "Go?", "resolved": 1}
    assert outcomes(target, "decisions") == CHANGED
    assert [entry["target_key"] for _, entry in kept(target, "decisions")] == [1, 1]
    table = next(table for table in report["sources"][0]["tables"] if table["table"] == "decisions")
    assert (table["rows"], table["known"], table["migrated"]) == (1, 0, 1)
    assert migrate(source).run is None


@pytest.mark.parametrize("schema", ["complete", "bridge", "optimized", "documented"])
def test_an_activity_that_was_changed_is_the_same_activity(
    schema: str, tmp_path: Path, target: Path, migrate: Migrate
) -> None:
    row = (
        f"INSERT INTO activities (id, agent, timestamp, activity, category, status) VALUES (1, 'a', '{AT}', 'x', 't', "
    )
    source = make(tmp_path / "old.db", schema, f"{row} 'in_progress')")
    migrate(source)
    for status in ("blocked", "completed"):
        execute(source, f"UPDATE activities SET status = '{status}'")
        migrate(source)
        assert query(target, "SELECT status FROM activities") == [{"status": status}]
    assert [outcome for outcome, _ in outcomes(target, "activities")] == ["merged", "merged", "migrated"]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE activities SET timestamp = '2025-09-18T10:00:00.26'",
        "UPDATE activities SET agent = 'b'",
        "UPDATE activities SET id = 2",
        "DELETE FROM activities",  # and the file is another one
    ],
)
def test_a_number_that_comes_again_is_another_activity(
    change: str, tmp_path: Path, target: Path, migrate: Migrate
) -> None:
    row = "INSERT INTO activities (id, agent, timestamp, activity) VALUES (1, 'a', '{}', '{}')"
    source = make(tmp_path / "old.db", "optimized", row.format(AT, "first"))
    migrate(source)
    execute(source, "UPDATE activities SET activity = 'second'", change)
    if change.startswith("DELETE"):
        execute(source, row.format(AT, "second"))
        source = source.rename(tmp_path / "other.db")
    migrate(source)
    assert [row["activity"] for row in query(target, "SELECT activity FROM activities")] == ["first", "second"]


@pytest.mark.parametrize(("key", "count"), [("'conflict_1'", 1), ("7", 2)])
def test_without_a_time_only_an_id_that_is_no_number_says_which_row_it_is(
    key: str, count: int, tmp_path: Path, target: Path, migrate: Migrate
) -> None:
    source = tmp_path / "old.db"
    execute(
        source,
        "CREATE TABLE conflicts (id PRIMARY KEY, agents, issue, resolved)",
        f"INSERT INTO conflicts VALUES ({key}, '[\"a\", \"b\"]', 'both', 0)",
    )
    migrate(source)
    execute(source, "UPDATE conflicts SET resolved = 1")
    migrate(source)
    found = query(target, "SELECT resolved FROM conflicts ORDER BY id")
    assert [row["resolved"] for row in found] == [0, 1][-count:]


def test_a_changed_row_whose_own_is_gone_here_is_brought_over_anew(
    tmp_path: Path, target: Path, migrate: Migrate
) -> None:
    row = f"INSERT INTO activities (id, agent, timestamp, activity, category) VALUES ('x', 'a', '{AT}', 'x', 't')"
    source = make(tmp_path / "old.db", "complete", row)
    migrate(source)
    execute(target, "DELETE FROM activities")  # as retention does
    execute(source, "UPDATE activities SET status = 'failed'")
    migrate(source)
    assert query(target, "SELECT status FROM activities") == [{"status": "failed"}]


def component(name: str, kind: str | None, owner: str, updated: str, version: int = 1, key: str | None = None) -> str:
    shown = "NULL" if kind is None else f"'{kind}'"
    return (
        "INSERT INTO components (id, name, type, owner, created_at, updated_at, version)"
        f" VALUES ('{key or f'{name} {kind}'}', '{name}', {shown}, '{owner}', '{AT}', '{updated}', {version})"
    )


def owners(target: Path) -> dict[str, tuple[str, int]]:
    found = query(target, "SELECT name, owner, version FROM components")
    return {row["name"]: (row["owner"], row["version"]) for row in found}


def test_components_of_one_name_and_two_types_are_two(tmp_path: Path, target: Path, migrate: Migrate) -> None:
    source = make(
        tmp_path / "old.db",
        "complete",
        component("/api/auth", "api", "backend-api", "2025-09-18T10:00:00", 3),
        component("/api/auth", "test", "testing", "2025-09-18T11:00:00", 1),
        component("/api/auth", "unknown", "master", "2025-09-18T09:00:00", 2),
    )
    migrate(source)
    expected = {
        "/api/auth": ("testing", 1),
        "/api/auth (api)": ("backend-api", 3),
        "/api/auth (unknown)": ("master", 2),
    }
    assert owners(target) == expected
    claimed = query(target, "SELECT agent, target FROM claims ORDER BY target")
    assert {row["target"]: row["agent"] for row in claimed} == {name: owner for name, (owner, _) in expected.items()}
    named = ("migrated", "named with its type: a component of another type has that name")
    assert sorted(outcomes(target, "components"), key=str) == [named, named, ("migrated", None)]

    execute(source, "UPDATE components SET owner = 'x', version = version + 1, updated_at = '2025-09-19T10:00:00'")
    execute(source, component("/api/auth", "frontend", "frontend-ui", "2025-09-20T10:00:00"))
    migrate(source)
    assert owners(target) == {
        **{name: ("x", version + 1) for name, (_, version) in expected.items()},
        "/api/auth (frontend)": ("frontend-ui", 1),
    }


def test_which_component_keeps_the_name_does_not_depend_on_the_number_of_runs(
    tmp_path: Path, target: Path, migrate: Migrate
) -> None:
    source = make(tmp_path / "old.db", "bridge", component("c", None, "nobody", "2025-01-01 00:00:00"))
    migrate(source)
    execute(source, component("c", "api", "backend-api", "2025-01-02 00:00:00"))
    migrate(source)
    assert owners(target) == {"c": ("nobody", 1), "c (api)": ("backend-api", 1)}


def test_a_component_that_was_registered_here_without_a_type_is_the_one_of_that_name(
    tmp_path: Path, target: Path, migrate: Migrate
) -> None:
    db = Database(str(target))
    components.register(db, 1_000_000, "c", "me", "active", None)
    db.close()
    migrate(make(tmp_path / "old.db", "bridge", component("c", "api", "backend-api", "2025-01-02 00:00:00", 5)))
    assert owners(target) == {"c": ("backend-api", 5)}


def test_what_components_of_other_ids_said_is_not_mixed(tmp_path: Path, target: Path, migrate: Migrate) -> None:
    source = make(
        tmp_path / "old.db",
        "bridge",
        component("c", "api", "first", "2025-01-01 00:00:00", 9, key="1"),
        component("c", "api", "second", "2025-01-02 00:00:00", 2, key="2"),
        "UPDATE components SET created_at = '2024-01-01 00:00:00', description = 'the first' WHERE id = '1'",
    )
    migrate(source)
    [found] = query(target, "SELECT owner, version, metadata, created_us FROM components")
    assert (found["owner"], found["version"], found["metadata"]) == ("second", 2, '{"type":"api"}')
    assert found["created_us"] == 1758182400_250_000
    assert sorted(outcomes(target, "components"), key=str) == [
        ("merged", "another row of that name is newer"), ("migrated", None),
    ]  # fmt: skip


@pytest.mark.parametrize("table", ["components", "agents", "activities", "breaches"])
def test_a_trigger_that_changes_what_is_written_is_found_out(
    table: str, tmp_path: Path, target: Path, migrate: Migrate
) -> None:
    change = {"components": "owner", "agents": "status", "activities": "agent", "breaches": "severity"}[table]
    execute(
        target,
        f"CREATE TRIGGER evil AFTER INSERT ON {table} BEGIN UPDATE {table} SET {change} = 'evil'"
        " WHERE rowid = new.rowid; END",
    )
    before = dump(target)
    with pytest.raises(VerificationFailed, match=f"rows of {table} are not as they were mapped"):
        migrate(old.make(tmp_path / "old.db", "e", rows=10))
    assert dump(target) == before


def test_what_is_again_as_it_was_is_so_here_too(tmp_path: Path, target: Path, migrate: Migrate) -> None:
    source = make(
        tmp_path / "old.db",
        "optimized",
        f"INSERT INTO activities VALUES (1, 'a', '{AT}', 'x', 'task', 'active')",
        f"INSERT INTO components VALUES (1, 'c', 'api', 'backend-api', '{AT}')",
    )
    copy = tmp_path / "copy.db"
    copy.write_bytes(source.read_bytes())
    migrate(source)
    for status, owner in (("pending", "testing"), ("active", "backend-api"), ("pending", "testing")):
        execute(source, f"UPDATE activities SET status = '{status}'", f"UPDATE components SET owner = '{owner}'")
        migrate(source)
        assert query(target, "SELECT status FROM activities") == [{"status": status}]
        assert owners(target) == {"c": (owner, 1)}
        assert migrate(source).run is None
        assert sorted(outcome for table in ("activities", "components") for outcome, _ in outcomes(target, table)) == [
            "merged", "merged", "migrated", "migrated",
        ]  # fmt: skip
    assert migrate(copy).run is None, "what was there before is known, wherever else it stands"


@pytest.mark.parametrize("seed", range(6))
def test_however_a_source_changes_between_runs_each_row_is_there_once(
    seed: int, tmp_path: Path, target: Path, migrate: Migrate
) -> None:
    chance = random.Random(seed)
    source = make(tmp_path / "old.db", chance.choice(["complete", "bridge"]))
    rows: dict[str, dict[str, Any]] = {}
    for _ in range(5):
        for _ in range(chance.randrange(1, 8)):
            key = chance.choice([f"new{len(rows)}", *rows])
            made = {"agent": chance.choice("ab"), "timestamp": f"2025-09-18T10:00:{len(rows):02}"}
            row = rows.get(key, made) | {
                "activity": chance.choice("xyz"),
                "category": "t",
                "status": chance.choice("pq"),
            }
            rows[key] = row
            columns, marks = ", ".join(row), ", ".join(f"'{value}'" for value in row.values())
            execute(source, f"INSERT OR REPLACE INTO activities (id, {columns}) VALUES ('{key}', {marks})")
        migrate(source)
        found = query(target, "SELECT agent, activity, category, status FROM activities ORDER BY id")
        expected = [{name: row[name] for name in ("agent", "activity", "category", "status")} for row in rows.values()]
        assert sorted(found, key=str) == sorted(expected, key=str)
        current = [row["target_key"] for row in query(target, "SELECT * FROM legacy_rows WHERE outcome = 'migrated'")]
        assert sorted(current) == [row["id"] for row in query(target, "SELECT id FROM activities ORDER BY id")]
        assert migrate(source).run is None
    assert_current_rows_are_there(target, source)


def assert_current_rows_are_there(target: Path, source: Path) -> None:
    execute(target, "DELETE FROM legacy_rows WHERE outcome = 'merged'")
    assert_every_row_is_there(target, source)
