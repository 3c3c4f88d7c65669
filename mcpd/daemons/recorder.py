"""Recordings of agents that ask for it: what tmux says was printed, as asciicast files, within limits."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import BinaryIO

from mcpd.terminals import asciicast
from mcpd.terminals.asciicast import Cast, Stored
from mcpd.terminals.control import Drawing

DAY_US = 86_400_000_000
FOLDER = "recordings"
"""Where recordings are, beside the database."""


def prune(folder: Path, now_us: int, max_bytes: int, max_age_us: int) -> int:
    """Delete the recordings in *folder* that are too old, or too much of one agent, also one that is no more.

    Return how many.
    """
    by_agent: dict[str, list[Stored]] = {}
    for path in folder.glob(f"*{asciicast.SUFFIX}"):
        with contextlib.suppress(OSError):
            found = path.stat()
            stored = Stored(path, found.st_size, found.st_mtime_ns // 1000)
            by_agent.setdefault(path.name.partition(".")[0], []).append(stored)
    gone = [path for files in by_agent.values() for path in asciicast.expired(files, now_us, max_age_us, max_bytes)]
    for path in gone:
        with contextlib.suppress(OSError):
            path.unlink()
    return len(gone)


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

    def began(self, screen: Drawing, now_us: int) -> None:
        """Begin a file with what is on the *screen*, so that what is printed next is seen where it belongs."""
        self.close()
        self._size = (screen.width, screen.height)
        if self._begin(now_us):
            self._write(self._cast.output(screen.data, now_us))

    def printed(self, data: bytes, now_us: int) -> bool:
        """Record *data*, in the file that there is; say whether it is time for another one to begin."""
        self._write(self._cast.output(data, now_us) if self._file is not None else b"")
        return self._file is None or self._written_bytes > self._max_bytes // 4

    def flush(self) -> None:
        """Hand what was recorded to the kernel."""
        if self._file is not None:
            self._guarded(self._file.flush)

    def close(self) -> None:
        """End the file."""
        if self._file is not None:
            self._guarded(self._file.close)
        self._file = None

    def _begin(self, now_us: int) -> bool:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            prune(self._folder, now_us, self._max_bytes, self._max_age_us)
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
        if file is not None and line:
            self._written_bytes += len(line)
            self._guarded(lambda: file.write(line))

    def _guarded(self, action: object) -> None:
        try:
            action()  # type: ignore[operator]
        except OSError as exc:  # a full disk ends the recording, not the terminal
            logging.getLogger("mcpd").error("cannot record %s: %s", self._agent, exc)
            self._file = None
