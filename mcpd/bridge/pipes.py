"""stdin and stdout in an event loop: a thread for each, since they may be pipes, files or a terminal.

The descriptors stay blocking: the client may share them with others, which would not expect anything else.
"""

from __future__ import annotations

import asyncio
import os
import select
import threading
from queue import SimpleQueue

_CHUNK_BYTES = 65536


class Input:
    """What comes in on *fd*, a few chunks ahead at most."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self._room = threading.Semaphore(4)
        threading.Thread(target=self._run, daemon=True).start()

    async def read(self) -> bytes:
        """Return the next chunk, an empty one at the end."""
        chunk = await self._chunks.get()
        self._room.release()
        return chunk

    def _run(self) -> None:
        chunk = b"more"
        while chunk and self._room.acquire():
            chunk = self._next()
            try:
                self._loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
            except RuntimeError:  # the loop was closed meanwhile
                return

    def _next(self) -> bytes:
        while True:
            try:
                return os.read(self._fd, _CHUNK_BYTES)
            except BlockingIOError:
                select.select([self._fd], [], [])
            except OSError:
                return b""


class Output:
    """Lines to *fd*, each whole and one after the other; ``broken`` is set when nobody reads them any more."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._lines: SimpleQueue[tuple[bytes, asyncio.Future[None]]] = SimpleQueue()
        self.broken = asyncio.Event()
        threading.Thread(target=self._run, daemon=True).start()

    async def ready(self) -> None:
        """Return at once: whether the reader is slow shows when something is written."""

    async def write(self, line: bytes) -> None:
        """Write *line* and a line break; return when the kernel has them, so that a slow reader is waited for."""
        await self._put(line + b"\n")

    async def flush(self) -> None:
        """Return when every line is written."""
        await self._put(b"")

    async def _put(self, data: bytes) -> None:
        written = self._loop.create_future()
        self._lines.put((data, written))
        await written

    def _run(self) -> None:
        broken = False
        while True:
            data, written = self._lines.get()
            broken = broken or not self._write(data)
            try:
                self._loop.call_soon_threadsafe(self._done, written, broken)
            except RuntimeError:
                return

    def _write(self, data: bytes) -> bool:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                select.select([], [self._fd], [])
            except OSError:
                return False
        return True

    def _done(self, written: asyncio.Future[None], broken: bool) -> None:
        if broken:
            self.broken.set()
        if not written.done():
            written.set_result(None)
