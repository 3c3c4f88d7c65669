"""``POST /mcp``: MCP over Streamable HTTP, both eras."""

from __future__ import annotations

from mcpd.errors import Error, InvalidRequest
from mcpd.protocol import headers, jsonrpc, mcp
from mcpd.protocol.http import HttpRequest, HttpResponse
from mcpd.protocol.jsonrpc import Request
from mcpd.protocol.sessions import SessionSigner
from mcpd.server import methods
from mcpd.server.work import Work

_ACCEPTED = HttpResponse(202)


class McpEndpoint:
    """Answer MCP requests; sessions of the handshake era are signed by *signer*."""

    def __init__(self, signer: SessionSigner) -> None:
        self._signer = signer

    def post(self, http: HttpRequest, work: Work) -> HttpResponse:
        """Answer one posted message; errors come out as JSON-RPC errors with the HTTP status the revision asks for."""
        handshake = False
        try:
            mcp.check_media_types(http)
            value = jsonrpc.decode(http.body)
            work.message_id = jsonrpc.readable_id(value)
            request = jsonrpc.receive(value)
            work.method = request.method
            if request.is_notification and methods.is_request(request.method):
                raise InvalidRequest(f'method {request.method!r} wants an answer; member "id" is missing')
            if mcp.is_modern(request, http):
                return self._stateless(http, request, work)
            handshake = True
            return self._in_session(http, request, work)
        except Error as error:
            return refuse(work, error, handshake=handshake)

    def _stateless(self, http: HttpRequest, request: Request, work: Work) -> HttpResponse:
        version = mcp.modern_version(request)
        headers.check(http, version, request.method, request.params)
        revision = mcp.stateless_revision(version)
        if request.is_notification:
            return _ACCEPTED
        return HttpResponse(200, jsonrpc.encode_result(request.id, methods.answer(work, request, revision)))

    def _in_session(self, http: HttpRequest, request: Request, work: Work) -> HttpResponse:
        if request.method == "initialize":
            return self._initialize(request, work)
        session_id = http.header(headers.SESSION)
        if session_id is None:
            raise InvalidRequest("header Mcp-Session-Id is missing; start a session with initialize")
        session = self._signer.read(session_id, work.caller)
        work.session_id = session.nonce
        revision = mcp.check_session_version(http, session.version)
        if request.is_notification:
            return _ACCEPTED
        return HttpResponse(200, jsonrpc.encode_result(request.id, methods.answer(work, request, revision)))

    def _initialize(self, request: Request, work: Work) -> HttpResponse:
        revision, result = mcp.initialize(request.params)
        session_id = self._signer.issue(revision.version, work.caller, work.now_us)
        line = f"Mcp-Session-Id: {session_id}\r\n".encode("ascii")
        return HttpResponse(200, jsonrpc.encode_result(request.id, result), line)


def refuse(work: Work, error: Error, *, handshake: bool = False) -> HttpResponse:
    """Return *error* as MCP tells it.

    The handshake era answers -32601 with HTTP 200, the stateless one with 404; what the transport refuses keeps its
    status in both. Codes of the older dialect never leave here (2026-07-28 basic/index, error codes).
    """
    work.error = error
    status = error.http_status
    if status == 503 or (handshake and error.code == -32601):
        status = 200
    shown = InvalidRequest(error.message, error.data) if -32019 <= error.code <= -32000 else error
    return HttpResponse(status, jsonrpc.encode_error(work.message_id, shown))
