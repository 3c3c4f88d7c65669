"""What hooks tell, and what comes of it: any payload is read, any phrase becomes a call that the tool can judge."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.errors import InvalidParams, InvalidRequest
from mcpd.hooks import events, requests
from mcpd.legacy import arguments, phrases
from mcpd.tools.base import Tool
from mcpd.tools.registry import TOOLS
from tests.unit.legacy.test_phrases import ASKED

FIELDS = (
    "session_id", "cwd", "tool_name", "tool_input", "tool_response", "prompt", "message", "content", "tool",
    "notification_type", "type", "last_assistant_message", "reason", "agent_type",
)  # fmt: skip
LEAF = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.sampled_from([text for text, _, _ in ASKED])
)
VALUE = st.recursive(
    LEAF,
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["name", "input", "output", "description", "is_error", "error"]), inner)
    ),
    max_leaves=5,
)
PAYLOAD = st.dictionaries(st.sampled_from(FIELDS), VALUE, max_size=6)


@given(st.sampled_from(events.EVENTS), PAYLOAD)
def test_any_payload_is_read(event: str, payload: dict[str, Any]) -> None:
    hook = events.read(event, payload)
    assert hook.state in (None, "idle", "working", "waiting_for_permission", "waiting_for_input", "ended")
    assert "\n" not in hook.task
    requests.activity(hook, "a")
    requests.warning(hook)
    assert requests.who(hook, "")
    for text in hook.spoken:
        check(phrases.find(text))


@pytest.mark.parametrize("value", [None, 7, [], "x", True, 1.5])
def test_a_payload_that_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(InvalidRequest, match="expected a JSON object"):
        events.read("Stop", value)


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("PreToolUse", "PreToolUse"),
        ("pre_tool_use", "PreToolUse"),
        ("pre-tool-use", "PreToolUse"),
        ("SUBAGENTSTOP", "SubagentStop"),
        ("init", "SessionStart"),
        ("validate-tool", "PreToolUse"),
        ("process-result", "PostToolUse"),
        ("suggest-prompts", "UserPromptSubmit"),
    ],
)
def test_an_event_is_known_by_each_of_its_names(text: str, event: str) -> None:
    assert events.event_name(text) == event


@given(st.text(max_size=30))
def test_an_unknown_event_is_refused_with_those_that_are_known(text: str) -> None:
    try:
        assert events.event_name(text)
    except InvalidRequest as error:
        assert "expected one of SessionStart" in error.message


def check(phrase: phrases.Phrase | None) -> None:
    """A phrase makes arguments that its tool takes, or refuses in words."""
    if phrase is None:
        return
    asked = requests.of_phrase(phrase, "a")
    tool = TOOLS[phrase.tool]
    assert isinstance(tool, Tool)
    try:
        tool.convert(arguments.modern(phrase.tool, asked))
    except InvalidParams as error:
        assert "unknown argument" not in error.message
        assert "missing" not in error.message


@pytest.mark.parametrize("text", [text for text, _, _ in ASKED])
def test_a_phrase_makes_arguments_that_its_tool_takes(text: str) -> None:
    found = phrases.find(text)
    assert found is not None
    tool = TOOLS[found.tool]
    assert isinstance(tool, Tool)
    tool.convert(arguments.modern(found.tool, requests.of_phrase(found, "a")))


@given(st.sampled_from([text for text, _, _ in ASKED]), st.text(alphabet=" '\"`*:.?!/ab", max_size=12))
def test_a_phrase_with_anything_behind_it_makes_arguments(text: str, more: str) -> None:
    head, _, _ = text.rpartition(" ")
    check(phrases.find(f"{head} {more}"))
    check(phrases.find(text + more))


@pytest.mark.parametrize(
    ("tool", "foreign"),
    [
        ("mcp__github__close", True),
        ("mcp__mcpd__heartbeat", False),
        ("mcp__plugin_mcpd_mcpd__heartbeat", False),
        ("mcp__mcpdx__x", True),
        ("Bash", False),
        ("", False),
    ],
)
def test_tools_of_other_servers_are_told_from_ours(tool: str, foreign: bool) -> None:
    assert requests.is_foreign(tool) is foreign


def test_prompts_are_suggested_by_words_and_not_by_parts_of_words() -> None:
    offered = [("deploy_system", "D"), ("run_tests", "T"), ("debug_agent", "G")]
    assert requests.suggested("Deploy it, then TEST", offered) == offered[:2]
    assert requests.suggested("debug the agent", offered) == offered[2:]
    assert requests.suggested("the latest redeployments", offered) == []


@pytest.mark.parametrize(
    ("tool", "warned"),
    [
        ("mcp__github__deleteRepo", True),
        ("mcp__db__dropDBUser", True),
        ("mcp__db__DBReset", True),
        ("mcp__db__drop_table", True),
        ("mcp__ui__getPreset", False),
        ("mcp__ui__openDropdown", False),
        ("deleteRepo", False),
    ],
)
def test_a_name_that_says_it_destroys_is_warned_of(tool: str, warned: bool) -> None:
    assert (requests.warning(events.read("PreToolUse", {"tool_name": tool})) is not None) is warned


@given(st.binary(max_size=40) | st.text('\\uUdD8cCef0 "', max_size=40).map(str.encode))
def test_mending_changes_nothing_that_could_be_read(text: bytes) -> None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        events.mended(text)
    else:
        assert orjson.loads(events.mended(text)) == value
