"""``GET /api/mcp/events``: what happens as server-sent events, or what happened as JSON; and the schema of both.

A stream is a place in the log (``server.hub``), and so is what a client names to go on from. A place that is no more,
or not yet, is told: ``gap`` says that retention removed events behind it, ``reset`` that no event had that number yet,
or that it comes upon a place where an older database was restored. Both name the number behind which it goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import orjson

from mcpd.errors import Error, InvalidRequest
from mcpd.protocol import events as catalogue
from mcpd.protocol import headers, sse
from mcpd.protocol.events import EventRow
from mcpd.protocol.http import HttpRequest, HttpResponse, HttpStream
from mcpd.protocol.topics import Topics
from mcpd.server import rest
from mcpd.server.hub import Hub, Listener
from mcpd.server.listen import RETRY_MS
from mcpd.server.work import Work
from mcpd.store import events
from mcpd.store.database import Database, Row, store_errors

PATH = "/api/mcp/events"
SCHEMA_PATH = f"{PATH}/schema"
PARAMETERS = ("agent", "follow", "limit", "since", "topic")
MAX_ITEMS = 1000
_LIMIT = 100
_PLACE_EVERY = 500  # events that a client does not want, until it is told the place behind them
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
Query = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Wish:
    """Events of ``topics``, about one of ``agents`` or, without any, about whoever and whatever."""

    topics: Topics
    agents: frozenset[str]

    def __call__(self, row: Row) -> bool:
        """Say whether the event *row* is wanted."""
        return self.topics.matches(row[2]) and (not self.agents or row[3] in self.agents)

    @property
    def derived(self) -> bool:
        """Whether calls and reads may be among them."""
        return self.topics.matches("tool.called") or self.topics.matches("resource.read")


class EventStream(Listener):
    """One client's stream of the events that *wish* wants, behind number *seq*; *asked* is the number it named."""

    def __init__(self, hub: Hub, wish: Wish, seq: int, asked: int) -> None:
        super().__init__(hub, seq)
        self.derived = wish.derived
        self._wish = wish
        self._asked = asked
        self._unwanted = 0

    def greeting(self) -> bytes:
        first = b"" if self._asked <= self.seq else _named("reset", self.seq, {"asked": self._asked, "after": self.seq})
        return sse.encode_retry(RETRY_MS) + _place(self.seq) + first

    def farewell(self) -> bytes:
        return b""

    def drained(self) -> None:
        while self.ready:
            rows = self._hub.rows_since(self.seq, derived=self.derived)
            self._tell_gap()
            if not rows:
                return
            for row in rows:
                if row[0] > self.seq:
                    self.hear(row)

    def hear(self, row: Row) -> None:
        assert self._sink is not None
        if row[2] == events.RESTORED:
            self._sink.send(_named("reset", row[0] - 1, {"asked": self.seq, "after": row[0] - 1}))
        self.seq = row[0]
        if self._wish(row):
            self._unwanted = 0
            self._sink.send(sse.encode_event(catalogue.encode(_event(row)), str(self.seq)))
            return
        self._unwanted += 1
        if self._unwanted % _PLACE_EVERY == 0:
            self._sink.send(_place(self.seq))

    def _tell_gap(self) -> None:
        """Say so if retention has overtaken a client that is slow or comes back late."""
        removed = self._hub.removed_to()
        if removed > self.seq and self._sink is not None:
            self._sink.send(_named("gap", removed, {"asked": self.seq, "after": removed}))
            self.seq = removed


