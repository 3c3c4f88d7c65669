"""``/sse`` and ``/messages``: MCP over HTTP with SSE, the transport of 2024-11-05 (basic/transports).

A GET opens the stream, whose first event says where to post; every response comes on the stream. A session lives as
long as its stream. Clients of later revisions use it too when told to, so the version is negotiated here as anywhere.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import orjson

from mcpd.errors import Error, InternalError, InvalidRequest, SessionNotFound, StoreUnavailable
from mcpd.protocol import jsonrpc, mcp, sse
from mcpd.protocol.http import HttpRequest, HttpResponse, HttpStream, Sink
from mcpd.protocol.revisions import Revision
from mcpd.server import notices, replies
from mcpd.server.calls import Calls
from mcpd.server.channels import new_call_id
from mcpd.server.hub import Hub, Notified
from mcpd.server.in_session import InSession
from mcpd.server.mcp_endpoint import refuse
from mcpd.server.notices import Filter
from mcpd.server.run import CallRequest
from mcpd.server.work import Work
from mcpd.store import sessions
from mcpd.store.database import Database

MESSAGES = "/messages"


class SseStream(Notified):
    """One client's stream, and all there is of its session."""

    def __init__(self, hub: Hub, owner: SseEndpoint, caller: str) -> None:
        super().__init__(hub, hub.newest())
        self._owner = owner
        self.nonce = secrets.token_hex(16)
        self.caller = caller
        self.revision: Revision | None = None
        self.capabilities: dict[str, Any] = {}
        self.uris: frozenset[str] = frozenset()

    def filter(self) -> Filter:
        """Nothing before the handshake: clients of that time do not expect it."""
        lists = frozenset() if self.revision is None else notices.LISTS
        return Filter(lists, self.uris)

    def encode(self, notification: dict[str, Any]) -> bytes:
        return _message(orjson.dumps(notification))

    def greeting(self) -> bytes:
        return b"event: endpoint\ndata: %b?session=%b\n\n" % (MESSAGES.encode(), self.nonce.encode())

    def farewell(self) -> bytes:
        return b""

    def opened(self, sink: Sink) -> None:
        self._owner.joined(self)
        super().opened(sink)

    def closed(self) -> None:
        super().closed()
        self._owner.left(self)

    def message(self, message: bytes) -> bool:
        """Send *message*; say whether the client is there."""
        if self._sink is None:
            return False
        self._sink.send(_message(message))
        return True


class SseChannel:
    """The way back of one call: its session's stream."""

    number = 0
    can_ask = True
    was_opened = False

    def __init__(self, stream: SseStream) -> None:
        self._stream = stream
        self.ended = False
        self.gone: Callable[[], None] = lambda: None

    @property
    def is_connected(self) -> bool:
        return self._stream.is_connected

    def send(self, message: bytes) -> None:
        self._stream.message(message)

    def tell(self, message: bytes) -> None:
        if self._stream.ready:
            self._stream.message(message)

    def finish(self, response: bytes, status: int = 200) -> bool:  # noqa: ARG002 - there is no status on a stream
        if self.ended:
            return True
        self.ended = True
        return self._stream.message(response)

    def break_off(self) -> None:
        """Stay: the stream is that of the whole session."""
        self.ended = True

    def pause(self, retry_ms: int) -> None:
        """Stay: this transport cannot take a stream up again."""


class SseEndpoint:
    """Open streams and take what is posted for them."""

    def __init__(self, hub: Hub, db: Database, in_session: InSession, calls: Calls) -> None:
        self._hub = hub
        self._db = db
        self._in_session = in_session
        self._calls = calls
        self._streams: dict[str, SseStream] = {}

    def open(self, http: HttpRequest, work: Work) -> HttpResponse | HttpStream:
        """Open the stream of a new session."""
        try:
            mcp.check_accepts_stream(http)
        except Error as error:
            return refuse(work, error)
        return HttpStream(SseStream(self._hub, self, work.caller))

    def post(self, http: HttpRequest, work: Work) -> HttpResponse:
        """Take one message: it is accepted, and its response comes on the stream, after the commit."""
        try:
            stream = self._find(http, work)
            mcp.check_media_types(http)
            value = jsonrpc.decode(http.body)
        except Error as error:
            return refuse(work, error, handshake=True)
        try:
            response = self._take(value, stream, work)
        except Error as error:
            work.refusal = error.message
            _, response = replies.error(work.message_id, error, handshake=True)
        except BaseException as exc:  # noqa: BLE001 - of a fault too the client hears on its stream alone
            work.fault = exc
            _, response = replies.error(work.message_id, InternalError(), handshake=True)
        if response is not None:
            work.then = partial(_send, stream, response, work)
        return HttpResponse(202, b"Accepted", content_type=b"text/plain")

    def joined(self, stream: SseStream) -> None:
        """Know the session of *stream*, which is open now."""
        self._streams[stream.nonce] = stream

    def left(self, stream: SseStream) -> None:
        """Forget the session of *stream*, whose client is gone."""
        self._streams.pop(stream.nonce, None)
        self._calls.forget_session_later(stream.nonce)

    def _find(self, http: HttpRequest, work: Work) -> SseStream:
        named = parse_qs(http.query).get("session", [""])[0]
        stream = self._streams.get(named)
        if stream is None or stream.caller != work.caller:
            raise SessionNotFound("no such session; open a new stream at /sse")
        work.session_id, work.revision, work.capabilities = stream.nonce, stream.revision, stream.capabilities
        return stream

    def _take(self, value: object, stream: SseStream, work: Work) -> bytes | None:
        if isinstance(value, dict) and value.get("method") == "initialize":
            return self._initialize(value, stream, work)
        if work.revision is None:
            work.message_id = jsonrpc.readable_id(value)
            raise InvalidRequest("the session has not begun; send initialize first")
        came = self._in_session.take(value, work)
        if isinstance(came, CallRequest):
            self._calls.begin(came, SseChannel(stream), call_id=new_call_id())
            return None
        if work.method in ("resources/subscribe", "resources/unsubscribe"):
            stream.uris = frozenset(sessions.subscriptions(self._db, stream.nonce))
        return came

    def _initialize(self, value: object, stream: SseStream, work: Work) -> bytes:
        work.message_id = jsonrpc.readable_id(value)
        request = jsonrpc.receive(value)
        work.method = request.method
        stream.revision, result = mcp.initialize(request.params)
        stream.capabilities = mcp.asked_capabilities(request.params)
        return jsonrpc.encode_result(request.id, result)


def _message(data: bytes) -> bytes:
    return b"event: message\n" + sse.encode_event(data)


def _send(stream: SseStream, response: bytes, work: Work, lost: StoreUnavailable | None) -> None:
    stream.message(response if lost is None else replies.error(work.message_id, lost, handshake=True)[1])
