"""``/mcp``: MCP over Streamable HTTP, every revision."""

from __future__ import annotations

from typing import Any

from mcpd.errors import Error, InternalError, InvalidParams, InvalidRequest
from mcpd.protocol import headers, jsonrpc, mcp, params, revisions, states
from mcpd.protocol.http import HttpLater, HttpRequest, HttpResponse, HttpStream
from mcpd.protocol.jsonrpc import Request
from mcpd.server import replies
from mcpd.server.batch import Batch, Part
from mcpd.server.calls import Calls
from mcpd.server.channel import HttpChannel
from mcpd.server.channels import new_call_id
from mcpd.server.context import LEVELS
from mcpd.server.in_session import InSession, call_request, receive
from mcpd.server.listen import Streams, Subscription
from mcpd.server.methods import Methods
from mcpd.server.run import CallRequest
from mcpd.server.sessions import Sessions
from mcpd.server.work import Work

Reply = HttpResponse | HttpStream | HttpLater
_ACCEPTED = HttpResponse(202)


class McpEndpoint:
    """Answer MCP requests; the handshake era's are found in *sessions*, their streams in *streams*."""

    def __init__(
        self, sessions: Sessions, streams: Streams, methods: Methods, calls: Calls, in_session: InSession
    ) -> None:
        self._sessions = sessions
        self._streams = streams
        self._methods = methods
        self._calls = calls
        self._in_session = in_session

    def post(self, http: HttpRequest, work: Work) -> Reply:
        """Answer one posted message; errors come out as JSON-RPC errors with the HTTP status the revision asks for."""
        handshake = False
        try:
            mcp.check_media_types(http)
            value = jsonrpc.decode(http.body)
            if isinstance(value, list):
                return self._batch(http, value, work)
            if headers.SESSION in http.headers and jsonrpc.response(value) is not None:
                handshake = True
                return self._of_session(http, value, work)
            request = receive(value, work, self._methods)
            if mcp.is_modern(request, http):
                return self._stateless(http, request, work)
            handshake = True
            if request.method == "initialize":
                return self._initialize(request, work)
            return self._of_session(http, value, work)
        except Error as error:
            return refuse(work, error, handshake=handshake)

    def get(self, http: HttpRequest, work: Work) -> HttpResponse | HttpStream:
        """Open the stream of a session (2025-11-25 basic/transports, listening for messages from the server)."""
        try:
            if headers.SESSION not in http.headers:
                return _only_post(http, work)
            mcp.check_accepts_stream(http)
            self._find_session(http, work)
            last = http.header(headers.LAST_EVENT)
            return self._calls.channels.resume(work, last) or HttpStream(self._streams.open(work, last))
        except Error as error:
            return refuse(work, error)

    def delete(self, http: HttpRequest, work: Work) -> HttpResponse:
        """End a session (2025-11-25 basic/transports, session management)."""
        try:
            if headers.SESSION not in http.headers:
                return _only_post(http, work)
            self._sessions.end(work, _session_id(http), self._calls.end_session)
            self._streams.end(work)
        except Error as error:
            return refuse(work, error)
        return HttpResponse(204)

    def _stateless(self, http: HttpRequest, request: Request, work: Work) -> Reply:
        version = mcp.modern_version(request)
        headers.check(http, version, request.method, request.params)
        revision = mcp.stateless_revision(version)
        if request.is_notification:
            return _ACCEPTED
        work.revision = revision
        meta: dict[str, Any] = request.params["_meta"]
        work.capabilities = meta[revisions.CLIENT_CAPABILITIES]
        marked = work.site.tool_list.header_params
        if marked and request.method == "tools/call" and headers.TRANSPORT not in http.headers:
            own = marked.get(str(request.params.get("name")), ())
            params.check(http, own, request.params.get("arguments"))
        if request.method == "subscriptions/listen":
            work.require("read", request.method)
            return HttpStream(Subscription(self._streams.hub, work, request, http.header(headers.RESUME)))
        level = meta.get(revisions.LOG_LEVEL)
        if level is not None and level not in LEVELS:
            raise InvalidParams(f"params._meta {revisions.LOG_LEVEL!r}: expected one of {', '.join(LEVELS)}")
        if self._calls.takes(work, request.method, request.params):
            return self._begin(http, request, work, level)
        return HttpResponse(200, jsonrpc.encode_result(request.id, self._methods.answer(work, request, revision)))

    def _begin(self, http: HttpRequest, request: Request, work: Work, level: str | None) -> HttpLater:
        answers = self._answers(request, work)
        channel = HttpChannel(takes_stream=mcp.takes_stream(http))
        run = self._calls.begin(call_request(work, request, level), channel, answers=answers)
        # 2026-07-28 basic/patterns/cancellation: the client that closes the response does not want it any more.
        channel.gone = run.cancel
        return HttpLater(channel)

    def _answers(self, request: Request, work: Work) -> dict[str, Any]:
        """Return what was answered in the rounds before, and in this one (2026-07-28 basic/patterns/mrtr)."""
        state, responses = request.params.get("requestState"), request.params.get("inputResponses")
        if responses is not None and not isinstance(responses, dict):
            raise InvalidParams('params "inputResponses": expected an object with an answer to each question')
        answers = {key: {"result": response} for key, response in (responses or {}).items()}
        if state is None:
            return answers
        digest = states.digest(request.method, request.params)
        return answers | self._calls.states.read(state, work.caller, digest, work.now_us)

    def _of_session(self, http: HttpRequest, value: object, work: Work) -> Reply:
        self._find_session(http, work)
        came = self._in_session.take(value, work)
        if isinstance(came, CallRequest):
            return self._begin_resumable(http, came, work)
        return _ACCEPTED if came is None else HttpResponse(200, came)

    def _begin_resumable(self, http: HttpRequest, request: CallRequest, work: Work) -> HttpLater:
        assert work.revision is not None
        call_id = new_call_id()
        channel = HttpChannel(call_id=call_id, priming=work.revision.priming, takes_stream=mcp.takes_stream(http))
        self._calls.begin(request, channel, call_id=call_id)
        return HttpLater(channel)

    def _initialize(self, request: Request, work: Work) -> HttpResponse:
        revision, result = mcp.initialize(request.params)
        session_id = self._sessions.open(work, revision.version, mcp.asked_capabilities(request.params))
        line = f"Mcp-Session-Id: {session_id}\r\n".encode("ascii")
        return HttpResponse(200, jsonrpc.encode_result(request.id, result), line)

    def _find_session(self, http: HttpRequest, work: Work) -> None:
        session = self._sessions.find(work, _session_id(http))
        work.revision = mcp.check_session_version(http, session.version)

    def _batch(self, http: HttpRequest, value: list[object], work: Work) -> HttpResponse | HttpLater:
        """Answer each message of a batch by itself, in order (2025-03-26 basic); the others do not know batches."""
        if headers.SESSION in http.headers:
            self._find_session(http, work)
        if work.revision is None or not work.revision.batches:
            raise InvalidRequest("a batch of messages is part of protocol version 2025-03-26 only; send one message")
        batch = Batch(HttpChannel(takes_stream=mcp.takes_stream(http)))
        for message in jsonrpc.split_batch(value):
            batch.add(self._in_batch(message, work, batch))
        work.message_id = None
        return batch.reply()

    def _in_batch(self, message: object, work: Work, batch: Batch) -> bytes | Part | None:
        try:
            if isinstance(message, dict) and message.get("method") == "initialize":
                work.message_id = jsonrpc.readable_id(message)
                raise InvalidRequest("initialize cannot be part of a batch (2025-03-26 basic/lifecycle)")
            came = self._in_session.take(message, work)
            if not isinstance(came, CallRequest):
                return came
            part = batch.part()
            self._calls.begin(came, part, call_id=new_call_id())
            return part
        except Error as error:
            return refuse(work, error, handshake=True).body
        except BaseException as exc:  # noqa: BLE001 - the others of the batch still get their answers
            work.fault = exc
            return refuse(work, InternalError(), handshake=True).body


def refuse(work: Work, error: Error, *, handshake: bool = False) -> HttpResponse:
    """Return *error* as MCP tells it, noted in *work*."""
    work.refused(error)
    return HttpResponse(*replies.error(work.message_id, error, handshake=handshake))


def _only_post(http: HttpRequest, work: Work) -> HttpResponse:
    # 2026-07-28 streamable-http: GET and DELETE belong to sessions, which this era does not have.
    error = InvalidRequest(f"{http.method} needs a session; expected POST", http_status=405)
    return HttpResponse(405, refuse(work, error).body, b"Allow: POST\r\n")


def _session_id(http: HttpRequest) -> str:
    session_id = http.header(headers.SESSION)
    if session_id is None:
        raise InvalidRequest("header Mcp-Session-Id is missing; start a session with initialize")
    return session_id
