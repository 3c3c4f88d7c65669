"""Recordings of agents that ask for it: what tmux says was printed, as asciicast files, within limits."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import BinaryIO

from mcpd.terminals import asciicast
from mcpd.terminals.asciicast import Cast, Stored


class Recorder:
    """Record *agent* into *folder*; the files of one agent hold at most *max_bytes* and live for *max_age_us*.

    A file is a quarter of that, so that the oldest quarter goes when the newest is full.
    """

    def __init__(self, folder: Path, agent: str, title: str, max_bytes: int, max_age_us: int) -> None:
        self._folder = folder
        self._agent = agent
        self._title = title
        self._max_bytes = max_bytes
        self._max_age_us = max_age_us
        self._file: BinaryIO | None = None
        self._cast: Cast
        self._written_bytes = 0
        self._size = (80, 24)

    def resized(self, width: int, height: int, now_us: int) -> None:
        """The pane is *width* by *height* from now on."""
        if (width, height) != self._size:
            self._size = (width, height)
            if self._file is not None:
                self._write(self._cast.resized(width, height, now_us))

    def printed(self, data: bytes, now_us: int) -> None:
        """Record *data*."""
        if self._file is None and not self._begin(now_us):
            return
        self._write(self._cast.output(data, now_us))
        if self._written_bytes > self._max_bytes // 4:
            self.close()

    def flush(self) -> None:
        """Hand what was recorded to the kernel."""
        if self._file is not None:
            self._guarded(self._file.flush)

    def close(self) -> None:
        """End the file; the next output begins another."""
        if self._file is not None:
            self._guarded(self._file.close)
        self._file = None

    def prune(self, now_us: int) -> None:
        """Delete what is too old or too much."""
        files = []
        for path in self._folder.glob(f"{self._agent}.*{asciicast.SUFFIX}"):
            with contextlib.suppress(OSError):
                found = path.stat()
                files.append(Stored(path, found.st_size, found.st_mtime_ns // 1000))
        for path in asciicast.expired(files, now_us, self._max_age_us, self._max_bytes):
            path.unlink(missing_ok=True)

    def _begin(self, now_us: int) -> bool:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self.prune(now_us)
            self._file = (self._folder / asciicast.name(self._agent, now_us)).open("xb")
        except OSError as exc:
            logging.getLogger("mcpd").error("cannot record %s: %s", self._agent, exc)
            return False
        self._cast = Cast(now_us, self._title, *self._size)
        self._written_bytes = 0
        self._write(self._cast.header)
        return True

    def _write(self, line: bytes) -> None:
        file = self._file
        if file is not None:
            self._written_bytes += len(line)
            self._guarded(lambda: file.write(line))

    def _guarded(self, action: object) -> None:
        try:
            action()  # type: ignore[operator]
        except OSError as exc:  # a full disk ends the recording, not the terminal
            logging.getLogger("mcpd").error("cannot record %s: %s", self._agent, exc)
            self._file = None
