"""Old names of arguments: whatever comes, nothing breaks, nothing is lost, and today's names stay as they are."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.legacy import arguments
from mcpd.tools.registry import TOOLS

NAMES = (
    "agent", "agent_id", "agent_name", "action", "activity", "alternatives", "category", "component",
    "component_name", "component_type", "current_task", "decision", "dependencies", "details", "metadata", "name",
    "options", "owner", "planned_action", "priority", "question", "requesting_agent", "status", "target_agents",
    "task", "to_agent", "type",
)  # fmt: skip
LEAF = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["planning", "working", "Testing Agent"])
)
VALUE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
TODAY: dict[str, dict[str, Any]] = {
    "log_activity": {"agent": "a", "activity": "x", "category": "task", "status": "started", "details": {"k": 1}},
    "check_conflicts": {"agents": ["a", "b"], "component": "c"},
    "register_component": {"name": "n", "owner": "a", "status": "active", "metadata": {"k": 1}, "paths": ["x"]},
    "update_status": {"agent": "a", "status": "busy", "current_task": "t"},
    "heartbeat": {"agent": "a", "dry_run": True},
    "request_collaboration": {"from_agent": "a", "to_agent": "b", "task": "t", "priority": "low"},
    "propose_decision": {"category": "c", "question": "q", "proposed_by": "a", "metadata": {}},
    "find_component_owner": {"component": "c", "type": "t"},
}


@pytest.mark.parametrize("tool", TODAY)
def test_arguments_of_today_stay_as_they_are(tool: str) -> None:
    assert arguments.modern(tool, TODAY[tool]) == TODAY[tool]


def test_every_tool_of_the_old_system_is_known() -> None:
    assert list(TODAY) == list(TOOLS)[:8]


@given(st.sampled_from(sorted(TODAY)), st.dictionaries(st.sampled_from(NAMES), VALUE, max_size=8))
def test_any_arguments_are_read_and_left_as_they_are(tool: str, asked: dict[str, Any]) -> None:
    before = copy.deepcopy(asked)
    once = arguments.modern(tool, asked)
    assert asked == before
    assert isinstance(once, dict)
    arguments.targets(asked)
    arguments.modern(tool, once)


@given(VALUE)
def test_what_is_no_object_stays_what_it_is(value: Any) -> None:
    if not isinstance(value, dict):
        assert arguments.modern("log_activity", value) is value


@pytest.mark.parametrize("category", arguments.CATEGORIES)
def test_an_old_category_is_kept_in_the_details(category: str) -> None:
    changed = arguments.modern("log_activity", {"agent": "a", "activity": "x", "category": category.upper()})
    assert isinstance(changed, dict)
    assert changed["category"] in ("task", "communication", "decision", "error")
    assert changed["details"] == {"original_category": category.upper()}
