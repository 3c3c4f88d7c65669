"""The channels of sessions' calls, by call: found again when a client comes back for the rest of a broken stream."""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict

from mcpd.errors import InvalidRequest
from mcpd.protocol.http import HttpStream
from mcpd.protocol.revisions import REVISIONS
from mcpd.server import replies
from mcpd.server.channel import Channel, HttpChannel
from mcpd.server.work import Work
from mcpd.store import calls
from mcpd.store.calls import Record
from mcpd.store.database import Database

RETRY_MS = 500
_KEPT = 1000
_EVENT_ID = re.compile(r"([0-9a-f]{24})-(\d{1,9})")


class Channels:
    """Know the channels of calls; what a restart made us forget is made again from the rows of *db*."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._by_call: OrderedDict[str, tuple[str | None, HttpChannel]] = OrderedDict()
        self._lasting: dict[str, Channel] = {}

    def open(self, work: Work, *, takes_stream: bool) -> tuple[str, HttpChannel]:
        """Return the id of a new call of the session of *work*, and the answer to its POST."""
        assert work.session_id is not None
        assert work.revision is not None
        call_id = secrets.token_hex(12)
        channel = HttpChannel(call_id=call_id, priming=work.revision.priming, takes_stream=takes_stream)
        self._know(call_id, work.session_id, channel)
        return call_id, channel

    def lasts(self, nonce: str, channel: Channel) -> None:
        """Have every call of the session *nonce* answer by *channel*, which lasts as long as the session."""
        self._lasting[nonce] = channel

    def left(self, nonce: str) -> None:
        """Forget the lasting channel of the session *nonce*."""
        self._lasting.pop(nonce, None)

    def of(self, record: Record) -> Channel:
        """Return the channel of a session's call."""
        return self._lasting.get(record.session or "") or self._resumable(record)

    def resume(self, work: Work, last_event_id: str | None) -> HttpStream | None:
        """Return the stream of a call behind *last_event_id*, None if that is an id of another form.

        Raises ``InvalidRequest`` if there is no such call in the session of *work*, or not any more.
        """
        found = _EVENT_ID.fullmatch(last_event_id or "")
        if found is None:
            return None
        nonce, channel = self._by_call.get(found[1], (None, None))
        if channel is None:
            record = calls.find(self._db, found[1])
            if record is not None and record.session is not None:
                nonce, channel = record.session, self._resumable(record)
        if channel is None or nonce != work.session_id:
            raise InvalidRequest("header Last-Event-ID: the stream it belongs to has ended")
        return channel.resumed(int(found[2]))

    def drop(self, call_id: str) -> None:
        """End the connection of a call that was cancelled, without a response."""
        _, channel = self._by_call.pop(call_id, ("", None))
        if channel is not None:
            channel.break_off()

    def pause(self) -> None:
        """Have every client come back to who comes after us."""
        for _, channel in self._by_call.values():
            channel.pause(RETRY_MS)

    def _resumable(self, record: Record) -> HttpChannel:
        """Return the channel that is there, or one made of what the row holds."""
        known = self._by_call.get(record.id)
        if known is not None:
            return known[1]
        revision = REVISIONS[record.request["version"]]
        channel = HttpChannel(call_id=record.id, priming=revision.priming, sent=record.sent)
        channel.keep(replies.questions(revision, record.asked))
        if record.outcome is not None:
            channel.keep({record.sent: record.outcome.encode()})
            channel.ended = True
        assert record.session is not None
        self._know(record.id, record.session, channel)
        return channel

    def _know(self, call_id: str, nonce: str, channel: HttpChannel) -> None:
        self._by_call[call_id] = (nonce, channel)
        # What was answered as one body leaves nothing to come back for; of the rest the oldest goes.
        for known in [key for key, (_, other) in self._by_call.items() if other.ended and not other.was_opened]:
            del self._by_call[known]
        if len(self._by_call) > _KEPT:
            oldest = next((key for key, (_, other) in self._by_call.items() if other.ended), None)
            if oldest is not None:
                del self._by_call[oldest]
