from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpd.store import schema
from mcpd.store.database import Database


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "mcp.db")


@pytest.fixture
def db(path: str) -> Iterator[Database]:
    database = Database(path, busy_timeout_s=0.05)
    schema.migrate(database, 1)
    yield database
    database.close()
