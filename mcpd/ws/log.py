"""The event log as those who follow it read it: what is new is kept for a while, with the frames made of it."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter

import orjson

from mcpd.store import events
from mcpd.store.database import Database, Row, store_errors
from mcpd.times import rfc3339
from mcpd.ws.topics import PLAIN, Form, Subscription
from mcpd.ws.wire import Codec

PAGE = 128
MAX_COUNTED = 10_000  # numbers, which takes some 6 ms
_PAGE_BYTES = 65_536
_MAX_PAGES = 64
_KEPT = 2048
_KEPT_BYTES = 4_194_304
_TOOL_CALL = "tool_call"
_number = attrgetter("seq")


class Entry:
    """One event, and the frames that tell it, each made when it is first asked for."""

    __slots__ = ("_frames", "agent", "at_us", "data", "seq", "topic")

    def __init__(self, row: Row) -> None:
        self.seq: int
        self.at_us: int
        self.topic: str
        self.agent: str | None
        self.data: str
        self.seq, self.at_us, self.topic, self.agent, self.data = row
        self._frames: dict[tuple[Form, int], bytes] = {}

    def frame(self, form: Form, codec: Codec) -> bytes:
        """Return the frame that tells this event in *form* on a connection of *codec*."""
        key = (form, codec.deflate)
        frame = self._frames.get(key)
        if frame is None:
            frame = self._frames[key] = codec.text(orjson.dumps(self._message(form)))
        return frame

    def _message(self, form: Form) -> dict[str, object]:
        data, at = orjson.Fragment(self.data), rfc3339(self.at_us)
        about = {"seq": self.seq, "agent": self.agent, "timestamp": at}
        if form is PLAIN:
            return {"type": "event", "topic": self.topic, **about, "data": data}
        if form.type != "broadcast":
            return {"type": form.type, **about, "data": {**self._fields(), "topic": self.topic}}
        told = self._call() if form.kind == _TOOL_CALL else data
        message = {"type": form.kind or self.topic, "data": told, "timestamp": at}
        return {"type": "broadcast", "topic": form.topic, **about, "message": message}

    def _call(self) -> dict[str, object]:
        """Return a call with the ``result`` that the old system's clients read; what it returned is in no event."""
        data: dict[str, object] = orjson.loads(self.data)
        return {**data, "result": data.get("outcome")}

    def _fields(self) -> dict[str, object]:
        """Return what the old dashboard reads of an activity or a state: one flat object."""
        found = orjson.loads(self.data)
        data = found if isinstance(found, dict) else {"value": found}
        also = {"action": data.get("activity"), "type": data.get("category")} if "activity" in data else {}
        return {"agent": self.agent, "timestamp": rfc3339(self.at_us), **also, **data}


class Log:
    """Read *db*'s events in order; ``seq`` is the number up to which they were read."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._recent: list[Entry] = []
        self._pages: dict[tuple[int, int], tuple[Sequence[Entry], int]] = {}  # of what is not recent
        self._recent_bytes = 0
        with store_errors():
            self.seq = events.newest(db)
        self._before = self.seq  # the number before the oldest of the recent ones

    def use(self, db: Database) -> None:
        """Go on with *db*, which has taken the other's place; raises ``StoreUnavailable``."""
        with store_errors():
            newest = events.newest(db)
        self._db, self.seq, self._before = db, newest, newest
        self._recent.clear()
        self._pages.clear()
        self._recent_bytes = 0

    def read_new(self) -> list[Entry]:
        """Return what has been committed since the last call, a page at most; raises ``StoreUnavailable``."""
        entries, _ = _cut(self._read(self.seq), 0)
        if entries:
            self._recent += entries
            self._recent_bytes += sum(len(entry.data) for entry in entries)
            if len(self._recent) > _KEPT or self._recent_bytes > _KEPT_BYTES:
                self._forget()
            self.seq = entries[-1].seq
        return entries

    def _forget(self) -> None:
        """Drop the older half of what is kept."""
        half = (len(self._recent) + 1) // 2
        self._before = self._recent[half - 1].seq
        self._recent_bytes -= sum(len(entry.data) for entry in self._recent[:half])
        del self._recent[:half]

    def page(self, seq: int) -> tuple[Sequence[Entry], int]:
        """Return the events behind number *seq*, of those that were read before, and the place that this leads to.

        Pages end at the same numbers for everyone, so that many who read on from different places soon read the same.
        Raises ``StoreUnavailable``.
        """
        end = min((seq // PAGE + 1) * PAGE, self.seq)
        if seq >= self._before and self._recent:
            start = bisect_right(self._recent, seq, key=_number)
            return _cut(self._recent[start : bisect_right(self._recent, end, start, key=_number)], end)
        page = self._pages.get((seq, end))
        if page is None:
            entries = self._read(seq)
            if entries and entries[0].seq > end:
                page = (), min(entries[0].seq - 1, self.seq)
            else:
                page = _cut([entry for entry in entries if entry.seq <= end], end if entries else self.seq)
            if len(self._pages) >= _MAX_PAGES:
                del self._pages[next(iter(self._pages))]
            self._pages[(seq, end)] = page
        return page

    def count(self, seq: int, last: int, subscription: Subscription) -> int | None:
        """Return how many events behind number *seq* and up to *last* are of *subscription*; None if it is too many.

        Raises ``StoreUnavailable``.
        """
        if last - seq > MAX_COUNTED:
            return None
        with store_errors():
            found = events.counts(self._db, seq, last)
        return sum(number for topic, agent, number in found if subscription.form_of(topic, agent) is not None)

    def oldest(self) -> int:
        """Return the number of the oldest event that is kept, or of the next one if there is none."""
        with store_errors():
            return events.oldest(self._db)

    def newest(self) -> int:
        """Return the number of the newest event that ever was."""
        with store_errors():
            return events.newest(self._db)

    def _read(self, seq: int) -> list[Entry]:
        with store_errors():
            return [Entry(row) for row in events.since(self._db, seq, PAGE)]


def _cut(entries: list[Entry], end: int) -> tuple[list[Entry], int]:
    """Return as many of *entries* as one page may weigh, and the number they lead to: *end* if that is all of them."""
    size_bytes = 0
    for count, entry in enumerate(entries, start=1):
        size_bytes += len(entry.data)
        if size_bytes > _PAGE_BYTES:
            return entries[:count], entry.seq
    return entries, end
