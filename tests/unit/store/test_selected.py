"""The columns that the old system's tools select, over whatever stood in the database when they were added."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcpd.store import schema
from mcpd.store.database import Database


@pytest.fixture
def db(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database from before those columns."""
    steps = [step for step in schema.migrations() if step.version < 13]
    database = Database(str(tmp_path / "mcp.db"))
    with monkeypatch.context() as patch:
        patch.setattr(schema, "migrations", lambda: steps)
        schema.migrate(database, 1)
    return database


def test_any_metadata_has_the_columns(db: Database) -> None:
    kinds = {
        '{"type": "api", "dependencies": ["a"]}': ("api", '["a"]'), '{"type": 5}': (5, None),
        '{"type": true}': (1, None), '{"type": {"a": 1}}': ('{"a":1}', None), "[1]": (None, None), "null": (None, None),
        '"x"': (None, None),
    }  # fmt: skip
    for number, metadata in enumerate(kinds):
        db.execute("INSERT INTO components VALUES (?, 'o', 'active', 1, ?, 0, 5000000)", (str(number), metadata))
    db.execute("INSERT INTO conflicts (agents, issue, severity, resolved, created_us) VALUES ('{}', 'x', 'low', 0, 0)")
    schema.migrate(db, 1)
    assert db.rows("SELECT type, dependencies FROM components ORDER BY name") == list(kinds.values())
    assert db.one("SELECT id, created_at, updated_at FROM components") == ("0", None, "1970-01-01 00:00:05.000")
    assert db.one("SELECT agent1, agent2, created_at, detected_at FROM conflicts") == (None, None, None, None)
    assert db.rows("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize(
    ("at_us", "shown"),
    [
        (0, None),
        (1758182400_250_000, "2025-09-18 08:00:00.250"),
        (-5_000_000, "1969-12-31 23:59:55.000"),
        (2**63 - 1, None),
    ],
)
def test_a_time_is_utc_and_one_that_nobody_knows_is_null(db: Database, at_us: int, shown: str | None) -> None:
    db.execute("INSERT INTO activities VALUES (1, ?, 'a', 'x', 'task', 'completed', NULL)", (at_us,))
    db.execute("INSERT INTO agents (name, created_us, last_seen_us) VALUES ('a', ?1, ?1)", (at_us,))
    schema.migrate(db, 1)
    assert db.value("SELECT timestamp FROM activities") == shown
    assert db.value("SELECT last_seen FROM agent_states") == shown
