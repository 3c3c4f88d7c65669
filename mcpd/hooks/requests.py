"""A phrase or an event → the tool calls it stands for, and a call's result → the words for the agent. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mcpd.hooks.events import Hook
from mcpd.legacy import arguments, names, phrases
from mcpd.legacy.phrases import Phrase

Arguments = dict[str, Any]

_CATEGORIES = (
    ("planning", ("plan", "design", "think", "consider")),
    ("implementation", ("create", "build", "implement", "code")),
    ("testing", ("test", "verify", "check", "validate")),
    ("completion", ("complete", "finish", "done")),
    ("error", ("error", "fail", "issue", "problem")),
)
_LOOKS_LIKE_A_PATH = re.compile(r"\S*(?:/\S*|\.[A-Za-z]\w{0,5})")
_WORD = re.compile(r"[a-z]+")
_WORD_BEGINS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # in deleteRepo, dropDBUser
_HELPER = "supervisor"
_DANGEROUS = ("delete", "drop", "remove", "destroy", "reset")
_OURS = re.compile(r"mcp__(?:plugin_)?mcpd(?:_\w+?)?__")
MAX_SUGGESTIONS = 3
_SUGGESTED_BY = {
    "deploy": "deploy_system",
    "deployment": "deploy_system",
    "test": "run_tests",
    "tests": "run_tests",
    "performance": "analyze_performance",
    "analyze": "analyze_performance",
}


def of_phrase(phrase: Phrase, agent: str) -> Arguments:
    """Return the arguments of the tool that *phrase* of *agent* asks for."""
    return _ARGUMENTS[phrase.tool](phrase.words, agent)


def _log_activity(words: Mapping[str, str], agent: str) -> Arguments:
    text = words["object"]
    category = next((name for name, keys in _CATEGORIES if any(key in text.lower() for key in keys)), "info")
    return {"agent": agent, "activity": text, "category": category}


def _check_conflicts(words: Mapping[str, str], agent: str) -> Arguments:
    target = words["object"].removeprefix("the ").rstrip(".!?")
    path = _LOOKS_LIKE_A_PATH.match(target)
    return {"agent": agent} | ({"paths": [path[0]]} if path else {"component": target[:256]})


def _register_component(words: Mapping[str, str], agent: str) -> Arguments:
    kind, found, name = words["object"].rstrip(".!").partition(":")
    given: Arguments = {"name": (name if found else kind).strip(), "owner": agent}
    return given | ({"type": kind.strip()} if found else {})


def _update_status(words: Mapping[str, str], agent: str) -> Arguments:
    said = words["object"].rstrip(".!")
    known = (*arguments.AGENT_STATUS, "active", "idle", "busy", "offline")
    status = next((word for word in _WORD.findall(said.lower()) if word in known), "active")
    return {"agent": agent, "status": status, "current_task": said}


def _request_collaboration(words: Mapping[str, str], agent: str) -> Arguments:
    return {"from_agent": agent, "to_agent": words.get("who", _HELPER), "task": words["object"]}


_ARGUMENTS: Mapping[str, Callable[[Mapping[str, str], str], Arguments]] = {
    "log_activity": _log_activity,
    "check_conflicts": _check_conflicts,
    "register_component": _register_component,
    "update_status": _update_status,
    "heartbeat": lambda _words, agent: {"agent": agent},
    "request_collaboration": _request_collaboration,
    "propose_decision": lambda words, agent: {"question": words["object"], "proposed_by": agent},
    "find_component_owner": lambda words, _agent: {"component": words["object"].rstrip("?.! ").strip("\"'`")},
}


def told(tool: str, asked: Arguments, result: Mapping[str, Any]) -> str:
    """Return in words what came of calling *tool*, as the old bridge said it."""
    return _TOLD[tool](asked, result)


def _conflicts_told(_asked: Arguments, result: Mapping[str, Any]) -> str:
    if not result["count"]:
        return "No conflicts detected"
    held = [f"{item['target']} ({', '.join(h['agent'] for h in item['holders'])})" for item in result["items"]]
    return f"Found {result['count']} potential conflicts: {'; '.join(held[:5])}"


def _owner_told(_asked: Arguments, result: Mapping[str, Any]) -> str:
    return f"Component owned by {result['owner']}" if result["found"] else "Component not found"


def _heartbeat_told(_asked: Arguments, result: Mapping[str, Any]) -> str:
    waiting = result["pending_requests"]
    return f"Heartbeat recorded; {waiting} collaboration requests wait for you" if waiting else "Heartbeat recorded"


_TOLD: Mapping[str, Callable[[Arguments, Mapping[str, Any]], str]] = {
    "log_activity": lambda _asked, _result: "Activity logged successfully",
    "check_conflicts": _conflicts_told,
    "register_component": lambda _asked, result: f"Component '{result['component']}' registered",
    "update_status": lambda asked, _result: f"Status updated to '{asked['current_task']}'",
    "heartbeat": _heartbeat_told,
    "request_collaboration": lambda asked, _result: f"Collaboration requested from {asked['to_agent']}",
    "propose_decision": lambda _asked, result: f"Decision {result['decision_id']} proposed",
    "find_component_owner": _owner_told,
}


def activity(hook: Hook, agent: str) -> Arguments | None:
    """Return the arguments of the activity to log of *hook*, None where it is none: it would drown what agents say."""
    text = {
        "SessionEnd": "Session ended",
        "Notification": f"Notification: {hook.notice or 'message'}",
        "SubagentStop": f"Subagent stopped: {hook.subagent or 'unknown'}",
        "PreCompact": "Conversation compaction starting",
    }.get(hook.event)
    failed = hook.failed
    if hook.event in ("PostToolUse", "PostToolUseFailure") and is_foreign(hook.tool):
        text = f"Tool executed: {hook.tool}"
    if text is None:
        return None
    details = {"event": hook.event, "session_id": hook.session_id or None}
    return {
        "agent": agent,
        "activity": text,
        "category": "error" if failed else "communication",
        "status": "failed" if failed else "completed",
        "details": {key: value for key, value in details.items() if value is not None},
    }


def is_foreign(tool: str) -> bool:
    """Say whether *tool* is another MCP server's; calls of ours are in the audit already."""
    return tool.startswith("mcp__") and _OURS.match(tool) is None


def warning(hook: Hook) -> str | None:
    """Return what to say before an MCP tool is used that by its name destroys something."""
    name = _WORD_BEGINS.sub(" ", hook.tool.rpartition("__")[2]).lower()
    if hook.event != "PreToolUse" or not hook.tool.startswith("mcp__"):
        return None
    if not any(word in _DANGEROUS for word in re.split(r"[^a-z]+", name)):
        return None
    return f"⚠️ Dangerous operation detected: {hook.tool}. Please confirm before proceeding."


def suggested(prompt: str, offered: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return those of the prompts *offered* (name, description) that fit what the agent was told."""
    words = set(_WORD.findall(prompt[:20_000].lower()))
    wanted = {_SUGGESTED_BY[word] for word in words if word in _SUGGESTED_BY}
    fit = [(name, text) for name, text in offered if name in wanted or set(_WORD.findall(name.lower())) <= words]
    return fit[:MAX_SUGGESTIONS]


def who(hook: Hook, named: str) -> str:
    """Return the agent whose hook it is: *named* by its environment, or as it calls itself, or the old name."""
    if named:
        return names.agent(named)
    said = next((found for text in hook.spoken if (found := phrases.agent(text))), None)
    return names.agent(said) if said else "claude_code"
