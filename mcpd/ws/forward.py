"""``rpc`` of the event dialect: mcpd-rpc answers it, as it answers ``POST /jsonrpc`` of whoever called."""

from __future__ import annotations

from contextlib import closing

import orjson

from mcpd.access.callers import Caller, forwarded
from mcpd.bridge.upstream import AnswerLost, Upstream
from mcpd.errors import Error
from mcpd.protocol import stdio
from mcpd.protocol.stdio import Binding
from mcpd.ws.messages import Message

MAYBE = "it may or may not have been carried out: look before you call it again"


def binding(caller: Caller) -> Binding:
    """Return what tells mcpd-rpc that *caller* calls, over a WebSocket."""
    return Binding("websocket", forwarded(caller))


async def ask(upstream: Upstream, caller: Caller, message: Message, *, again: bool) -> object:
    """Return the result that *message* asks *upstream* for on behalf of *caller*; raises ``Error``.

    With *again* it may have been asked before; what must not be done twice then is not.
    """
    method = message.fields["method"]
    repeatable = method != "tools/call"
    if again and not repeatable:
        raise Error(f"mcpd-ws was restarted before the answer came; {MAYBE}")
    params = message.fields.get("params", {})
    body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    try:
        with closing(await upstream.ask(stdio.call(body, binding(caller)), repeat=repeatable)) as reply:
            return _result(reply.status, reply.body)
    except AnswerLost as lost:
        raise Error(str(lost) if repeatable else f"{lost}; {MAYBE}") from lost


def _result(status: int, body: bytes) -> object:
    if status == 204:  # to a notification
        return None
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    error = answer.get("error") if isinstance(answer, dict) else f"HTTP {status}"
    if error is None:
        return answer["result"]
    refused = Error(error["message"] if isinstance(error, dict) else str(error))
    if isinstance(error, dict):
        refused.code, refused.data = error["code"], error.get("data")
    raise refused
