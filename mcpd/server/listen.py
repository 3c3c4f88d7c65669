"""``subscriptions/listen`` of 2026-07-28 and the GET stream of the older revisions, on the same hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from mcpd.errors import InvalidParams, ResourceNotFound
from mcpd.protocol import jsonrpc, mcp, revisions, sse
from mcpd.protocol.http import Sink
from mcpd.protocol.jsonrpc import Request
from mcpd.protocol.revisions import Revision
from mcpd.resources.base import Reading
from mcpd.server import notices, task_rows, tasks
from mcpd.server.hub import Hub, Notified
from mcpd.server.notices import Filter
from mcpd.server.work import Work
from mcpd.store import sessions
from mcpd.store.database import Database, store_errors

MAX_URIS = 1000
RETRY_MS = 500
MAX_TASKS = 100
_NOTHING = Filter(frozenset(), frozenset())
_LISTS = {
    "toolsListChanged": notices.TOOLS_CHANGED,
    "resourcesListChanged": notices.RESOURCES_CHANGED,
    "promptsListChanged": notices.PROMPTS_CHANGED,
}


class Subscription(Notified):
    """One ``subscriptions/listen`` request (2026-07-28 basic/patterns/subscriptions): its id marks all it sends.

    The revision has no event ids and no resuming. mcpd-stdio, whose client must not notice a restart, resumes it still:
    comments, which every other client ignores, tell the place, and *since* is where it had come to.
    """

    def __init__(self, hub: Hub, work: Work, request: Request, since: str | None = None) -> None:
        super().__init__(hub, _place(hub, since))
        self._id = request.id
        self._db = work.db
        self._meta = {revisions.SUBSCRIPTION_ID: request.id}
        self._honoured, self._filter = _read_filter(work, request.params)

    def filter(self) -> Filter:
        return self._filter

    def encode(self, notification: dict[str, Any]) -> bytes:
        params = notification["params"]
        if notification["method"] == notices.TASK:
            params = task_rows.shown(self._db, params["taskId"])
        params = {**params, "_meta": self._meta}
        return sse.encode_place(self.seq) + sse.encode_event(orjson.dumps({**notification, "params": params}))

    def greeting(self) -> bytes:
        method = "notifications/subscriptions/acknowledged"
        return self.encode({"jsonrpc": "2.0", "method": method, "params": {"notifications": self._honoured}})

    def farewell(self) -> bytes:
        result = {"resultType": "complete", "_meta": {**self._meta, revisions.SERVER_INFO: mcp.SERVER_INFO}}
        return sse.encode_event(jsonrpc.encode_result(self._id, result))


class SessionStream(Notified):
    """A GET stream of a session (2025-11-25 basic/transports): resumable, since an event's number is its id.

    It is one of *streams* from when it is opened; a HEAD never opens it.
    """

    def __init__(self, streams: Streams, nonce: str, seq: int, revision: Revision) -> None:
        super().__init__(streams.hub, seq)
        self._streams = streams
        self._revision = revision
        self.nonce = nonce

    def filter(self) -> Filter:
        return self._streams.filter(self)

    def encode(self, notification: dict[str, Any]) -> bytes:
        return sse.encode_event(orjson.dumps(notification), str(self.seq))

    def greeting(self) -> bytes:
        # 2025-11-25: "SHOULD immediately send an SSE event consisting of an event ID and an empty data field".
        return sse.encode_event(b"", str(self.seq)) if self._revision.priming else sse.encode_place(self.seq) + b"\n"

    def farewell(self) -> bytes:
        return sse.encode_retry(RETRY_MS)

    def opened(self, sink: Sink) -> None:
        self._streams.join(self)
        super().opened(sink)

    def closed(self) -> None:
        super().closed()
        self._streams.leave(self)


class Streams:
    """The streams of sessions. Of several of a session the newest tells, and when it is gone the one before it.

    2025-11-25 basic/transports: the server "MUST NOT broadcast the same message across multiple streams".
    """

    def __init__(self, hub: Hub, db: Database) -> None:
        self.hub = hub
        self._db = db
        self._by_session: dict[str, list[SessionStream]] = {}
        self._uris: dict[str, frozenset[str]] = {}

    def open(self, work: Work, last_event_id: str | None) -> SessionStream:
        """Return a new stream for the session of *work*, from behind *last_event_id* on."""
        nonce, revision = work.session_id, work.revision
        assert nonce is not None
        assert revision is not None
        return SessionStream(self, nonce, _place(self.hub, last_event_id), revision)

    def join(self, stream: SessionStream) -> None:
        """Have *stream* tell what its session is to hear."""
        self._by_session.setdefault(stream.nonce, []).append(stream)
        self.refresh(stream.nonce)

    def leave(self, stream: SessionStream) -> None:
        """Forget *stream*, whose client is gone; what it has not told, the one before it does."""
        streams = self._by_session.get(stream.nonce, [])
        if stream not in streams:
            return
        streams.remove(stream)
        if streams:
            streams[-1].seq = max(streams[-1].seq, stream.seq)
        else:
            self._forget(stream.nonce)

    def end(self, work: Work) -> None:
        """End the streams of the session of *work*, which ends."""
        assert work.session_id is not None
        for stream in self._by_session.get(work.session_id, []):
            stream.end()
        self._forget(work.session_id)

    def filter(self, stream: SessionStream) -> Filter:
        """Return what *stream* is to tell now."""
        if self._by_session[stream.nonce][-1] is not stream:
            return _NOTHING
        return Filter(notices.LISTS, self._uris[stream.nonce])

    def refresh(self, nonce: str) -> None:
        """Know the subscriptions of the session *nonce*, if it has a stream."""
        if nonce in self._by_session:
            self._uris[nonce] = frozenset(sessions.subscriptions(self._db, nonce))

    def _forget(self, nonce: str) -> None:
        self._by_session.pop(nonce, None)
        self._uris.pop(nonce, None)

    def subscribe(self, work: Work, params: dict[str, Any], revision: Revision) -> object:
        """Tell the session of *work* of updates of a resource (2025-11-25 server/resources, subscriptions)."""
        uri = _subscribable(work, params, revision)
        return self._change(work, lambda nonce: sessions.subscribe(work.db, nonce, uri, work.now_us))

    def unsubscribe(self, work: Work, params: dict[str, Any], _revision: Revision) -> object:
        """Tell the session of *work* no more of updates of a resource."""
        uri = _uri(params)  # which may have gone since
        return self._change(work, lambda nonce: sessions.unsubscribe(work.db, nonce, uri))

    def _change(self, work: Work, change: Callable[[str], None]) -> object:
        nonce = work.session_id
        assert nonce is not None
        work.stored = True
        work.turn.run(lambda: change(nonce))
        self.refresh(nonce)
        return {}


def _uri(params: dict[str, Any]) -> str:
    uri = params.get("uri")
    if not isinstance(uri, str):
        raise InvalidParams('params "uri": expected the URI of a resource')
    return uri


def _subscribable(work: Work, params: dict[str, Any], revision: Revision) -> str:
    uri = _uri(params)
    if not work.site.resources.is_watched(uri):
        raise InvalidParams(f"changes of {uri[:200]!r} are not watched; read it again instead", {"uri": uri})
    try:
        with store_errors():
            work.site.resources.read(Reading(work.db, work.now_us), uri)
    except ResourceNotFound as error:
        error.code = revision.resource_not_found
        raise
    return uri


def _place(hub: Hub, since: str | None) -> int:
    """Return the place in the event log that *since* names, the newest if it names none."""
    newest = hub.newest()
    return min(int(since), newest) if since is not None and since.isdecimal() and len(since) < 19 else newest


def _read_filter(work: Work, params: dict[str, Any]) -> tuple[dict[str, object], Filter]:
    """Return what of the asked-for *params* is honoured, and the filter for it; raises ``InvalidParams``."""
    asked = params.get("notifications")
    if not isinstance(asked, dict):
        raise InvalidParams('params "notifications": expected an object that says what to listen for')
    honoured: dict[str, object] = {kind: True for kind in _LISTS if asked.get(kind) is True}
    uris = asked.get("resourceSubscriptions", [])
    if not isinstance(uris, list) or not all(isinstance(uri, str) for uri in uris) or len(uris) > MAX_URIS:
        raise InvalidParams(f'params "resourceSubscriptions": expected an array of at most {MAX_URIS} resource URIs')
    watched = [uri for uri in uris if work.site.resources.is_watched(uri)]
    if watched:
        honoured["resourceSubscriptions"] = watched
    own = _own_tasks(work, asked.get("taskIds"))
    if own:
        honoured["taskIds"] = own
    lists = frozenset(_LISTS[kind] for kind in honoured if kind in _LISTS)
    return honoured, Filter(lists, frozenset(watched), frozenset(own))


def _own_tasks(work: Work, asked: object) -> list[str]:
    if asked is None:
        return []
    tasks.require_extension(work)
    if not isinstance(asked, list) or len(asked) > MAX_TASKS:
        raise InvalidParams(f'params "taskIds": expected an array of at most {MAX_TASKS} ids of tasks')
    return [task_id for task_id in asked if tasks.find_own(work, task_id) is not None]
