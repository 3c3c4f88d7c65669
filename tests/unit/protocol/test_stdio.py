from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.errors import Error, ParseError
from mcpd.protocol import headers, revisions, sse, stdio
from mcpd.protocol.sse import Event, EventReader
from mcpd.protocol.stdio import Kind, LineReader, Message, Session

META = {revisions.PROTOCOL_VERSION: "2026-07-28"}


def message(method: str = "tools/list", params: Any = None, **members: Any) -> Message:
    value = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {} if params is None else params} | members
    return stdio.read(orjson.dumps(value))


def notification(method: str, params: Any = None) -> Message:
    return stdio.read(orjson.dumps({"jsonrpc": "2.0", "method": method, "params": params or {}}))


def sent(request: bytes) -> tuple[str, dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    return first, dict(line.split(": ", 1) for line in lines), body


@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line and line.strip())), st.data())
def test_lines_come_out_however_the_bytes_come_in(lines: list[bytes], data: st.DataObject) -> None:
    stream, reader, found = b"".join(line + b"\n" for line in lines), LineReader(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += reader.receive_data(stream[:size])
        stream = stream[size:]
    assert found + reader.close() == lines


def test_a_line_that_is_too_long_is_named_and_costs_no_memory() -> None:
    reader = LineReader(10)
    assert reader.receive_data(b"0123456789\n0123456789") == [b"0123456789"]
    assert reader.receive_data(b"x") == []
    assert reader.receive_data(b"x" * 1000) == []
    assert reader._parts == []
    assert reader.receive_data(b"y\nok\n \n\r\n") == [None, b"ok"]
    assert reader.receive_data(b"last") == []
    assert reader.close() == [b"last"]
    assert reader.close() == []


@pytest.mark.parametrize(
    ("line", "kind", "ids"),
    [
        (b'{"id":1,"method":"m"}', Kind.REQUEST, (b"1",)),
        (b'{"id":"\\u0061","method":"m"}', Kind.REQUEST, (b'"a"',)),
        (b'{"id":null,"method":"m"}', Kind.REQUEST, ()),
        (b'{"id":1.5,"method":"m"}', Kind.REQUEST, ()),
        (b'{"method":"m","params":[1]}', Kind.NOTIFICATION, ()),
        (b'{"id":1,"result":{}}', Kind.RESPONSE, ()),
        (b'{"id":1,"error":{}}', Kind.RESPONSE, ()),
        (b'{"id":1}', Kind.OTHER, (b"1",)),
        (b'{"result":{}}', Kind.OTHER, ()),
        (b"{}", Kind.OTHER, ()),
        (b"3", Kind.OTHER, ()),
        (b"[3]", Kind.OTHER, ()),
        (b'[{"id":1,"method":"m"},{"method":"n"},{"id":2,"method":"m"}]', Kind.BATCH, (b"1", b"2")),
    ],
)
def test_what_a_line_holds(line: bytes, kind: Kind, ids: tuple[bytes, ...]) -> None:
    read = stdio.read(line)
    assert (read.kind, read.ids, read.line) == (kind, ids, line)


@pytest.mark.parametrize(
    "line", [b"{", b"", b"\xff", b'{"method":"\xff"}', b"{}}", b"\xef\xbb\xbf{}", b'"\\ud800"', b"["]
)
def test_what_is_not_json_is_refused(line: bytes) -> None:
    with pytest.raises(ParseError):
        stdio.read(line)
    assert b'"id"' not in stdio.refused(ParseError("no"))


@given(st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_reading_anything_raises_nothing_else(line: bytes) -> None:
    try:
        read = stdio.read(line)
    except ParseError:
        return
    stdio.post(read, Session())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["id", "method", "params", "_meta", "name", "uri", revisions.PROTOCOL_VERSION, "result"]
                ),
                inner | st.sampled_from(["tools/call", "resources/read", "2026-07-28"]),
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
def test_every_json_value_is_framed_as_one_request(value: object) -> None:
    try:
        line = orjson.dumps(value)
    except TypeError:  # an integer beyond 64 bits
        return
    first, fields, body = sent(stdio.post(stdio.read(line), Session("s", "2025-11-25")))
    assert (first, body, fields["Content-Length"]) == ("POST /mcp HTTP/1.1", line, str(len(line)))


def test_only_a_tool_call_is_not_repeatable() -> None:
    assert message("tools/list").repeatable
    assert not message("tools/call").repeatable
    batch = stdio.read(b'[{"id":1,"method":"tools/list"},{"id":2,"method":"tools/call"}]')
    assert not batch.repeatable
    assert stdio.read(b'[{"id":1,"method":"tools/list"}]').repeatable


@pytest.mark.parametrize(
    ("method", "params", "name"),
    [
        ("tools/call", {"name": "heartbeat", "uri": "x"}, "heartbeat"),
        ("tools/call", {"name": "größe"}, f"=?base64?{base64.b64encode('größe'.encode()).decode()}?="),
        ("tools/call", {"name": "a\r\nX: y"}, "=?base64?YQ0KWDogeQ==?="),
        ("prompts/get", {"name": " p"}, "=?base64?IHA=?="),
        ("resources/read", {"uri": "agent://a"}, "agent://a"),
        ("prompts/get", {"name": "=?base64?YQ==?="}, "=?base64?PT9iYXNlNjQ/WVE9PT89?="),
        ("tools/call", {"name": 7}, None),
        ("tools/list", {"name": "x"}, None),
    ],
)
def test_a_stateless_request_gets_the_headers_that_repeat_its_body(method: str, params: Any, name: str | None) -> None:
    read = message(method, params | {"_meta": META})
    _, fields, body = sent(stdio.post(read, Session("ignored", "2025-11-25")))
    assert body == read.line
    assert (fields["MCP-Protocol-Version"], fields["Mcp-Method"]) == ("2026-07-28", method)
    assert fields.get("Mcp-Name") == name
    assert "Mcp-Session-Id" not in fields


@given(st.text())
def test_a_header_value_is_safe_and_read_back(text: str) -> None:
    value = headers.encode_value(text)
    assert value.isascii()
    assert "\r" not in value
    assert "\n" not in value
    assert value == value.strip()
    assert headers.decode_value(value) == text


def test_other_requests_get_the_session_s_headers() -> None:
    session = Session("abc", "2025-06-18")
    for request in (stdio.post(message(), session), stdio.get(session, None), stdio.delete(session)):
        _, fields, _ = sent(request)
        assert (fields["Mcp-Session-Id"], fields["MCP-Protocol-Version"]) == ("abc", "2025-06-18")
        assert "Mcp-Method" not in fields
    assert sent(stdio.get(session, "7"))[1]["Last-Event-ID"] == "7"
    assert "Mcp-Session-Id" not in sent(stdio.post(message(), Session()))[1]
    assert sent(stdio.post(message(), session, "7"))[1]["Mcpd-Resume"] == "7"


def test_the_session_is_what_initialize_was_answered() -> None:
    assert stdio.opened(b'{"id":1,"result":{"protocolVersion":"v"}}', "s") == Session("s", "v")
    assert stdio.opened(b'{"id":1,"error":{}}', "s") == Session()
    assert stdio.opened(b"nonsense", None) == Session()


def test_an_answer_is_passed_on_as_it_is_and_on_one_line() -> None:
    body = b'{"jsonrpc":"2.0",\r\n"id":1,"result":{}}'
    assert stdio.answer(message(), 200, body) == stdio.Answer([body.replace(b"\r\n", b"  ")])
    error = b'{"id":1,"error":{"code":-32601,"message":"no"}}'
    assert stdio.answer(message(), 404, error) == stdio.Answer([error])
    batch = b'[{"id":1,"result":{}}]'
    assert stdio.answer(stdio.read(b'[{"id":1,"method":"m"}]'), 200, batch) == stdio.Answer([batch])


def test_an_error_without_an_id_gets_that_of_the_request() -> None:
    answer = stdio.answer(
        message(id="a"), 403, b'{"jsonrpc":"2.0","error":{"code":-32600,"message":"not you","data":1}}'
    )
    (line,) = answer.lines
    error = {"code": -32600, "message": "not you", "data": 1}
    assert orjson.loads(line) == {"jsonrpc": "2.0", "id": "a", "error": error}
    assert answer.complaint == "not you"
    (line,) = stdio.answer(stdio.read(b"3"), 400, b'{"error":{"code":-32600,"message":"no"}}').lines
    assert "id" not in orjson.loads(line)


@pytest.mark.parametrize(
    ("status", "body", "code", "text"),
    [
        (413, b'{"error":"too large"}', -32600, "too large"),
        (502, b"<html>", -32603, "HTTP 502"),
        (200, b"", -32603, "HTTP 200"),
        (202, b"", -32603, "HTTP 202"),
    ],
)
def test_an_answer_of_http_becomes_one_of_json_rpc(status: int, body: bytes, code: int, text: str) -> None:
    batch = stdio.read(b'[{"id":1,"method":"m"},{"id":2,"method":"m"}]')
    errors = [orjson.loads(line) for line in stdio.answer(batch, status, body).lines]
    assert [error["id"] for error in errors] == [1, 2]
    assert {error["error"]["code"] for error in errors} == {code}
    assert text in errors[0]["error"]["message"]


def test_a_notification_has_no_answer_but_its_refusal_is_said() -> None:
    assert stdio.answer(notification("notifications/initialized"), 202, b"") == stdio.Answer()
    refused = stdio.answer(notification("n"), 403, b'{"error":{"message":"not you"}}')
    assert refused == stdio.Answer([], "n was refused: not you")
    assert stdio.answer(stdio.read(b'{"id":1,"result":{}}'), 500, b"").complaint.startswith("a response was refused")


def test_failures_name_the_requests() -> None:
    (line,) = stdio.failure(message(id="x"), Error("lost"))
    assert orjson.loads(line) == {"jsonrpc": "2.0", "id": "x", "error": {"code": -32603, "message": "lost"}}
    assert stdio.failure(notification("n"), Error("lost")) == []
    torn = orjson.loads(stdio.torn_down(message(id="x")))
    assert (torn["method"], torn["params"]["requestId"]) == ("notifications/cancelled", "x")


def test_a_cancellation_names_its_request_as_that_named_itself() -> None:
    assert notification(stdio.CANCELLED, {"requestId": "é"}).cancels == message(id="é").ids[0]
    assert notification(stdio.CANCELLED, {"requestId": 1}).cancels == message(id=1).ids[0]
    assert notification(stdio.CANCELLED, {"requestId": 1}).cancels != message(id="1").ids[0]
    assert notification(stdio.CANCELLED).cancels is None
    assert notification("notifications/progress", {"requestId": 1}).cancels is None


def test_what_an_event_of_a_stream_is() -> None:
    assert stdio.is_answer(b'{"id":1,"result":{}}')
    assert stdio.is_answer(b'{"id":1,"error":{}}')
    assert not stdio.is_answer(b'{"id":1,"method":"elicitation/create"}')
    assert not stdio.is_answer(b"")
    assert stdio.is_acknowledgement(b'{"method":"notifications/subscriptions/acknowledged"}')
    assert not stdio.is_acknowledgement(b'{"method":"notifications/message"}')


def test_events_are_read_however_they_come() -> None:
    stream = (
        sse.encode_event(b"", "5") + sse.KEEP_ALIVE + sse.encode_event(b'{"a":1}', "6") + sse.encode_retry(500)
        + b"data: x\r\ndata:y\r\nevent: message\r\nid: \0\r\nretry: soon\r\n\r\ndata: cut off"
    )  # fmt: skip
    stream = sse.encode_place(4) + b"\n: at x\n" + stream
    expected = [
        Event(b"", None, None, "4"),
        Event(b"", "5"),
        Event(b'{"a":1}', "6"),
        Event(b"", None, 500),
        Event(b"x\ny", name="message"),
    ]
    for size in (1, 7, len(stream)):
        reader, found = EventReader(), []
        for start in range(0, len(stream), size):
            found += reader.receive_data(stream[start : start + size])
        assert found == expected
