"""A database with some rows, and a backup of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcpd.backup import backups
from mcpd.store import activities, schema
from mcpd.store.database import Database


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "state" / "mcp.db"
    path.parent.mkdir()
    db = Database(str(path))
    schema.migrate(db, 1)
    add(db, 20)
    db.close()
    return path


@pytest.fixture
def made(database: Path, tmp_path: Path) -> Path:
    """A backup of the database."""
    configuration = tmp_path / "mcpd.toml"
    configuration.write_text("[log]\n")
    return backups.make(database, {"config": [configuration]}, tmp_path / "backups").path


def add(db: Database, count: int) -> None:
    for number in range(count):
        activities.add(db, number, "a", f"activity {number}", "task", "completed", None)
