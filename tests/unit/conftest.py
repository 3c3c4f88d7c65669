from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson
import pytest

from mcpd.protocol.events import CATALOGUE, check
from mcpd.store import events, schema
from mcpd.store.database import Database


@pytest.fixture(autouse=True)
def checked_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every event of a topic of ours that a test makes happen holds what the catalogue says."""
    add = events.add

    def checked(db: Database, now_us: int, topic: str, agent: str | None, data: Mapping[str, object]) -> None:
        if topic in CATALOGUE:
            check(topic, orjson.dumps(data).decode())
        add(db, now_us, topic, agent, data)

    monkeypatch.setattr(events, "add", checked)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "mcp.db")


@pytest.fixture
def db(path: str) -> Iterator[Database]:
    database = Database(path, busy_timeout_s=0.05)
    schema.migrate(database, 1)
    yield database
    database.close()
