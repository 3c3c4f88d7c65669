"""Learn at once that another process has committed: inotify(7) on the directory of the database's write-ahead log.

It costs the writers nothing and needs nothing of them. The directory is watched, not the file, which SQLite may delete
and make again. A write to the log comes shortly before its rows can be read: so each is looked at once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import struct
from collections.abc import Callable
from pathlib import Path

_MODIFY, _CREATE, _MOVED_TO = 0x2, 0x100, 0x80
_ONLY_DIRECTORY = 0x01000000
_OVERFLOW, _IGNORED = 0x4000, 0x8000
_EVENT = struct.Struct("iIII")
_AGAIN_S = (0.001, 0.02)
_LOOK_S = 2.0


class Doorbell:
    """Call *ring* whenever the database at *path* may have something new, and every two seconds in any case.

    *ring* says whether there was something. Who writes itself hears itself, too; *pause_s* is the least time from one
    bell to the next then.
    """

    def __init__(self, path: str, ring: Callable[[], bool], pause_s: float = 0.0) -> None:
        self._directory = str(Path(path).parent)
        self._wal = os.fsencode(Path(path).name + "-wal")
        self._ring = ring
        self._pause_s = pause_s
        self._loop = asyncio.get_running_loop()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._again: list[asyncio.TimerHandle] = []
        self._watched = False
        if self._fd >= 0:
            self._loop.add_reader(self._fd, self._read)
        self._look()

    @property
    def hears(self) -> bool:
        """Whether it is told by the kernel; else it only looks every two seconds."""
        return self._watched

    def close(self) -> None:
        """Ring no more."""
        self._timer.cancel()
        for handle in self._again:
            handle.cancel()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _watch(self) -> None:
        mask = _MODIFY | _CREATE | _MOVED_TO | _ONLY_DIRECTORY
        self._watched = self._fd >= 0 and (
            self._libc.inotify_add_watch(self._fd, os.fsencode(self._directory), mask) >= 0
        )

    def _look(self) -> None:
        """Look without having been told, since a directory may be replaced and a bell be missed."""
        self._timer = self._loop.call_later(_LOOK_S, self._look)
        self._watch()  # where it is watched already, this changes nothing
        self._ring()

    def _read(self) -> None:
        data = b""
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._fd, 65536)
        if self._concerns(data):
            self._ring()
            for handle in self._again:
                handle.cancel()
            self._again = [self._loop.call_later(delay_s, self._ring) for delay_s in _AGAIN_S]
            if self._pause_s:
                self._loop.remove_reader(self._fd)
                self._again.append(self._loop.call_later(self._pause_s, self._loop.add_reader, self._fd, self._read))

    def _concerns(self, data: bytes) -> bool:
        """Say whether one of the events in *data* is about the log."""
        offset = 0
        while offset < len(data):
            _, mask, _, size = _EVENT.unpack_from(data, offset)
            offset += _EVENT.size
            if mask & (_OVERFLOW | _IGNORED) or data[offset : offset + size].rstrip(b"\0") == self._wal:
                return True
            offset += size
        return False
