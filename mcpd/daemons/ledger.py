"""Writes and reads that must not hold up the event loop: in order, in a thread of their own."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mcpd.errors import StoreUnavailable
from mcpd.store.database import Database, store_errors

T = TypeVar("T")
Write = Callable[[Database], None]

_BATCH = 256
_MAX_WAITING = 10_000
_RETRY_S = 1.0


class Ledger:
    """Carry out writes on *db*. While the database refuses they wait, up to a bound, and the oldest go first."""

    def __init__(self, db: Database, log: logging.Logger) -> None:
        self._db = db
        self._log = log
        self._waiting: deque[Write] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")
        self._task: asyncio.Task[None] | None = None

    def add(self, write: Write) -> None:
        """Have *write* done soon."""
        self._waiting.append(write)
        if len(self._waiting) > _MAX_WAITING:
            self._waiting.popleft()
            self._log.error("the database cannot be written: a record of a terminal was dropped")
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())

    async def read(self, query: Callable[[Database], T]) -> T | None:
        """Return what *query* finds, behind the writes of before; None while the database refuses."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._find, query)
        except StoreUnavailable as error:
            self._log.warning("%s", error.message)
            return None

    def _find(self, query: Callable[[Database], T]) -> T:
        with store_errors():
            return query(self._db)

    async def _drain(self) -> None:
        while self._waiting:
            if not await self._write():
                await asyncio.sleep(_RETRY_S)

    async def _write(self) -> bool:
        batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._commit, batch)
        except StoreUnavailable as error:
            self._waiting.extendleft(reversed(batch))
            self._log.warning("%s; trying again", error.message)
            return False
        return True

    def _commit(self, batch: list[Write]) -> None:
        with self._db.transaction():
            for write in batch:
                write(self._db)

    async def close(self) -> None:
        """Write what waits, once more, and end the thread."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while self._waiting:
            if not await self._write():
                self._log.error("%d records of terminals could not be written", len(self._waiting))
                break
        self._thread.shutdown()
