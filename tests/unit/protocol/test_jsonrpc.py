from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.errors import InvalidParams, InvalidRequest, ParseError
from mcpd.protocol import jsonrpc

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_a_request_and_a_notification_are_told_apart_by_the_id() -> None:
    request = jsonrpc.receive({"jsonrpc": "2.0", "id": "a", "method": "ping"})
    assert (request.method, request.params, request.id, request.is_notification) == ("ping", {}, "a", False)
    assert jsonrpc.receive({"jsonrpc": "2.0", "method": "ping"}).is_notification


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "an array"),
        (7, "no object"),
        ({"method": "x"}, '"jsonrpc": expected "2.0", got null'),
        ({"jsonrpc": 2.0, "method": "x"}, "got 2.0"),
        ({"jsonrpc": "2.0"}, '"method": expected a non-empty string, got null'),
        ({"jsonrpc": "2.0", "method": ""}, '"method"'),
        ({"jsonrpc": "2.0", "id": 1, "error": {}}, "got a response"),
        ({"jsonrpc": "2.0", "method": "x", "params": "y" * 100}, "..."),
        ({"jsonrpc": "2.0", "method": "x", "id": None}, '"id": expected a string or a whole number, got null'),
        ({"jsonrpc": "2.0", "method": "x", "id": False}, "got false"),
    ],
)
def test_the_member_at_fault_is_named(value: object, words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        jsonrpc.receive(value)
    assert words in refused.value.message


@given(JSON)
def test_any_json_is_a_request_or_refused(value: Any) -> None:
    try:
        jsonrpc.receive(value)
    except InvalidRequest as error:
        assert error.message


@given(st.binary(max_size=60))
def test_any_bytes_are_json_or_refused(body: bytes) -> None:
    try:
        jsonrpc.decode(body)
    except ParseError as error:
        assert error.message.startswith("the body is not JSON")


def test_answers_carry_the_id_or_leave_it_out() -> None:
    assert jsonrpc.encode_result(7, {"a": 1}) == b'{"jsonrpc":"2.0","id":7,"result":{"a":1}}'
    error = InvalidParams("no", {"why": "x"})
    body = {"code": -32602, "message": "no", "data": {"why": "x"}}
    assert orjson.loads(jsonrpc.encode_error(None, error)) == {"jsonrpc": "2.0", "error": body}
    assert orjson.loads(jsonrpc.encode_error(None, error, null_id=True)) == {
        "jsonrpc": "2.0",
        "id": None,
        "error": body,
    }
    assert orjson.loads(jsonrpc.encode_error("x", InvalidParams("no")))["error"] == {"code": -32602, "message": "no"}


def test_the_id_of_a_malformed_message_is_kept_if_it_is_one() -> None:
    assert jsonrpc.readable_id({"id": 3}) == 3
    assert jsonrpc.readable_id({"id": 3.5}) is None
    assert jsonrpc.readable_id([3]) is None


def test_a_batch_has_at_least_one_message_and_not_too_many() -> None:
    assert jsonrpc.split_batch([1, {}]) == [1, {}]
    wrongs: list[object] = [[], {}, [1] * (jsonrpc.MAX_BATCH + 1)]
    for wrong in wrongs:
        with pytest.raises(InvalidRequest):
            jsonrpc.split_batch(wrong)
    assert jsonrpc.join_batch([b"1", b"2"]) == b"[1,2]"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ({"code": 1, "message": "no"}, "no"),
        (None, "an error without a message, null"),
        ("boom", 'an error without a message, "boom"'),
        ({"message": 5}, 'an error without a message, {"message":5}'),
    ],
)
def test_an_answer_with_an_error_says_it_in_words(error: object, words: str) -> None:
    answer = jsonrpc.response({"jsonrpc": "2.0", "id": "x", "error": error})
    assert answer is not None
    assert answer.error == words
