"""A target, a job, and what is to be said of both."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from mcpd.legacy import migration
from mcpd.legacy.migration import Job
from mcpd.legacy.report import Report
from mcpd.store import events, schema
from mcpd.store.database import Database

ROME = ZoneInfo("Europe/Rome")
Migrate = Callable[..., Report]


def dump(path: Path) -> list[tuple[Any, ...]]:
    """Return all that the database at *path* holds."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    tables = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")]
    rows = [(table, *row) for table in tables for row in db.execute(f'SELECT * FROM "{table}"')]
    db.close()
    return rows


def dump_before(path: Path) -> list[tuple[Any, ...]]:
    """Return what the database at *path* held before it was restored: all but the event that says so."""
    return [row for row in dump(path) if row[0] != "events" or row[3] != events.RESTORED]


def job(target: Path, *sources: Path) -> Job:
    return Job(sources, target, ROME, "Europe/Rome", target.parent / "legacy")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    directory = tmp_path / "state"
    directory.mkdir()
    database = Database(str(directory / "mcp.db"))
    schema.migrate(database, 1)
    database.close()
    return directory / "mcp.db"


@pytest.fixture
def migrate(target: Path) -> Migrate:
    """Return a function that migrates files into the target."""
    return lambda *sources: migration.run(job(target, *sources), lambda *_: None)
