"""A server that starts with other settings than the last one says so."""

from __future__ import annotations

import asyncio

import orjson

from mcpd.config import Config, Log, Tools
from mcpd.plugins.base import Plugin
from mcpd.store import events
from mcpd.store.database import Database
from tests.unit.server.client import Site


def start(db: Database, config: Config) -> None:
    async def life() -> None:
        site = Site(db, Plugin(), config)
        await site.core.start()
        await site.core.close()

    asyncio.run(life())


def changes(db: Database) -> list[object]:
    return [orjson.loads(row[4])["changes"] for row in events.since(db, 0, 99) if row[2] == "config.changed"]


def test_only_a_change_is_told_with_what_was_before(db: Database) -> None:
    start(db, Config())
    start(db, Config())
    assert changes(db) == []
    start(db, Config(log=Log(level="debug"), tools=Tools(disabled=("a",))))
    start(db, Config(log=Log(level="debug"), tools=Tools(disabled=("a",))))
    assert changes(db) == [
        [
            {"key": "log.level", "before": "info", "after": "debug"},
            {"key": "tools.disabled", "before": [], "after": ["a"]},
        ]
    ]


def test_a_key_that_an_older_mcpd_did_not_have_is_told_as_new(db: Database) -> None:
    start(db, Config())
    db.execute("DELETE FROM known_settings WHERE name = 'log.level'")
    start(db, Config())
    assert changes(db) == [[{"key": "log.level", "before": None, "after": "info"}]]
