from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.errors import InvalidParams
from mcpd.protocol.topics import MAX_PATTERNS, Topics

WORD = st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True)
TOPIC = st.lists(WORD, min_size=1, max_size=4).map(".".join)


@pytest.mark.parametrize(
    ("patterns", "topic", "wanted"),
    [
        ([], "agent.new", True),
        (["*"], "agent.new", True),
        (["agent.new"], "agent.new", True),
        (["agent.new"], "agent.news", False),
        (["agent.new"], "agent.new.again", True),
        (["agent"], "agent.new", True),
        (["agent"], "agents.changed", False),
        (["agent.*"], "agent.new", True),
        (["agent.*"], "agent", False),
        (["agent.*"], "activity.logged", False),
        (["*.changed"], "tools.changed", True),
        (["*.changed"], "changed", False),
        (["*.changed"], "tools.unchanged", False),
        (["*.changed"], "a.b.changed", False),
        (["claim,task"], "task.status", True),
        (["claim , task"], "task.status", True),
        (["claim", "task"], "claim.taken", True),
        (["claim", "task"], "agent.new", False),
        (["task", "*"], "agent.new", True),
        (["agent.new"], "agentXnew", False),
    ],
)
def test_what_a_pattern_matches(patterns: list[str], topic: str, wanted: bool) -> None:
    assert Topics.parse(patterns).matches(topic) is wanted


@pytest.mark.parametrize(
    "pattern", ["", "agent.", ".agent", "a..b", "agent.st*", "**", "agent.**", "a b", "agent,", "ä", "a.b\n", "x" * 129]
)
def test_what_is_no_pattern_is_named(pattern: str) -> None:
    with pytest.raises(InvalidParams, match="is no pattern of topics; expected words with dots") as refused:
        Topics.parse([pattern])
    assert len(refused.value.message) < 300


def test_patterns_are_limited_in_number_and_said_once() -> None:
    many = [f"t{number}" for number in range(MAX_PATTERNS)]
    assert Topics.parse(many * 2).patterns == tuple(many)
    with pytest.raises(InvalidParams, match="at most 64 patterns"):
        Topics.parse([*many, "one.more"])


@given(TOPIC, TOPIC)
def test_a_topic_is_a_pattern_of_itself_and_of_all_below_it(topic: str, more: str) -> None:
    wanted = Topics.parse([topic])
    assert wanted.matches(topic)
    assert wanted.matches(f"{topic}.{more}")
    assert wanted.matches(more) is (more == topic or more.startswith(f"{topic}."))


@given(st.lists(TOPIC, min_size=1, max_size=4), TOPIC)
def test_several_patterns_match_what_one_of_them_does(patterns: list[str], topic: str) -> None:
    alone = any(Topics.parse([pattern]).matches(topic) for pattern in patterns)
    assert Topics.parse(patterns).matches(topic) is Topics.parse([",".join(patterns)]).matches(topic) is alone
