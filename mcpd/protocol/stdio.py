"""MCP over stdio, and what has to be known of a message to pass it on over HTTP: its frame, its id, its headers.

A message is a line (2025-11-25 and 2026-07-28 basic/transports/stdio). It travels on as the bytes it came as; only the
members that the transport repeats in headers are looked at, and nothing of it is judged: that is the server's.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec
import orjson

from mcpd.errors import Error, InvalidRequest, ParseError
from mcpd.protocol import headers, jsonrpc, revisions

MAX_LINE_BYTES = 4 * 1024 * 1024
LISTEN = "subscriptions/listen"
CANCELLED = "notifications/cancelled"
_ACKNOWLEDGED = "notifications/subscriptions/acknowledged"
_EMPTY = msgspec.Raw()
T = TypeVar("T")


class LineReader:
    """Bytes in, lines out; of a line over *limit_bytes* nothing is kept but that it was there (None)."""

    def __init__(self, limit_bytes: int = MAX_LINE_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._parts: list[bytes] = []
        self._size_bytes = 0

    def receive_data(self, data: bytes) -> list[bytes | None]:
        """Return the lines that *data* ends, without those that are blank."""
        *whole, rest = data.split(b"\n")
        lines = [self._end(part) for part in whole]
        self._keep(rest)
        return [line for line in lines if line is None or line.strip()]

    def close(self) -> list[bytes | None]:
        """Return the line that the end of the input ended."""
        line = self._end(b"")
        return [line] if line is None or line.strip() else []

    def _keep(self, part: bytes) -> None:
        self._size_bytes += len(part)
        if self._size_bytes > self._limit_bytes:
            self._parts.clear()
        else:
            self._parts.append(part)

    def _end(self, part: bytes) -> bytes | None:
        self._keep(part)
        line = None if self._size_bytes > self._limit_bytes else b"".join(self._parts)
        self._parts, self._size_bytes = [], 0
        return line


class Kind(enum.Enum):
    """What a message is; OTHER is JSON but nothing of JSON-RPC, which the server will say."""

    REQUEST = "request"
    NOTIFICATION = "notification"
    RESPONSE = "response"
    BATCH = "batch"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its ``line`` as it came, and what was read of it.

    ``ids``: of the requests in it, each as canonical JSON. ``version``: that a request of the stateless era names.
    ``name``: what ``Mcp-Name`` has to repeat. ``cancels``: the id of the request that it cancels.
    ``repeatable``: sent twice, it does no more than sent once.
    """

    line: bytes
    kind: Kind
    method: str = ""
    ids: tuple[bytes, ...] = ()
    version: str | None = None
    name: str | None = None
    cancels: bytes | None = None
    repeatable: bool = True


@dataclass(slots=True)
class Session:
    """A session of the handshake era: what the answer to ``initialize`` said."""

    id: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Binding:
    """What binds a client to the server besides HTTP: the *transport*, and the *caller* that mcpd-ws speaks for."""

    transport: str = "stdio"
    caller: str | None = None

    def lines(self) -> list[str]:
        """Return the headers that say so."""
        told = [f"Mcpd-Transport: {self.transport}"]
        return told if self.caller is None else [*told, f"Mcpd-Caller: {self.caller}"]


