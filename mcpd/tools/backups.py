"""A backup on request: systemd makes it, for the server cannot reach backups, so that nobody spoils them through it."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import orjson

from mcpd.config import BACKUP_REQUEST
from mcpd.errors import ToolFailed
from mcpd.store import events
from mcpd.store.database import Database
from mcpd.tools.asynchronous import AsyncTool, Outcome
from mcpd.tools.context import Context, Stopped

_LOOK_S = 0.5
_BEGIN_S = 30.0
_PAGE = 500


class Backup(msgspec.Struct):
    """The archive that was made and proved."""

    path: str
    rows: int
    size_bytes: int
    duration_s: float


class Backups:
    """Have backups made, asking by a file in *directory*; *begin_s* is the time for one to begin."""

    def __init__(self, directory: Path, begin_s: float = _BEGIN_S) -> None:
        self._request = directory / BACKUP_REQUEST
        self._begin_s = begin_s

    @property
    def tool(self) -> AsyncTool:
        """The tool that asks for a backup and waits for it."""
        return AsyncTool(
            name="create_backup",
            title="Create backup",
            description="Back up the database, configuration and agents' screens, proved by unpacking. Runs as a task.",
            result=Backup,
            function=self._create,
            idempotent=True,
        )

    async def _create(self, context: Context, _: object) -> Outcome:
        await context.as_task()
        seq = await context.store(lambda call: events.newest(call.db))
        await asyncio.to_thread(self._request.touch)
        try:
            return await self._wait(context, seq)
        finally:
            self._request.unlink(missing_ok=True)  # nobody waits for one that has not begun

    async def _wait(self, context: Context, seq: int) -> Outcome:
        loop = asyncio.get_running_loop()
        late_s = loop.time() + self._begin_s
        looks = 0
        while True:
            await asyncio.sleep(_LOOK_S)
            looks += 1
            begun = not await asyncio.to_thread(self._request.exists)
            if not begun and loop.time() > late_s:
                raise ToolFailed("no backup began; is mcpd-backup.path active? See: mcpctl health")
            context.progress(looks, message="being made and proved" if begun else "waiting for systemd to begin")
            seq, end = await context.snapshot(partial(_look, seq))
            if end is not None:
                return _outcome(*end)


def _look(seq: int, db: Database, stopped: Stopped) -> tuple[int, tuple[str, dict[str, Any]] | None]:
    """Return the number of the last event looked at, and topic and data of one that ends a backup."""
    while not stopped.is_set() and (rows := events.since(db, seq, _PAGE)):
        for number, _, topic, _, data in rows:
            seq = number
            if topic in ("backup.finished", "backup.failed"):
                return seq, (topic, orjson.loads(data))
    return seq, None


def _outcome(topic: str, data: dict[str, Any]) -> Outcome:
    if topic == "backup.failed":
        raise ToolFailed(f"the backup failed: {data['error']}")
    made = Backup(data["path"], data["rows"], data["size_bytes"], data["duration_s"])
    return Outcome(structured=made)
