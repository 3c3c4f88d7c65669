"""``/mcp``: MCP over Streamable HTTP, every revision."""

from __future__ import annotations

from mcpd.errors import DIALECT_CODES, Error, InvalidRequest
from mcpd.protocol import headers, jsonrpc, mcp
from mcpd.protocol.http import HttpRequest, HttpResponse, HttpStream
from mcpd.protocol.jsonrpc import Request
from mcpd.protocol.revisions import Revision
from mcpd.server import methods
from mcpd.server.listen import Streams, Subscription, subscribe, unsubscribe
from mcpd.server.sessions import Sessions
from mcpd.server.work import Work

_ACCEPTED = HttpResponse(202)
_SUBSCRIBING = {"resources/subscribe": subscribe, "resources/unsubscribe": unsubscribe}


class McpEndpoint:
    """Answer MCP requests; the handshake era's are found in *sessions*, their streams in *streams*."""

    def __init__(self, sessions: Sessions, streams: Streams) -> None:
        self._sessions = sessions
        self._streams = streams

    def post(self, http: HttpRequest, work: Work) -> HttpResponse | HttpStream:
        """Answer one posted message; errors come out as JSON-RPC errors with the HTTP status the revision asks for."""
        handshake = False
        try:
            mcp.check_media_types(http)
            value = jsonrpc.decode(http.body)
            if isinstance(value, list):
                return self._batch(http, value, work)
            request = _receive(value, work)
            if mcp.is_modern(request, http):
                return self._stateless(http, request, work)
            handshake = True
            return self._in_session(http, request, work)
        except Error as error:
            return refuse(work, error, handshake=handshake)

    def get(self, http: HttpRequest, work: Work) -> HttpResponse | HttpStream:
        """Open the stream of a session (2025-11-25 basic/transports, listening for messages from the server)."""
        try:
            if headers.SESSION not in http.headers:
                return _only_post(http, work)
            mcp.check_accepts_stream(http)
            revision = self._revision(http, work)
            assert work.session_id is not None
            return HttpStream(self._streams.open(work.session_id, http.header(headers.LAST_EVENT), revision))
        except Error as error:
            return refuse(work, error)

    def delete(self, http: HttpRequest, work: Work) -> HttpResponse:
        """End a session (2025-11-25 basic/transports, session management)."""
        try:
            if headers.SESSION not in http.headers:
                return _only_post(http, work)
            self._sessions.end(work, _session_id(http))
        except Error as error:
            return refuse(work, error)
        return HttpResponse(204)

    def _stateless(self, http: HttpRequest, request: Request, work: Work) -> HttpResponse | HttpStream:
        version = mcp.modern_version(request)
        headers.check(http, version, request.method, request.params)
        revision = mcp.stateless_revision(version)
        if request.is_notification:
            return _ACCEPTED
        if request.method == "subscriptions/listen":
            return HttpStream(Subscription(self._streams.hub, request.id, request.params, http.header(headers.RESUME)))
        return HttpResponse(200, jsonrpc.encode_result(request.id, methods.answer(work, request, revision)))

    def _in_session(self, http: HttpRequest, request: Request, work: Work) -> HttpResponse:
        if request.method == "initialize":
            return self._initialize(request, work)
        revision = self._revision(http, work)
        if request.is_notification:
            return _ACCEPTED
        return HttpResponse(200, jsonrpc.encode_result(request.id, self._result(request, work, revision)))

    def _result(self, request: Request, work: Work, revision: Revision) -> object:
        """Return the result of *request* in a session."""
        change = _SUBSCRIBING.get(request.method)
        if change is None:
            return methods.answer(work, request, revision)
        assert work.session_id is not None
        change(work, request.params, revision)
        self._streams.refresh(work.session_id)
        return {}

    def _initialize(self, request: Request, work: Work) -> HttpResponse:
        revision, result = mcp.initialize(request.params)
        line = f"Mcp-Session-Id: {self._sessions.open(work, revision.version)}\r\n".encode("ascii")
        return HttpResponse(200, jsonrpc.encode_result(request.id, result), line)

    def _revision(self, http: HttpRequest, work: Work) -> Revision:
        return mcp.check_session_version(http, self._sessions.find(work, _session_id(http)).version)

    def _batch(self, http: HttpRequest, value: list[object], work: Work) -> HttpResponse:
        """Answer each message of a batch by itself, in order (2025-03-26 basic); the others do not know batches."""
        if headers.SESSION not in http.headers or not (revision := self._revision(http, work)).batches:
            raise InvalidRequest("a batch of messages is part of protocol version 2025-03-26 only; send one message")
        responses = [self._in_batch(message, work, revision) for message in jsonrpc.split_batch(value)]
        work.message_id = None
        answered = [response for response in responses if response]
        return HttpResponse(200, jsonrpc.join_batch(answered)) if answered else _ACCEPTED

    def _in_batch(self, message: object, work: Work, revision: Revision) -> bytes:
        try:
            request = _receive(message, work)
            if request.method == "initialize":
                raise InvalidRequest("initialize cannot be part of a batch (2025-03-26 basic/lifecycle)")
            if request.is_notification:
                return b""
            return jsonrpc.encode_result(request.id, self._result(request, work, revision))
        except Error as error:
            return refuse(work, error, handshake=True).body


def _receive(value: object, work: Work) -> Request:
    work.message_id = jsonrpc.readable_id(value)
    request = jsonrpc.receive(value)
    work.method = request.method
    if request.is_notification and (methods.is_request(request.method) or request.method in _SUBSCRIBING):
        raise InvalidRequest(f'method {request.method!r} wants an answer; member "id" is missing')
    return request


def _only_post(http: HttpRequest, work: Work) -> HttpResponse:
    # 2026-07-28 streamable-http: GET and DELETE belong to sessions, which this era does not have.
    error = InvalidRequest(f"{http.method} needs a session; expected POST", http_status=405)
    return HttpResponse(405, refuse(work, error).body, b"Allow: POST\r\n")


def _session_id(http: HttpRequest) -> str:
    session_id = http.header(headers.SESSION)
    if session_id is None:
        raise InvalidRequest("header Mcp-Session-Id is missing; start a session with initialize")
    return session_id


def refuse(work: Work, error: Error, *, handshake: bool = False) -> HttpResponse:
    """Return *error* as MCP tells it.

    The handshake era answers -32601 with HTTP 200, the stateless one with 404; what the transport refuses keeps its
    status in both. Codes of the older dialect never leave here (2026-07-28 basic/index, error codes).
    """
    work.refusal = error.message
    status = error.http_status
    if status == 503 or (handshake and error.code == -32601):
        status = 200
    shown = InvalidRequest(error.message, error.data) if error.code in DIALECT_CODES else error
    return HttpResponse(status, jsonrpc.encode_error(work.message_id, shown))
