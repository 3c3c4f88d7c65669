"""Messages of the handshake era, by any transport: requests, notifications, answers to our questions."""

from __future__ import annotations

from typing import Any

from mcpd.errors import InvalidParams, InvalidRequest
from mcpd.protocol import jsonrpc, mcp
from mcpd.protocol.jsonrpc import Request
from mcpd.protocol.revisions import Revision
from mcpd.server.calls import Calls
from mcpd.server.context import LEVELS
from mcpd.server.methods import Methods
from mcpd.server.run import CallRequest
from mcpd.server.work import Work, authorize
from mcpd.store import sessions

DEFAULT_LEVEL = "info"


class InSession:
    """Take messages of sessions: *methods* answers them, unless they are for *calls*."""

    def __init__(self, methods: Methods, calls: Calls) -> None:
        self._methods = methods
        self._calls = calls

    def take(self, value: object, work: Work) -> bytes | CallRequest | None:
        """Return the response to the message *value* of the session of *work*, None if it has none.

        What takes longer comes back as a request that may be begun, on a channel of the transport's.
        """
        response = jsonrpc.response(value)
        if response is not None:
            self._calls.answered(work, response)
            return None
        request = receive(value, work, self._methods)
        if request.is_notification:
            if request.method == "notifications/cancelled":
                self._calls.cancel(work, request.params.get("requestId"))
            return None
        revision = work.revision
        assert revision is not None
        if self._calls.takes(work, request.method, request.params):
            return call_request(work, request, log_level(work))
        return jsonrpc.encode_result(request.id, self._methods.answer(work, request, revision))


def receive(value: object, work: Work, methods: Methods) -> Request:
    """Return the request that *value* is, noted in *work*; raises ``InvalidRequest``."""
    work.message_id = jsonrpc.readable_id(value)
    request = jsonrpc.receive(value)
    work.method = request.method
    work.trace = mcp.trace_parent(request.params)
    work.site.rates.take(work.caller, request.method, work.now_us)
    if request.is_notification and methods.is_request(request.method):
        raise InvalidRequest(f'{request.method} is a request; member "id" is missing')
    return request


def call_request(work: Work, request: Request, level: str | None) -> CallRequest:
    """Return all that is needed to run *request*; *level* is the least of what its client wants to hear logged."""
    assert work.revision is not None
    authorize(work, request.method, request.params)
    work.tool = name if isinstance(name := request.params.get("name"), str) else None
    return CallRequest(
        method=request.method,
        params=request.params,
        message_id=request.id,
        version=work.revision.version,
        capabilities=dict(work.capabilities),
        caller=work.caller,
        session_id=work.session_id,
        request_id=work.request_id,
        log_level=level,
        trace=work.trace,
    )


def log_level(work: Work) -> str:
    """Return the level from which on the client of a session hears what is logged."""
    assert work.session_id is not None
    return sessions.log_level(work.db, work.session_id) or DEFAULT_LEVEL


def set_level(work: Work, params: dict[str, Any], _revision: Revision) -> object:
    """``logging/setLevel`` (2025-11-25 server/utilities/logging)."""
    level, nonce = params.get("level"), work.session_id
    if level not in LEVELS:
        raise InvalidParams(f'params "level": expected one of {", ".join(LEVELS)}')
    assert nonce is not None
    work.stored = True
    work.turn.run(lambda: sessions.set_log_level(work.db, nonce, str(level), work.now_us))
    return {}
