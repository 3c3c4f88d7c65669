"""``create_backup``: asks systemd by a file, and tells what came of it; mcpd-backup stands on the other side."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from mcpd.backup import backups as archives
from mcpd.backup import nightly
from mcpd.config import BACKUP_REQUEST, Backup, Config
from mcpd.config import Database as Settings
from mcpd.store.database import Database
from mcpd.tools import backups
from tests.unit.server.client import TASKS, Site
from tests.unit.server.test_calls import play
from tests.unit.server.test_tasks import settled, started
from tests.unit.server.tools import World


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backups, "_LOOK_S", 0.01)


@pytest.fixture
def config(path: str, tmp_path: Path) -> Config:
    return Config(database=Settings(path=path), backup=Backup(directory=str(tmp_path / "backups")))


async def asked(path: str) -> None:
    async with asyncio.timeout(5):
        while not Path(path).with_name(BACKUP_REQUEST).exists():  # noqa: ASYNC110 - as systemd would see it
            await asyncio.sleep(0.01)


async def backup(config: Config, path: str) -> None:
    """Do what mcpd-backup.path and the service behind it do."""
    await asked(path)
    await asyncio.to_thread(nightly.run, config, [])


def test_a_backup_that_was_asked_for_is_told_of(db: Database, config: Config, path: str, tmp_path: Path) -> None:
    async def scene(site: Site, _: World) -> None:
        task = await started(site, "create_backup")
        await backup(config, path)
        made = (await settled(site, task["taskId"]))["result"]["structuredContent"]
        assert made["rows"] > 0
        assert [str(found) for found in archives.all_of(tmp_path / "backups")] == [made["path"]]

    play(db, scene, config)
    assert not Path(path).with_name(BACKUP_REQUEST).exists()


def test_a_backup_that_failed_says_why(db: Database, path: str, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    config = Config(database=Settings(path=path), backup=Backup(directory=str(tmp_path / "taken")))

    async def scene(site: Site, _: World) -> None:
        connection = site.call("create_backup")
        with pytest.raises(Exception):  # noqa: B017 - of what kind is mcpd-backup's own test
            await backup(config, path)
        result: Any = (await connection.answer())["result"]
        assert result["isError"] is True
        assert result["content"][0]["text"].startswith("the backup failed: ")

    play(db, scene, config)


def test_where_nobody_begins_one_it_says_so_and_takes_the_request_back(
    db: Database, config: Config, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backups.Backups.__init__, "__defaults__", (0.05,))

    async def scene(site: Site, _: World) -> None:
        result = (await site.call("create_backup").answer())["result"]
        assert result["content"][0]["text"] == "no backup began; is mcpd-backup.path active? See: mcpctl health"

    play(db, scene, config)
    assert not Path(path).with_name(BACKUP_REQUEST).exists()


def test_a_cancelled_request_is_taken_back(db: Database, config: Config, path: str) -> None:
    async def scene(site: Site, _: World) -> None:
        task_id = (await started(site, "create_backup"))["taskId"]
        await asked(path)
        await site.modern("tasks/cancel", TASKS, taskId=task_id).answer()
        assert (await settled(site, task_id))["status"] == "cancelled"

    play(db, scene, config)
    assert not Path(path).with_name(BACKUP_REQUEST).exists()
