"""Questions to a client: who can be asked, and what is an answer."""

from __future__ import annotations

from typing import Any

import pytest

from mcpd.errors import InvalidParams, MissingClientCapability
from mcpd.protocol import asks, states
from mcpd.protocol.asks import InvalidAnswer
from mcpd.protocol.revisions import HANDSHAKE, MODERN
from mcpd.protocol.states import StateSigner

CHOICE = asks.form(
    "?", {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}, "c": {"enum": ["a", "b"]}}}
)


@pytest.mark.parametrize(
    ("capabilities", "needs", "can"),
    [
        ({"elicitation": {}}, {"elicitation": {"form": {}}}, True),
        ({"elicitation": {"form": {}}}, {"elicitation": {"form": {}}}, True),
        ({"elicitation": {"url": {}}}, {"elicitation": {"form": {}}}, False),
        ({"elicitation": {}}, {"elicitation": {"url": {}}}, False),
        ({"sampling": {}}, {"sampling": {}}, True),
        ({"sampling": {}}, {"sampling": {"tools": {}}}, False),
        ({"roots": None}, {"roots": {}}, False),
        ({}, {"roots": {}}, False),
    ],
)
def test_a_client_can_what_it_declared(capabilities: Any, needs: Any, can: bool) -> None:
    assert asks.declares(capabilities, needs) is can
    if not can:
        with pytest.raises(MissingClientCapability) as caught:
            asks.require(capabilities, needs)
        assert caught.value.data == {"requiredCapabilities": needs}


@pytest.mark.parametrize(
    ("result", "fault"),
    [
        ({"action": "accept", "content": {"n": 0}}, "n: 0 is less than the minimum of 1"),
        ({"action": "accept", "content": {"c": "d"}}, "c: 'd' is not one of ['a', 'b']"),
        ({"action": "accept", "content": 5}, "Expected `object"),
        ({"action": "maybe"}, "Invalid enum value 'maybe'"),
        ([], "Expected `object`, got `array`"),
    ],
)
def test_what_is_no_answer_is_named(result: Any, fault: str) -> None:
    with pytest.raises(InvalidAnswer) as caught:
        asks.read(CHOICE, result)
    assert fault in caught.value.message


def test_a_form_is_only_read_when_it_was_accepted() -> None:
    assert asks.read(CHOICE, {"action": "decline", "content": {"n": 0}}) == asks.Elicited("decline")
    assert asks.read(CHOICE, {"action": "accept", "content": {"n": 2}}) == asks.Elicited("accept", {"n": 2})
    assert asks.read(asks.url("?", "https://example.org"), {"action": "accept"}) == asks.Elicited("accept")


def test_only_one_revision_wants_an_id_for_a_url() -> None:
    question = asks.url("?", "https://example.org")
    assert question.shown(HANDSHAKE, "7")["params"]["elicitationId"] == "7"
    assert "elicitationId" not in question.shown(MODERN, "7")["params"]
    assert asks.sampling([], 1, tools=[]).needs == {"sampling": {"tools": {}}}
    sampled = {
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
    }
    answer = asks.read(asks.sampling([], 1), sampled)
    assert isinstance(answer, asks.Sampled)
    assert answer.text == "ab"


def test_a_state_does_not_care_for_the_order_of_members_but_for_all_of_them() -> None:
    signer = StateSigner(b"k" * 32)
    digest = states.digest("tools/call", {"name": "x", "arguments": {"a": 1, "b": 2}, "_meta": {"m": 1}})
    again = {"arguments": {"b": 2, "a": 1}, "name": "x", "requestState": "s", "inputResponses": {}}
    assert digest == states.digest("tools/call", again)
    assert digest != states.digest("prompts/get", again)
    text = signer.issue("ann", digest, {"k": {"result": 1}}, 5)
    assert signer.read(text, "ann", digest, 6) == {"k": {"result": 1}}
    with pytest.raises(InvalidParams, match="unchanged"):
        StateSigner(b"x" * 32).read(text, "ann", digest, 6)
    with pytest.raises(InvalidParams, match="unchanged"):
        signer.read("x" * (states.MAX_BYTES + 1), "ann", digest, 6)
