"""What a name means, and that one event is told once."""

from __future__ import annotations

import pytest

from mcpd.errors import InvalidParams
from mcpd.ws import topics
from mcpd.ws.topics import PLAIN, UNASKED, Subscription


def heard(names: set[str], topic: str, agent: str | None = None, agents: set[str] | None = None) -> str | None:
    form = Subscription(frozenset(names), frozenset(agents or ())).form_of(topic, agent)
    return None if form is None else f"{form.type}{' ' + form.topic if form.topic else ''}"


@pytest.mark.parametrize(
    ("names", "topic", "told"),
    [
        ({"agent.state"}, "agent.state", "event"),
        ({"agent"}, "agent.state", "event"),
        ({"*.changed"}, "tools.changed", "event"),
        ({"*"}, "anything.at.all", "event"),
        ({"agent.new"}, "agent.state", None),
        ({"age"}, "agent.state", None),
        (set(), "agent.state", None),
        ({"agents"}, "agent.state", "broadcast agents"),
        ({"agents", "*"}, "agent.state", "broadcast agents"),
        ({"event:tool_call"}, "tool.called", "broadcast event:tool_call"),
        ({"event:resource_access"}, "resource.read", "broadcast event:resource_access"),
        ({"event:all"}, "agent.new", "broadcast event:all"),
        ({"event:agent"}, "agent.new", "broadcast event:agent"),
        ({"event:activity_logged"}, "activity.logged", "broadcast event:activity_logged"),
        ({"metrics"}, "agent.new", None),
        (set(UNASKED), "activity.logged", "activity"),
        (set(UNASKED), "agent.state", "state_change"),
        (set(UNASKED), "collaboration.requested", "notification"),
        (set(UNASKED), "message.sent", "notification"),
        (set(UNASKED), "tools.changed", None),
    ],
)
def test_how_an_event_is_told(names: set[str], topic: str, told: str | None) -> None:
    assert heard(names, topic) == told


def test_a_filter_by_agent_leaves_out_what_is_about_nobody() -> None:
    assert heard({"*"}, "agent.new", "a", {"a", "b"}) == "event"
    assert heard({"*"}, "agent.new", "c", {"a", "b"}) is None
    assert heard({"*"}, "tools.changed", None, {"a"}) is None


def test_what_clients_broadcast_is_heard_by_its_name_or_a_pattern() -> None:
    assert Subscription(frozenset({"chat"})).hears("chat")
    assert Subscription(frozenset({"chat.*"})).hears("chat.room")
    assert Subscription(frozenset({"x:y"})).hears("x:y")
    assert not Subscription(frozenset({"x:y"})).hears("x:z")


def test_no_client_speaks_as_mcpd() -> None:
    assert topics.is_reserved("event:tool_call")
    assert not topics.is_reserved("agents")


@pytest.mark.parametrize("value", [None, "a", [1], ["a b"], [""], ["x" * 129], ["a*b"], ["ä"]])
def test_what_is_no_list_of_names(value: object) -> None:
    with pytest.raises(InvalidParams):
        topics.checked(value, "topics")


def test_every_name_of_the_old_system_is_a_pattern_or_has_a_form() -> None:
    for name in topics._OLD:
        patterns, form = topics.meaning(name)
        assert form is not PLAIN
        assert all(topics.matches(pattern, pattern.replace("*", "x")) for pattern in patterns)
