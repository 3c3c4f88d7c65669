"""The channels of sessions' calls, by call: found again when a client comes back for the rest of a broken stream."""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial

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


def new_call_id() -> str:
    """Return an id for a session's call."""
    return secrets.token_hex(12)


@dataclass(slots=True)
class _Known:
    """The channel of a call of the session *nonce*, and whether the call runs now."""

    nonce: str
    channel: Channel
    runs: bool


class Channels:
    """Know the channels of calls; what we forgot, or a restart made us forget, is made again from the rows of *db*."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._by_call: dict[str, _Known] = {}
        self._spare: OrderedDict[str, None] = OrderedDict()  # calls whose client may come back; the oldest goes first

    def begun(self, call_id: str, nonce: str, channel: Channel) -> None:
        """Know *channel* as that of a call of the session *nonce*, which runs."""
        self._know(call_id, _Known(nonce, channel, runs=True))

    def rests(self, call_id: str) -> None:
        """Note that the call runs no longer: it was answered, or waits for an answer of its client's."""
        known = self._by_call.get(call_id)
        if known is not None:
            known.runs = False
            self._settle(call_id)

    def of(self, record: Record) -> Channel:
        """Return the channel of a session's call, which runs again."""
        known = self._by_call.get(record.id) or self._made_again(record)
        known.runs = True
        self._spare.pop(record.id, None)
        return known.channel

    def resume(self, work: Work, last_event_id: str | None) -> HttpStream | None:
        """Return the stream of a call behind *last_event_id*, None if that is an id of another form.

        Raises ``InvalidRequest`` if there is no such call in the session of *work*, or not any more.
        """
        found = _EVENT_ID.fullmatch(last_event_id or "")
        if found is None:
            return None
        known = self._by_call.get(found[1])
        if known is None:
            record = calls.find(self._db, found[1])
            if record is not None and record.session is not None and record.session == work.session_id:
                known = self._made_again(record)
        if known is None or known.nonce != work.session_id or not isinstance(known.channel, HttpChannel):
            raise InvalidRequest("header Last-Event-ID: the stream it belongs to has ended")
        if not known.channel.ended:
            self._spare.pop(found[1], None)
        return known.channel.resumed(int(found[2]))

    def drop(self, call_id: str) -> None:
        """End the connection of a call that was cancelled, without a response."""
        known = self._by_call.get(call_id)
        if known is not None:
            self._forget(call_id)
            known.channel.break_off()

    def drop_session(self, nonce: str) -> None:
        """End the connections of all calls of the session *nonce*, without a response."""
        for call_id in [call_id for call_id, known in self._by_call.items() if known.nonce == nonce]:
            self.drop(call_id)

    def pause(self) -> None:
        """Have every client come back to who comes after us."""
        for known in self._by_call.values():
            known.channel.pause(RETRY_MS)

    def _made_again(self, record: Record) -> _Known:
        """Return the channel of a call that rests, made of what its row holds."""
        revision = REVISIONS[record.request["version"]]
        channel = HttpChannel(call_id=record.id, priming=revision.priming, sent=record.sent)
        channel.keep(replies.questions(revision, record.asked))
        if record.outcome is not None:
            channel.keep({record.sent: record.outcome.encode()})
            channel.ended = True
        assert record.session is not None
        known = _Known(record.session, channel, runs=False)
        self._know(record.id, known)
        return known

    def _know(self, call_id: str, known: _Known) -> None:
        self._by_call[call_id] = known
        known.channel.gone = partial(self._settle, call_id)

    def _settle(self, call_id: str) -> None:
        """Forget a call that rests: at once if its answer was one body, else sooner or later if its client has left."""
        known = self._by_call.get(call_id)
        if known is None or known.runs or (known.channel.is_connected and not known.channel.ended):
            return
        if known.channel.ended and not known.channel.was_opened:
            self._forget(call_id)
            return
        self._spare[call_id] = None
        if len(self._spare) > _KEPT:
            self._forget(next(iter(self._spare)))

    def _forget(self, call_id: str) -> None:
        del self._by_call[call_id]
        self._spare.pop(call_id, None)
