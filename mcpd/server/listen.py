"""``subscriptions/listen`` of 2026-07-28 and the GET stream of the older revisions, on the same hub."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from mcpd.errors import InvalidParams, ResourceNotFound
from mcpd.protocol import jsonrpc, mcp, revisions, sse
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
    """The GET stream of a session (2025-11-25 basic/transports): resumable, since an event's number is its id."""

    def __init__(self, streams: Streams, nonce: str, seq: int, revision: Revision) -> None:
        super().__init__(streams.hub, seq)
        self._streams = streams
        self._nonce = nonce
        self._revision = revision
        self.uris: frozenset[str] = frozenset()

    def filter(self) -> Filter:
        return Filter(notices.LISTS, self.uris)

    def encode(self, notification: dict[str, Any]) -> bytes:
        return sse.encode_event(orjson.dumps(notification), str(self.seq))

    def greeting(self) -> bytes:
        # 2025-11-25: "SHOULD immediately send an SSE event consisting of an event ID and an empty data field".
        return sse.encode_event(b"", str(self.seq)) if self._revision.priming else sse.encode_place(self.seq) + b"\n"

    def farewell(self) -> bytes:
        return sse.encode_retry(RETRY_MS)

    def closed(self) -> None:
        super().closed()
        self._streams.left(self._nonce, self)


class Streams:
    """The streams of sessions, one each: "MUST NOT broadcast the same message across multiple streams"."""

    def __init__(self, hub: Hub, db: Database) -> None:
        self.hub = hub
        self._db = db
        self._by_session: dict[str, SessionStream] = {}

    def open(self, work: Work, last_event_id: str | None) -> SessionStream:
        """Return a new stream for the session of *work*, from behind *last_event_id* on; an older one ends."""
        nonce, revision = work.session_id, work.revision
        assert nonce is not None
        assert revision is not None
        stream = SessionStream(self, nonce, _place(self.hub, last_event_id), revision)
        older = self._by_session.pop(nonce, None)
        if older is not None:
            older.end()
        self._by_session[nonce] = stream
        self.refresh(nonce)
        return stream

    def end(self, work: Work) -> None:
        """End the stream of the session of *work*, which ends."""
        assert work.session_id is not None
        stream = self._by_session.pop(work.session_id, None)
        if stream is not None:
            stream.end()

    def refresh(self, nonce: str) -> None:
        """Have the stream of the session *nonce*, if there is one, know its subscriptions."""
        stream = self._by_session.get(nonce)
        if stream is not None:
            stream.uris = frozenset(sessions.subscriptions(self._db, nonce))

    def left(self, nonce: str, stream: SessionStream) -> None:
        """Forget *stream*, whose client is gone."""
        if self._by_session.get(nonce) is stream:
            del self._by_session[nonce]

    def subscribe(self, work: Work, params: dict[str, Any], revision: Revision) -> object:
        """Tell the session of *work* of updates of a resource (2025-11-25 server/resources, subscriptions)."""
        uri = _subscribable(work, params, revision)
        return self._change(work, lambda nonce: sessions.subscribe(work.db, nonce, uri, work.now_us))

    def unsubscribe(self, work: Work, params: dict[str, Any], revision: Revision) -> object:
        """Tell the session of *work* no more of updates of a resource."""
        uri = _subscribable(work, params, revision)
        return self._change(work, lambda nonce: sessions.unsubscribe(work.db, nonce, uri))

    def _change(self, work: Work, change: Callable[[str], None]) -> object:
        nonce = work.session_id
        assert nonce is not None
        work.stored = True
        work.turn.run(lambda: change(nonce))
        self.refresh(nonce)
        return {}


def _subscribable(work: Work, params: dict[str, Any], revision: Revision) -> str:
    uri = params.get("uri")
    if not isinstance(uri, str):
        raise InvalidParams('params "uri": expected the URI of a resource')
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
