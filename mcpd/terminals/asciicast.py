"""Recordings: asciicast v2 (docs.asciinema.org/manual/asciicast/v2), a file per agent and start, within limits."""

from __future__ import annotations

import codecs
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

SUFFIX = ".cast"


@dataclass(frozen=True, slots=True)
class Stored:
    """A recording on disk."""

    path: Path
    size_bytes: int
    written_us: int


def name(agent: str, now_us: int) -> str:
    """Return the file name of a recording of *agent* that begins at *now_us*; names sort by time."""
    return f"{agent}.{now_us:016d}{SUFFIX}"


def expired(files: Iterable[Stored], now_us: int, max_age_us: int, max_bytes: int) -> list[Path]:
    """Return which of one agent's *files* must go: the too old, and the oldest of what is over *max_bytes* together."""
    gone, kept_bytes = [], 0
    for file in sorted(files, key=lambda file: file.written_us, reverse=True):
        kept_bytes += file.size_bytes
        if kept_bytes > max_bytes or now_us - file.written_us > max_age_us:
            gone.append(file.path)
    return gone


class Cast:
    """The lines of one recording; the first is the header. A character that comes in two parts stays whole."""

    def __init__(self, started_us: int, title: str, width: int, height: int) -> None:
        self._started_us = started_us
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        header = {"version": 2, "width": width, "height": height, "timestamp": started_us // 1_000_000, "title": title}
        self.header = orjson.dumps(header) + b"\n"

    def output(self, data: bytes, now_us: int) -> bytes:
        """Return the line that says *data* was printed at *now_us*; empty when it ends within a character."""
        return self._event(now_us, "o", self._decoder.decode(data))

    def resized(self, width: int, height: int, now_us: int) -> bytes:
        """Return the line that says the terminal got another size."""
        return self._event(now_us, "r", f"{width}x{height}")

    def _event(self, now_us: int, kind: str, text: str) -> bytes:
        if not text:
            return b""
        return orjson.dumps([round((now_us - self._started_us) / 1e6, 6), kind, text]) + b"\n"
