"""The MCP headers of a request and their agreement with its body (2026-07-28, basic/transports/streamable-http).

A gateway routes by ``Mcp-Method`` and ``Mcp-Name`` without reading the body; so a header that says something else than
the body is refused, never believed.
"""

from __future__ import annotations

import base64
import binascii

from mcpd.errors import HeaderMismatch
from mcpd.protocol.http import HttpRequest

VERSION = b"mcp-protocol-version"
METHOD = b"mcp-method"
NAME = b"mcp-name"
SESSION = b"mcp-session-id"
LAST_EVENT = b"last-event-id"
RESUME = b"mcpd-resume"
"""Not of MCP: the place behind which a stateless stream begins, as a comment in an earlier one told it."""
CALLER = b"mcpd-caller"
"""Not of MCP: for whom mcpd-ws calls; believed from mcpd's own user on the Unix socket, refused from anybody else."""
TRANSPORT = b"mcpd-transport"
"""Not of MCP: set by mcpd-stdio and mcpd-ws, whose clients need not know ``Mcp-Param-*`` ("clients using other
transports MAY ignore x-mcp-header annotations entirely")."""

NAME_PARAM = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "tasks/get": "taskId",
    "tasks/update": "taskId",
    "tasks/cancel": "taskId",
}
"""Which parameter ``Mcp-Name`` repeats, by method."""

_PREFIX, _SUFFIX = "=?base64?", "?="


def check(request: HttpRequest, version: str, method: str, params: dict[str, object]) -> None:
    """Raise ``HeaderMismatch`` unless the headers of *request* repeat *version*, *method* and the name in *params*."""
    _expect(request, VERSION, "MCP-Protocol-Version", version)
    _expect(request, METHOD, "Mcp-Method", method)
    parameter = NAME_PARAM.get(method)
    if parameter is not None:
        name = params.get(parameter)
        if isinstance(name, str):
            _expect(request, NAME, "Mcp-Name", name)


def decode_value(value: str) -> str:
    """Return a header value as text, undoing ``=?base64?…?=``; raises ``HeaderMismatch`` if it is not canonical."""
    if not (value.startswith(_PREFIX) and value.endswith(_SUFFIX) and len(value) >= len(_PREFIX) + len(_SUFFIX)):
        return value
    encoded = value[len(_PREFIX) : -len(_SUFFIX)]
    try:
        raw = base64.b64decode(encoded, validate=True)
        text = raw.decode("utf-8")
    except (binascii.Error, ValueError) as exc:
        raise HeaderMismatch(f"header value {value!r} is not valid Base64 of UTF-8 text") from exc
    if base64.b64encode(raw).decode("ascii") != encoded:
        raise HeaderMismatch(f"header value {value!r} is not canonical Base64")
    return text


def encode_value(text: str) -> str:
    """Return *text* as a header's value: itself where that is safe, else as ``=?base64?…?=``."""
    plain = all(" " <= character <= "~" for character in text) and text == text.strip()
    if plain and not (text.startswith(_PREFIX) and text.endswith(_SUFFIX)):
        return text
    return f"{_PREFIX}{base64.b64encode(text.encode()).decode('ascii')}{_SUFFIX}"


def _expect(request: HttpRequest, name: bytes, spelled: str, expected: str) -> None:
    raw = request.headers.get(name)
    value = None if raw is None else raw.decode("latin-1")
    if value == expected and name not in request.duplicated:
        return  # as nearly always
    if value is None:
        raise HeaderMismatch(f"header {spelled} is missing; expected {expected!r} as in the body")
    if name in request.duplicated:
        raise HeaderMismatch(f"header {spelled} is given more than once")
    if value != expected and decode_value(value) != expected:
        raise HeaderMismatch(f"header {spelled} says {value!r}, the body says {expected!r}")
