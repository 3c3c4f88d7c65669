"""The streams of the event dialect: figures at an interval, and the log of requests. None holds its connection up.

The log is the audit, what every caller asked for and what came of it; the journal belongs to root and systemd-journal,
whose ``journalctl`` reads it (``mcpctl logs``).
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from mcpd.errors import Error, InvalidParams
from mcpd.store import audit
from mcpd.store.database import Database, Row, store_errors
from mcpd.times import rfc3339
from mcpd.ws import messages
from mcpd.ws.messages import Message
from mcpd.ws.room import Peer

MAX_STREAMS = 16
_PAGE = 200
_MAX_BEHIND = 10_000
_MAX_FIRST = 1000
_FIRST = 10
_LEVELS = ("debug", "info", "warning", "error")
_LEVEL_OF = {"refused": "warning", "cancelled": "warning", "failed": "error"}
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Stream:
    """One stream: *interval_s* and *due_s* of figures; *level* and *place* of a log; *names* of events."""

    id: str | int | float
    kind: str
    interval_s: float = 0.0
    due_s: float = 0.0
    level: str = "info"
    place: int = 0
    names: tuple[str, ...] = ()


class Meter:
    """What ``stream metrics`` tells, of how many connections, subscriptions and events there are."""

    def __init__(self, count: Callable[[], int], subscriptions: Callable[[], int], told: Callable[[], int]) -> None:
        self._count, self._subscriptions, self._told = count, subscriptions, told
        self._last = (time.monotonic(), 0.0, 0)
        self._shown = (0.0, 0.0)

    def look(self) -> None:
        """Compute the rates since the last call but at most once a second."""
        now_s, cpu_s, told = time.monotonic(), _cpu_s(), self._told()
        before_s, cpu_before_s, told_before = self._last
        passed_s = now_s - before_s
        if passed_s >= 1.0:
            self._shown = (100 * (cpu_s - cpu_before_s) / passed_s, (told - told_before) / passed_s)
            self._last = (now_s, cpu_s, told)

    def figures(self) -> dict[str, object]:
        """Return the figures: memory in bytes, processor time in percent of one core, events per second."""
        cpu, rate = self._shown
        return {
            "timestamp": rfc3339(time.time_ns() // 1000),
            "connections": self._count(),
            "subscriptions": self._subscriptions(),
            "memory_usage": _memory_bytes(),
            "cpu_usage": round(cpu, 2),
            "message_rate": round(rate, 2),
        }


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _memory_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


class Streams:
    """The streams of all connections."""

    def __init__(self, db: Database, meter: Meter) -> None:
        self._db = db
        self._meter = meter
        self._open: dict[Peer, dict[str | int | float, Stream]] = {}
        self._logs = 0

    def use(self, db: Database) -> None:
        """Read from *db* from now on."""
        self._db = db

    def open(self, peer: Peer, message: Message, kind: str, params: Mapping[str, Any]) -> None:
        """Begin a stream of logs or metrics, and tell the first of it; raises ``InvalidParams``."""
        stream = Stream(message.id, kind)
        if kind == "metrics":
            stream.interval_s = _number(params, "interval", 5, 1, 3600)
            self._add(peer, stream)
            self._tell_figures(peer, stream)
            return
        stream.level = str(params.get("level", "info")).lower()
        if stream.level not in _LEVELS:
            raise InvalidParams(f"level: expected one of {', '.join(_LEVELS)}")
        first = int(_number(params, "limit", _FIRST, 0, _MAX_FIRST))
        with store_errors():
            rows = list(reversed(audit.newest(self._db, None, max(first, 1), 0)))
        stream.place = rows[-1][0] if rows else 0
        if params.get("follow", True):
            self._add(peer, stream)
        self._tell_rows(peer, stream, rows[len(rows) - min(first, len(rows)) :])

    def remember_events(self, peer: Peer, message: Message, names: list[str]) -> None:
        """Note that *names* are listened to because of *message*, which may be stopped by its id."""
        self._add(peer, Stream(message.id, "events", names=tuple(names)))

    def stop_events(self, peer: Peer, names: frozenset[str]) -> None:
        """Forget the streams of events that were no more than *names*."""
        found = self._open.get(peer, {})
        for stream in [stream for stream in found.values() if stream.names and names.issuperset(stream.names)]:
            self._remove(peer, stream)

    def close(self, peer: Peer, stream_id: object) -> tuple[str, ...]:
        """End a stream; return the names that a stream of events listened to. Raises ``InvalidParams``."""
        stream = self._open.get(peer, {}).get(stream_id) if isinstance(stream_id, str | int | float) else None
        if stream is None:
            raise InvalidParams(f"stream_id: this connection has no stream {str(stream_id)[:80]}")
        self._remove(peer, stream)
        return stream.names

    def forget(self, peer: Peer) -> None:
        """End all streams of *peer*."""
        for stream in list(self._open.get(peer, {}).values()):
            self._remove(peer, stream)

    def export(self, peer: Peer) -> list[dict[str, Any]]:
        """Return the streams of *peer* as another process takes them up."""
        return [asdict(stream) for stream in self._open.get(peer, {}).values()]

    def take_up(self, peer: Peer, exported: dict[str, Any]) -> None:
        """Go on with a stream of another process."""
        stream = Stream(**{**exported, "names": tuple(exported["names"])})
        stream.due_s = time.monotonic() + stream.interval_s
        self._add(peer, stream)

    def tick(self) -> None:
        """Tell figures that are due, and of the log what those did not take who were slow; once a second."""
        self._meter.look()
        now_s = time.monotonic()
        for peer, streams in list(self._open.items()):
            for stream in list(streams.values()):
                if stream.kind == "metrics" and stream.due_s <= now_s and not peer.blocked:
                    self._tell_figures(peer, stream)
        self.ring()

    def ring(self) -> None:
        """Tell the log's new rows."""
        if not self._logs:
            return
        logs = [(p, s) for p, streams in self._open.items() for s in streams.values() if s.kind == "logs"]
        while logs := [(peer, stream) for peer, stream in logs if not peer.blocked]:
            with store_errors():
                place = max(min(stream.place for _, stream in logs), audit.newest_id(self._db) - _MAX_BEHIND)
                rows = audit.since(self._db, place, _PAGE)
            for peer, stream in logs:
                self._tell_rows(peer, stream, [row for row in rows if row[0] > stream.place])
                stream.place = max(stream.place, rows[-1][0] if rows else 0)
            if len(rows) < _PAGE:
                return

    def _add(self, peer: Peer, stream: Stream) -> None:
        mine = self._open.setdefault(peer, {})
        if stream.id in mine:
            raise InvalidParams(f"id: this connection has a stream {stream.id} already")
        if len(mine) >= MAX_STREAMS:
            raise Error(f"this connection has {MAX_STREAMS} streams; stop one first")
        mine[stream.id] = stream
        self._logs += stream.kind == "logs"

    def _remove(self, peer: Peer, stream: Stream) -> None:
        mine = self._open[peer]
        del mine[stream.id]
        self._logs -= stream.kind == "logs"
        if not mine:
            del self._open[peer]

    def _tell_figures(self, peer: Peer, stream: Stream) -> None:
        stream.due_s = time.monotonic() + stream.interval_s
        self._tell(peer, stream, self._meter.figures())

    def _tell_rows(self, peer: Peer, stream: Stream, rows: list[Row]) -> None:
        for row in rows:
            level = _LEVEL_OF.get(row[6], "info")
            if _LEVELS.index(level) >= _LEVELS.index(stream.level):
                self._tell(peer, stream, _record(level, row))

    def _tell(self, peer: Peer, stream: Stream, data: dict[str, object]) -> None:
        payload = messages.encode("stream_data", id=stream.id, stream_type=stream.kind, data=data)
        peer.write(peer.codec.text(payload))


def _record(level: str, row: Row) -> dict[str, object]:
    number, at_us, session_id, caller, operation, resource_name, outcome, request_id, details = row
    metadata = {
        "source": "audit", "id": number, "caller": caller, "operation": operation, "resource": resource_name,
        "outcome": outcome, "request_id": request_id, "session_id": session_id,
        "details": None if details is None else orjson.Fragment(details),
    }  # fmt: skip
    text = f"{' '.join(filter(None, (operation, resource_name)))} for {caller}: {outcome}"
    return {"timestamp": rfc3339(at_us), "level": level, "message": text, "metadata": metadata}


def _number(params: Mapping[str, Any], name: str, default: float, least: float, most: float) -> float:
    value = params.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise InvalidParams(f"{name}: expected a number from {least:g} to {most:g}")
    return float(value)
