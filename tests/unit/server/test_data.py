"""Reports and exports: true to the database, stopped in the middle without a trace, kept within bounds."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import orjson
import pytest

from mcpd.config import Config
from mcpd.config import Database as Settings
from mcpd.store import events
from mcpd.store.database import Database
from mcpd.tools import data
from tests.unit.server.client import TASKS, Site
from tests.unit.server.test_calls import play
from tests.unit.server.test_tasks import settled, started
from tests.unit.server.tools import World


@pytest.fixture
def config(path: str) -> Config:
    return Config(database=Settings(path=path))


def fill(db: Database, rows: int) -> None:
    with db.transaction():
        for number in range(rows):
            events.add(db, 1_000_000 + number, "test", "a", {"number": number})


def whole(path: str) -> bytes:
    return Path(path).read_bytes()


def lines(path: str) -> list[Any]:
    return [orjson.loads(line) for line in Path(path).read_bytes().splitlines()]


def test_a_report_counts_what_happened(db: Database, config: Config) -> None:
    async def scene(site: Site, _: World) -> None:
        for status in ("completed", "completed", "failed"):
            logged = {"agent": "ann", "activity": "x", "category": "task", "status": status}
            await site.call("log_activity", arguments=logged).answer()
        result = (await site.call("create_report").answer())["result"]
        report = result["structuredContent"]
        assert report["work"]["activities"] == {"completed": 2, "failed": 1}
        assert report["work"]["agents"] == {"ann": 3}
        assert report["calls"]["tools"] == {"log_activity": 3}
        assert "- completed: 2" in result["content"][0]["text"]
        wrong = (await site.call("create_report", arguments={"hours": 0}).answer())["result"]
        assert wrong["isError"] is True

    play(db, scene, config)


def test_an_export_is_the_tables_and_a_resource(db: Database, config: Config) -> None:
    fill(db, 2500)

    async def scene(site: Site, _: World) -> None:
        task = await started(site, "export_data", arguments={"tables": ["events", "agents", "events"]})
        result = (await settled(site, task["taskId"]))["result"]
        export = result["structuredContent"]
        assert export["rows"] == {"events": 2501, "agents": 0}  # the task's own beginning is one
        read = lines(export["path"])
        assert [line["row"]["seq"] for line in read if line["table"] == "events"] == list(range(1, 2502))
        raw = whole(export["path"])
        assert (export["size_bytes"], export["sha256"]) == (len(raw), hashlib.sha256(raw).hexdigest())
        content = (await site.modern("resources/read", uri=export["uri"], headers={b"mcp-name": export["uri"].encode()})
                   .answer())["result"]["contents"]  # fmt: skip
        assert content[0]["text"].encode() == raw
        for wrong in ("export://../mcp.db", "export://nothing.jsonl"):
            error = await site.modern("resources/read", uri=wrong, headers={b"mcp-name": wrong.encode()}).answer()
            assert error["error"]["code"] == -32602

    play(db, scene, config)


def test_an_export_that_is_stopped_leaves_nothing(
    db: Database, config: Config, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcpd.store.exports._PAGE", 1)
    fill(db, 3000)

    async def scene(site: Site, _: World) -> None:
        task_id = (await started(site, "export_data"))["taskId"]
        await site.modern("tasks/cancel", TASKS, taskId=task_id).answer()
        assert (await settled(site, task_id))["status"] == "cancelled"

    play(db, scene, config)  # its loop waits for its threads
    assert list(Path(path).with_name("exports").glob("*")) == []


def test_only_the_newest_exports_are_kept(
    db: Database, config: Config, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "KEPT", 2)

    async def scene(site: Site, _: World) -> None:
        made = []
        for _n in range(3):
            site.now_us += 2_000_000
            made.append((await site.call("export_data").answer())["result"]["structuredContent"]["path"])
        assert sorted(map(str, Path(path).with_name("exports").glob("*"))) == sorted(made[1:])

    play(db, scene, config)


def test_an_export_that_cannot_be_written_says_so(db: Database, path: str) -> None:
    Path(path).with_name("exports").write_text("in the way")

    async def scene(site: Site, _: World) -> None:
        answer = await site.call("export_data").answer()
        assert answer["error"]["message"].startswith("the export cannot be written: ")

    play(db, scene, Config(database=Settings(path=path)))