class EventsEndpoint:
    """Answer from *hub*'s log."""

    def __init__(self, hub: Hub, db: Database) -> None:
        self._hub = hub
        self._db = db

    def get(self, http: HttpRequest, work: Work) -> HttpResponse | HttpStream:
        """Open a stream, or return what is there: ``follow`` decides, and else what the client accepts."""
        try:
            query = _query(http)
            wish = Wish(Topics.parse(query.get("topic", ())), frozenset(query.get("agent", ())))
            with store_errors():
                if _follows(http, query):
                    return HttpStream(self._stream(http, query, wish))
                return rest.answer(_page(work, query, wish))
        except Error as error:
            return rest.refuse(work, error)

    def _stream(self, http: HttpRequest, query: Query, wish: Wish) -> EventStream:
        newest = self._hub.newest()
        last = http.header(headers.LAST_EVENT)
        asked = _since(self._db, query) if last is None else _number("header Last-Event-ID", last)
        if asked is None:
            asked = newest
        return EventStream(self._hub, wish, min(asked, newest), asked)


def schema(_http: HttpRequest, _work: Work) -> HttpResponse:
    """Return the JSON Schema of an event."""
    return rest.answer(catalogue.schema())


def _page(work: Work, query: Query, wish: Wish) -> dict[str, Any]:
    db = work.db
    limit = min(_number("parameter 'limit'", _last(query, "limit") or str(_LIMIT)), MAX_ITEMS)
    if limit == 0:
        raise InvalidRequest("parameter 'limit': expected a whole number from 1, got '0'")
    asked, newest = _since(db, query), events.newest(db)
    gap = reset = None
    if asked is None:
        rows, last = events.latest(db, wish, limit, derived=wish.derived), newest
    elif asked > newest:
        rows, last, reset = [], newest, {"asked": asked, "after": newest}
    else:
        rows, last = events.after(db, asked, wish, limit, derived=wish.derived)
        removed = events.removed_to(db)
        if removed > asked:
            last, gap = max(last, removed), {"asked": asked, "after": removed}
        restored = events.restored_in(db, asked, last)
        if restored is not None:
            reset = {"asked": asked, "after": restored - 1}
    return {
        "events": [orjson.Fragment(catalogue.encode(_event(row))) for row in rows],
        "next": last,
        "newest": newest,
        "more": last < newest,
        "gap": gap,
        "reset": reset,
    }


def _query(http: HttpRequest) -> Query:
    """Return the values of each parameter; those that mean nothing here are let pass, as everywhere."""
    found: dict[str, list[str]] = {}
    try:
        for name, value in parse_qsl(http.query, keep_blank_values=True, max_num_fields=100, errors="strict"):
            if name in PARAMETERS:
                found.setdefault(name, []).append(value)
    except ValueError as exc:
        raise InvalidRequest(f"the query is malformed: {exc}") from exc
    return found


def _follows(http: HttpRequest, query: Query) -> bool:
    text = _last(query, "follow")
    if text is None:
        accepted = http.header(b"accept") or ""
        return "application/json" not in accepted or "text/event-stream" in accepted
    if text not in _TRUTH:
        raise InvalidRequest(f"parameter 'follow': expected true or false, got {text[:40]!r}")
    return _TRUTH[text]


def _since(db: Database, query: Query) -> int | None:
    """Return the number to go on behind that ``since``, a number or a time, names; None if it names none."""
    text = _last(query, "since")
    if text is None:
        return None
    if text.isascii() and text.isdigit():
        return _number("parameter 'since'", text)
    expected = InvalidRequest(
        f"parameter 'since': expected the number of an event or a time such as 2026-07-28T12:00:00Z, got {text[:40]!r}"
    )
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        raise expected from exc
    if at.tzinfo is None:
        raise expected
    return events.number_at(db, int(at.timestamp() * 1_000_000))


def _number(what: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidRequest(f"{what}: expected a whole number from 0, got {text[:40]!r}")
    return int(text)


def _last(query: Query, name: str) -> str | None:
    values = query.get(name)
    return None if values is None else values[-1]


def _event(row: Row) -> EventRow:
    seq, at_us, topic, agent, data = row
    return seq, at_us, topic, agent, data


def _place(seq: int) -> bytes:
    """Return an event without data, which a client does not see but goes on from."""
    return b"id: %d\n\n" % seq


def _named(name: str, seq: int, data: object) -> bytes:
    return b"event: %b\n%b" % (name.encode("ascii"), sse.encode_event(orjson.dumps(data), str(seq)))