STDIO = Binding()


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes to the client, and what to the one who looks at stderr."""

    lines: list[bytes] = field(default_factory=list)
    complaint: str = ""


class _Envelope(msgspec.Struct):
    id: msgspec.Raw = _EMPTY
    method: msgspec.Raw = _EMPTY
    params: msgspec.Raw = _EMPTY
    result: msgspec.Raw = _EMPTY
    error: msgspec.Raw = _EMPTY


class _Meta(msgspec.Struct):
    version: msgspec.Raw = msgspec.field(default=_EMPTY, name=revisions.PROTOCOL_VERSION)


class _Params(msgspec.Struct):
    meta: msgspec.Raw = msgspec.field(default=_EMPTY, name="_meta")
    name: msgspec.Raw = _EMPTY
    uri: msgspec.Raw = _EMPTY
    taskId: msgspec.Raw = _EMPTY  # noqa: N815
    requestId: msgspec.Raw = _EMPTY  # noqa: N815
    protocolVersion: msgspec.Raw = _EMPTY  # noqa: N815


_envelopes = msgspec.json.Decoder(_Envelope)
_metas = msgspec.json.Decoder(_Meta)
_params = msgspec.json.Decoder(_Params)
_arrays = msgspec.json.Decoder(list[msgspec.Raw])


def read(line: bytes) -> Message:
    """Return what *line* holds; raises ``ParseError`` if that is not JSON in UTF-8."""
    try:
        line.decode("utf-8")
        return _read_value(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ParseError(f"the line is not JSON: {exc}") from exc


def _read_value(line: bytes) -> Message:
    try:
        return _read_one(line, _envelopes.decode(line))
    except msgspec.ValidationError:
        pass
    try:
        members = [_read_one(line, _envelopes.decode(raw)) for raw in _arrays.decode(line)]
    except msgspec.ValidationError:  # not an array, or not of objects
        return Message(line, Kind.OTHER)
    ids = tuple(request_id for member in members for request_id in member.ids)
    return Message(line, Kind.BATCH, ids=ids, repeatable=all(member.repeatable for member in members))


def _read_one(line: bytes, envelope: _Envelope) -> Message:
    method = _text(envelope.method)
    request_id = _identify(envelope.id)
    ids = () if request_id is None else (request_id,)
    if method is None:
        if ids and (envelope.result != _EMPTY or envelope.error != _EMPTY):
            return Message(line, Kind.RESPONSE)
        return Message(line, Kind.OTHER, ids=ids)
    params = _object(_params, envelope.params)
    version = _text(_object(_metas, params.meta).version)
    name = _text(getattr(params, headers.NAME_PARAM[method])) if method in headers.NAME_PARAM else None
    if envelope.id == _EMPTY:
        cancels = _identify(params.requestId) if method == CANCELLED else None
        return Message(line, Kind.NOTIFICATION, method, version=version, name=name, cancels=cancels)
    return Message(line, Kind.REQUEST, method, ids, version, name, repeatable=method != "tools/call")


def post(message: Message, session: Session, place: str | None = None, binding: Binding = STDIO) -> bytes:
    """Return the HTTP request that carries *message*: headers of its era, or those of *session*.

    A listen request begins behind *place*, where an earlier stream of its broke off.
    """
    lines = ["Content-Type: application/json", "Accept: application/json, text/event-stream", *binding.lines()]
    if message.version is None:
        lines += _session_lines(session)
    else:
        lines.append(f"MCP-Protocol-Version: {headers.encode_value(message.version)}")
        lines.append(f"Mcp-Method: {headers.encode_value(message.method)}")
        if message.name is not None:
            lines.append(f"Mcp-Name: {headers.encode_value(message.name)}")
    if place is not None:
        lines.append(f"Mcpd-Resume: {place}")
    return _head("POST", [*lines, f"Content-Length: {len(message.line)}"]) + message.line


def get(session: Session, last_event_id: str | None, binding: Binding = STDIO) -> bytes:
    """Return the HTTP request for the stream of *session*, from behind the event *last_event_id* on."""
    lines = ["Accept: text/event-stream", *binding.lines(), *_session_lines(session)]
    if last_event_id is not None:
        lines.append(f"Last-Event-ID: {headers.encode_value(last_event_id)}")
    return _head("GET", lines)


def delete(session: Session, binding: Binding = STDIO) -> bytes:
    """Return the HTTP request that ends *session*."""
    return _head("DELETE", [*binding.lines(), *_session_lines(session)])


def call(body: bytes, binding: Binding) -> bytes:
    """Return the HTTP request that carries *body* to the endpoint of the older dialect."""
    lines = ["Content-Type: application/json", *binding.lines(), f"Content-Length: {len(body)}"]
    return _head("POST", lines, "/jsonrpc") + body


def opened(body: bytes, session_id: str | None) -> Session:
    """Return the session that the answer *body* to ``initialize`` opened, an empty one if it is an error."""
    result = _object(_params, _object(_envelopes, body).result)
    version = _text(result.protocolVersion)
    return Session() if version is None else Session(session_id, version)


def answer(message: Message, status: int, body: bytes) -> Answer:
    """Return what the client gets to read of the answer *status* and *body* to *message*."""
    refusal = _refusal(status, body)
    if message.kind in (Kind.NOTIFICATION, Kind.RESPONSE):
        return Answer(complaint=refusal and f"{message.method or 'a response'} was refused: {refusal}")
    complaint = refusal if status in (401, 403) else ""
    envelope = _object(_envelopes, body)
    if body[:1] == b"[" or envelope.result != _EMPTY or (envelope.error != _EMPTY and envelope.id != _EMPTY):
        return Answer([one_line(body)], complaint)
    error = _object_error(envelope)
    if error is None:
        wrong = InvalidRequest if 400 <= status < 500 else Error
        error = jsonrpc.error_object(wrong(refusal or f"the request was answered with HTTP {status} and no result"))
    return Answer([_with_ids(request_id, error) for request_id in message.ids or (None,)], complaint)


def failure(message: Message, error: Error) -> list[bytes]:
    """Return the answers that tell the client that *message* failed by *error*; none where none is awaited."""
    return [_with_ids(request_id, jsonrpc.error_object(error)) for request_id in message.ids]


def refused(error: Error) -> bytes:
    """Return the answer to a line of which nothing could be read."""
    return jsonrpc.encode_error(None, error)


def torn_down(message: Message) -> bytes:
    """Return the word that the stream of the listen request *message* is gone (2026-07-28 basic/transports/stdio)."""
    params = {"requestId": orjson.Fragment(message.ids[0]), "reason": "the stream cannot be opened again"}
    return orjson.dumps({"jsonrpc": "2.0", "method": CANCELLED, "params": params})


def is_answer(data: bytes) -> bool:
    """Say whether the event *data* is the answer that ends a stream."""
    envelope = _object(_envelopes, data)
    return envelope.method == _EMPTY and (envelope.result != _EMPTY or envelope.error != _EMPTY)


def is_acknowledgement(data: bytes) -> bool:
    """Say whether the event *data* is the first one of a listen stream."""
    return _text(_object(_envelopes, data).method) == _ACKNOWLEDGED


def one_line(data: bytes) -> bytes:
    """Return the JSON *data* without line breaks, which can only stand between its parts."""
    return data.replace(b"\r", b" ").replace(b"\n", b" ")


def _head(method: str, lines: list[str], path: str = "/mcp") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "\r\n"]).encode("ascii")


def _session_lines(session: Session) -> list[str]:
    lines = [] if session.id is None else [f"Mcp-Session-Id: {headers.encode_value(session.id)}"]
    if session.version is not None:
        lines.append(f"MCP-Protocol-Version: {headers.encode_value(session.version)}")
    return lines


def _refusal(status: int, body: bytes) -> str:
    """Return what an answer that is no success says of itself."""
    if 200 <= status < 300:
        return ""
    error = _value(_object(_envelopes, body).error)
    said = error.get("message") if isinstance(error, dict) else error
    return said if isinstance(said, str) else f"HTTP {status} and no reason given"


def _object_error(envelope: _Envelope) -> object:
    error = _value(envelope.error)
    return error if isinstance(error, dict) else None


def _with_ids(request_id: bytes | None, error: object) -> bytes:
    told = {} if request_id is None else {"id": orjson.Fragment(request_id)}
    return orjson.dumps({"jsonrpc": "2.0", **told, "error": error})


def _identify(raw: msgspec.Raw) -> bytes | None:
    value = _value(raw)
    return orjson.dumps(value) if jsonrpc.is_id(value) else None


def _text(raw: msgspec.Raw) -> str | None:
    value = _value(raw)
    return value if isinstance(value, str) else None


def _value(raw: msgspec.Raw) -> object:
    try:
        return orjson.loads(bytes(raw)) if raw != _EMPTY else None
    except orjson.JSONDecodeError:  # a lone surrogate, of which the server will complain
        return None


def _object(decoder: msgspec.json.Decoder[T], raw: msgspec.Raw | bytes) -> T:
    """Return the object that *raw* holds, an empty one if it holds something else."""
    try:
        return decoder.decode(raw)
    except msgspec.DecodeError:
        return decoder.decode(b"{}")
