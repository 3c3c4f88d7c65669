"""The HTTP reader without a socket: whole, byte by byte, and cut at every place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.errors import Error
from mcpd.protocol import http, sse
from mcpd.protocol.chunked import ChunkedDecoder
from mcpd.protocol.head import HeadMemory
from mcpd.protocol.http import HttpRequest, HttpResponse, Limits, Phase, RequestReader

LIMITS = Limits(max_header_bytes=2048, max_body_bytes=64)
POST = b"POST /mcp?x=1 HTTP/1.1\r\nHost: localhost\r\nX-Two: a\r\nX-Two: b\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhe\r\n3 ;x=y\r\nllo\r\n0\r\nT: v\r\n\r\n"
)


def read(*pieces: bytes, limits: Limits = LIMITS) -> list[HttpRequest]:
    reader, found = RequestReader(limits, HeadMemory()), []
    for piece in pieces:
        reader.receive_data(piece)
        while (request := reader.next_request()) is not None:
            found.append(request)
    return found


@pytest.mark.parametrize("message", [POST, CHUNKED])
def test_a_request_cut_at_every_place_is_the_same_request(message: bytes) -> None:
    whole = read(message)
    assert [request.body for request in whole] == [b"hello"]
    for cut in range(len(message)):
        assert read(message[:cut], message[cut:]) == whole
    assert read(*(bytes([byte]) for byte in message)) == whole


def test_the_parts_of_a_request() -> None:
    (request,) = read(POST)
    assert (request.method, request.path, request.query, request.keep_alive) == ("POST", "/mcp", "x=1", True)
    assert request.headers[b"x-two"] == b"a, b"
    assert request.duplicated == {b"x-two"}
    assert request.header(b"host") == "localhost"
    assert request.header(b"absent") is None


def test_pipelined_requests_come_out_one_by_one() -> None:
    assert [request.body for request in read(POST + CHUNKED + POST)] == [b"hello"] * 3


@given(st.lists(st.sampled_from([POST, CHUNKED]), max_size=4), st.lists(st.integers(1, 80), max_size=40))
def test_any_cut_of_any_pipeline_is_the_same_pipeline(messages: list[bytes], cuts: list[int]) -> None:
    data, pieces = b"".join(messages), []
    for cut in cuts:
        pieces.append(data[:cut])
        data = data[cut:]
    assert read(*pieces, data) == read(b"".join(messages))


@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_requests_or_an_error_with_a_status(data: bytes) -> None:
    try:
        read(data, b"\r\n\r\n")
    except Error as error:
        assert 400 <= error.http_status < 506


@given(st.binary(max_size=120))
def test_arbitrary_header_bytes_never_break_the_reader(data: bytes) -> None:
    try:
        read(b"GET / HTTP/1.1\r\nHost: h\r\n" + data + b"\r\n\r\n")
    except Error as error:
        assert 400 <= error.http_status < 506


def test_the_phase_says_what_the_peer_owes() -> None:
    reader = RequestReader(LIMITS, HeadMemory())
    assert reader.phase is Phase.IDLE
    for piece, phase in ((POST[:20], Phase.HEAD), (POST[20:-2], Phase.BODY), (POST[-2:], Phase.IDLE)):
        reader.receive_data(piece)
        reader.next_request()
        assert reader.phase is phase
    assert reader.buffered_bytes == 0


def test_100_continue_is_wanted_once_and_only_before_the_body() -> None:
    head, body = POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n").split(b"hello")[0], b"hello"
    reader = RequestReader(LIMITS, HeadMemory())
    reader.receive_data(head)
    assert reader.next_request() is None
    assert (reader.wants_continue(), reader.wants_continue()) == (True, False)
    reader.receive_data(head[:0] + body)
    assert reader.next_request() is not None
    eager = RequestReader(LIMITS, HeadMemory())
    eager.receive_data(head + body[:2])
    assert eager.next_request() is None
    assert eager.wants_continue() is False


@pytest.mark.parametrize(
    ("head", "keep_alive"),
    [
        (b"HTTP/1.1\r\nHost: h", True),
        (b"HTTP/1.1\r\nHost: h\r\nConnection: Close", False),
        (b"HTTP/1.1\r\nHost: h\r\nConnection: foo, close", False),
        (b"HTTP/1.0", False),
        (b"HTTP/1.0\r\nConnection: Keep-Alive", True),
    ],
)
def test_whether_the_connection_stays(head: bytes, keep_alive: bool) -> None:
    (request,) = read(b"GET / " + head + b"\r\n\r\n")
    assert request.keep_alive is keep_alive


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/a?b=c?d", "/a", "b=c?d"),
        (b"http://localhost:8099/a?b", "/a", "b"),
        (b"HTTP://localhost", "/", ""),
        (b"/%2e%2e/", "/%2e%2e/", ""),
    ],
)
def test_the_target_in_origin_and_absolute_form(target: bytes, path: str, query: str) -> None:
    (request,) = read(b"GET %b HTTP/1.1\r\nHost: h\r\n\r\n" % target)
    assert (request.path, request.query) == (path, query)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET ftp://x/ HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 65\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1,1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: " + b"1" * 19 + b"\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\n: novalue\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/0.9\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nHost: h\r\nExpect: x\r\n\r\n", 417),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"x" * 2048, 431),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"".join(b"a%d:\r\n" % n for n in range(101)) + b"\r\n", 431),
        (b"GET / HTTP/1.1\rHost: h\r\n\r\n", 400),
    ],
)
def test_what_is_refused_and_how(data: bytes, status: int) -> None:
    with pytest.raises(Error) as refused:
        read(data)
    assert refused.value.http_status == status


def test_empty_lines_before_a_request_are_ignored() -> None:
    assert [request.body for request in read(b"\r\n\r\n" + POST)] == [b"hello"]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\r\n", 400),
        (b"-1\r\n", 400),
        (b"0x5\r\n", 400),
        (b"1" * 16 + b"\r\n", 400),
        (b"5\nhello\r\n", 400),
        (b"5" + b" " * 5000, 400),
        (b"2\r\nhel\r\n", 400),
        (b"41\r\n", 413),
        (b"20\r\n" + b"a" * 32 + b"\r\n21\r\n", 413),
        (b"0\r\n" + b"T: " + b"v" * 3000 + b"\r\nT: " + b"v" * 3000 + b"\r\n", 431),
    ],
)
def test_bad_chunks_are_refused(data: bytes, status: int) -> None:
    decoder = ChunkedDecoder(max_body_bytes=64)
    with pytest.raises(Error) as refused:
        decoder.receive_data(data)
    assert refused.value.http_status == status


def test_an_answer_in_bytes() -> None:
    response = HttpResponse(200, b"{}", b"X-A: b\r\n")
    assert http.encode(response, b"now", keep_alive=True) == (
        b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Type: application/json\r\nContent-Length: 2\r\nX-A: b\r\n\r\n{}"
    )
    empty = http.encode(HttpResponse(202), b"now", keep_alive=False)
    assert empty == b"HTTP/1.1 202 Accepted\r\nDate: now\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def test_a_head_seen_before_is_known_unless_it_carries_credentials() -> None:
    heads = HeadMemory()
    plain, secret = (
        b"GET /%b HTTP/1.1\r\nHost: h\r\n%b\r\n" % pair for pair in ((b"a", b""), (b"b", b"Cookie: x\r\n"))
    )
    assert heads.read(plain) is heads.read(plain)
    assert heads.read(secret) is not heads.read(secret)
    long = b"GET / HTTP/1.1\r\nHost: h\r\nX: %b\r\n\r\n" % (b"x" * 3000)
    assert heads.read(long) is not heads.read(long)
    for number in range(600):
        heads.read(b"GET /%d HTTP/1.1\r\nHost: h\r\n\r\n" % number)
    assert len(heads._known) <= 512


def test_a_stream_in_bytes() -> None:
    class Silent:
        def opened(self, sink: http.Sink) -> None: ...
        def drained(self) -> None: ...
        def closed(self) -> None: ...

    stream = http.HttpStream(Silent(), b"X-A: b\r\n")
    head = http.encode_stream_head(stream, b"now", chunked=True, keep_alive=True)
    assert head.startswith(b"HTTP/1.1 200 OK\r\nDate: now\r\nContent-Type: text/event-stream\r\n")
    assert head.endswith(b"Transfer-Encoding: chunked\r\nX-A: b\r\n\r\n")
    old = http.encode_stream_head(stream, b"now", chunked=False, keep_alive=False)
    assert b"chunked" not in old
    assert b"Connection: close" in old
    assert (http.encode_chunk(b"x" * 17), http.encode_chunk(b"")) == (b"11\r\n" + b"x" * 17 + b"\r\n", b"0\r\n\r\n")


def test_an_event_in_bytes() -> None:
    assert sse.encode_event(b"{}") == b"data: {}\n\n"
    assert sse.encode_event(b"", "7") == b"id: 7\ndata: \n\n"
    assert sse.encode_retry(500) == b"retry: 500\n\n"
