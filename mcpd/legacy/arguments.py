"""Arguments of tools as the old system's versions named them → as the tools of today do. Pure.

Only names and words are changed; whether the outcome fits is the tool's own check. What a tool of today has no argument
for goes into its ``details`` or ``metadata``, so that nothing a client said is lost. Names that nobody ever used stay
as they are and are refused as unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mcpd.legacy import names

Arguments = dict[str, Any]

CATEGORIES: dict[str, str] = {
    "planning": "task",
    "implementation": "task",
    "testing": "task",
    "completion": "task",
    "action": "task",
    "configuration": "task",
    "system": "task",
    "general": "task",
    "info": "communication",
    "question": "communication",
    "warning": "error",
    "debug": "communication",
}
"""Categories of activities that are no longer one; the word itself is kept in the details."""

ACTIVITY_STATUS = {"active": "in_progress", "pending": "started", "done": "completed"}
AGENT_STATUS: dict[str, str] = {
    "working": "busy",
    "processing": "busy",
    "blocked": "busy",
    "waiting": "idle",
    "ready": "idle",
    "available": "idle",
    "completed": "idle",
    "configured": "active",
    "error": "active",
    "stopped": "offline",
    "done": "offline",
}
"""Words for what an agent does that are no longer one; as the bridges of the old system took them."""

EVERYBODY = "*"
"""In the place of an agent to ask for help: all that are known."""

MAX_TARGETS = 32
_SUPERVISOR = "supervisor"


def modern(tool: str, arguments: object) -> object:
    """Return *arguments* of *tool* by the names of today; what is no object, and what needs no change, as it is."""
    change = _CHANGES.get(tool)
    return change(dict(arguments)) if change is not None and isinstance(arguments, dict) else arguments


def targets(arguments: object) -> list[str] | None:
    """Return the agents that a request for help names where it names several, ``EVERYBODY`` among them; else None."""
    if not isinstance(arguments, dict) or "to_agent" in arguments:
        return None
    named = arguments.get("target_agents")
    if named is None:
        return [EVERYBODY] if "requesting_agent" in arguments or "target_agents" in arguments else None
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        return None
    return [names.agent(name) for name in named] or [EVERYBODY]


def _log_activity(given: Arguments) -> Arguments:
    _rename(given, {"action": "activity", "type": "category", "metadata": "details"})
    _agent(given, "agent", "agent_name", "agent_id")
    _word(given, "category", CATEGORIES, "details")
    if given.get("category") is None:
        given["category"] = "task"
    _word(given, "status", ACTIVITY_STATUS, "details")
    return given


def _check_conflicts(given: Arguments) -> Arguments:
    single = _taken(given, "agent", "agent_name", "agent_id")
    given.pop("planned_action", None)  # words; what is claimed are components and paths
    _rename(given, {"component_name": "component"})
    if single is not None and "agents" not in given:
        given["agents"] = [single, _SUPERVISOR if single != _SUPERVISOR else "master"]
    if isinstance(given.get("agents"), list):
        given["agents"] = [names.agent(name) if isinstance(name, str) else name for name in given["agents"]]
    return given


def _register_component(given: Arguments) -> Arguments:
    _rename(given, {"component": "name", "component_name": "name", "component_type": "type"})
    _agent(given, "owner", "agent", "agent_name", "agent_id")
    _gather(given, "metadata", ("type", "description", "dependencies", "interfaces", "details"))
    return given


def _update_status(given: Arguments) -> Arguments:
    _rename(given, {"task": "current_task"})
    _agent(given, "agent", "agent_name", "agent_id")
    status = given.get("status")
    if isinstance(status, str):
        given["status"] = AGENT_STATUS.get(status.lower(), status.lower())
    if given.get("current_task") in ("", None):
        given.pop("current_task", None)
    return given


def _heartbeat(given: Arguments) -> Arguments:
    _agent(given, "agent", "agent_name", "agent_id")
    return given


def _request_collaboration(given: Arguments) -> Arguments:
    _agent(given, "from_agent", "requesting_agent", "agent", "agent_name")
    named = given.pop("target_agents", None)
    if isinstance(named, list) and len(named) == 1:
        given.setdefault("to_agent", named[0])
    _agent(given, "to_agent")
    given.pop("metadata", None)
    priority = given.get("priority")
    if isinstance(priority, int) and not isinstance(priority, bool):
        given["priority"] = (
            "low" if priority < 4 else "medium" if priority < 7 else "high" if priority < 9 else "critical"
        )
    return given


def _propose_decision(given: Arguments) -> Arguments:
    _rename(given, {"decision": "question"})
    _agent(given, "proposed_by", "agent", "agent_name", "agent_id", "proposer")
    _gather(given, "metadata", ("options", "alternatives", "requires_consensus", "confidence"))
    given.setdefault("category", "general")
    return given


def _find_component_owner(given: Arguments) -> Arguments:
    _rename(given, {"component_name": "component", "component_type": "type"})
    return given


_CHANGES: Mapping[str, Callable[[Arguments], Arguments]] = {
    "log_activity": _log_activity,
    "check_conflicts": _check_conflicts,
    "register_component": _register_component,
    "update_status": _update_status,
    "heartbeat": _heartbeat,
    "request_collaboration": _request_collaboration,
    "propose_decision": _propose_decision,
    "find_component_owner": _find_component_owner,
}


def _rename(given: Arguments, new_names: Mapping[str, str]) -> None:
    """Give each value its name of today, unless there is one of that name."""
    for old, new in new_names.items():
        if old in given and new not in given:
            given[new] = given.pop(old)


def _taken(given: Arguments, *old_names: str) -> object:
    """Take the values of *old_names* out; return the first that is there."""
    found = [given.pop(old) for old in old_names if old in given]
    return found[0] if found else None


def _agent(given: Arguments, name: str, *old_names: str) -> None:
    """Have *name* say the agent, whichever name it came by and however the agent was called."""
    if name not in given and any(old in given for old in old_names):
        given[name] = _taken(given, *old_names)
    if isinstance(given.get(name), str):
        given[name] = names.agent(given[name])


def _word(given: Arguments, name: str, today: Mapping[str, str], rest: str) -> None:
    """Put the word of today in the place of an old one, which is kept in the object *rest*."""
    word = given.get(name)
    if isinstance(word, str) and word.lower() in today:
        given[name] = today[word.lower()]
        if not isinstance(given.get(rest, {}), dict):
            return
        given[rest] = {f"original_{name}": word, **given.get(rest, {})}


def _gather(given: Arguments, rest: str, old_names: tuple[str, ...]) -> None:
    """Move what has no argument of its own any more into the object *rest*."""
    moved = {name: given.pop(name) for name in old_names if name in given}
    if moved and isinstance(given.get(rest, {}), dict):
        given[rest] = {**moved, **given.get(rest, {})}
