"""What takes longer than a turn at the REST endpoints: an order of ``Site.orders``, run as calls are."""

from __future__ import annotations

from typing import Any

from mcpd.protocol.http import HttpLater
from mcpd.server.calls import Calls
from mcpd.server.channel import HttpChannel
from mcpd.server.dialect_endpoint import DIALECT_VERSION
from mcpd.server.run import CallRequest
from mcpd.server.work import Work


def begin(calls: Calls, work: Work, order: str, arguments: dict[str, Any], caller: str | None = None) -> HttpLater:
    """Have *order* done for *work*, in the name of *caller* if that is another; the audit names what it is about.

    *arguments* begin with that.
    """
    name = next(iter(arguments.values()))
    request = CallRequest(
        method=order,
        params={"name": name, "arguments": arguments},
        message_id=None,
        version=DIALECT_VERSION,
        capabilities={},
        caller=work.caller if caller is None else caller,
        session_id=None,
        request_id=work.request_id,
        trace=work.trace,
        form="rest",
    )
    channel = HttpChannel(takes_stream=False)
    calls.begin(request, channel)
    return HttpLater(channel)
