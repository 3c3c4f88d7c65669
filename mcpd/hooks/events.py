"""What an agent's hook tells: Claude Code's payloads, and those of the old system's hooks, as one value. Pure.

Source: Claude Code's hooks reference, "Hook input". The old ones said ``content``, ``tool.name``, ``tool.input`` and
``tool.output``. Every field is optional and may be of any type: a hook that is not understood must not fail.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mcpd.errors import InvalidRequest

State = Literal["idle", "working", "waiting_for_permission", "waiting_for_input", "ended"]

EVENTS = (
    "SessionStart",
    "SessionEnd",
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolUse",
    "Notification",
    "Stop",
    "SubagentStop",
    "PreCompact",
)
"""The events that are installed, by Claude Code's names."""

_FURTHER = ("PermissionRequest", "PostToolUseFailure", "StopFailure")
_ALIASES = {
    "init": "SessionStart",
    "validatetool": "PreToolUse",
    "processresult": "PostToolUse",
    "suggestprompts": "UserPromptSubmit",
}
_NOT_LETTERS = re.compile(r"[^a-z]+")
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole character in two
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"  # half of one
    rb"|\\."
)
_KNOWN = {name.lower(): name for name in (*EVENTS, *_FURTHER)} | _ALIASES
MAX_TASK_CHARS = 200


@dataclass(frozen=True, slots=True)
class Hook:
    """One event of an agent: what its text fields hold (empty where there is none), what state the agent is in now.

    ``spoken`` is what the agent wrote itself, where a phrase may ask for a tool; ``prompt`` what it was told.
    """

    event: str
    session_id: str = ""
    directory: str = ""
    tool: str = ""
    prompt: str = ""
    notice: str = ""
    subagent: str = ""
    spoken: tuple[str, ...] = ()
    failed: bool = False
    payload: Mapping[str, Any] = field(default_factory=dict)

    @property
    def state(self) -> State | None:
        """What the agent does now, None where the event does not tell."""
        found = _STATES[self.event]
        return found(self) if callable(found) else found

    @property
    def task(self) -> str:
        """What the agent works on from now on, in one line; empty where the event does not tell."""
        lines = self.prompt.strip().splitlines()
        return lines[0].strip()[:MAX_TASK_CHARS] if lines and self.event == "UserPromptSubmit" else ""


def mended(payload: bytes) -> bytes:
    """Return *payload* with U+FFFD for each half of a character in its JSON; some agents cut text within one."""
    return _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], payload)


def event_name(text: str) -> str:
    """Return the event that *text* means (``PreToolUse``, ``pre_tool_use``); raises ``InvalidRequest``."""
    found = _KNOWN.get(_NOT_LETTERS.sub("", text.lower()))
    if found is None:
        raise InvalidRequest(f"unknown event {text[:80]!r}; expected one of {', '.join(EVENTS)}")
    return found


def read(event: str, payload: object) -> Hook:
    """Return what *payload* (decoded JSON) says of *event*; raises ``InvalidRequest`` unless it is an object."""
    if not isinstance(payload, dict):
        raise InvalidRequest(f"the payload of {event}: expected a JSON object, got {type(payload).__name__}")
    name = event_name(event)
    old = payload.get("tool")
    tool = old if isinstance(old, dict) else {}
    given = payload.get("tool_input")
    description = given.get("description") if isinstance(given, dict) and name == "PreToolUse" else None
    spoken = (
        *((payload.get("content"), payload.get("message")) if name == "Notification" else ()),
        *((tool.get("input"), description) if name == "PreToolUse" else ()),
        *((tool.get("output"),) if name == "PostToolUse" else ()),
        *((payload.get("last_assistant_message"),) if name in ("Stop", "SubagentStop") else ()),
    )
    return Hook(
        event=name,
        session_id=_text(payload.get("session_id"))[:128],
        directory=_text(payload.get("cwd"))[:1024],
        tool=(_text(payload.get("tool_name")) or _text(tool.get("name")))[:256],
        prompt=_text(payload.get("prompt")),
        notice=(_text(payload.get("notification_type")) or _text(payload.get("type")))[:128],
        subagent=(_text(payload.get("agent_type")) or _text(payload.get("subagent_name")))[:128],
        spoken=tuple(text for text in spoken if isinstance(text, str) and text),
        failed=name == "PostToolUseFailure" or _failed(payload.get("tool_response"), tool),
        payload=payload,
    )


def _failed(response: object, old: Mapping[str, Any]) -> bool:
    """Say whether the tool's response calls itself an error; *old* is the tool as the old system told it."""
    shown = response if isinstance(response, dict) else old
    return shown.get("is_error") is True or shown.get("isError") is True or bool(shown.get("error"))


def _notified(hook: Hook) -> State | None:
    """Return the state that a notification tells: by its type, or in older releases by its words."""
    by_type = _NOTICES.get(hook.notice)
    if by_type is not None:
        return by_type
    text = _text(hook.payload.get("message")).lower()
    if "permission" in text:
        return "waiting_for_permission"
    return "waiting_for_input" if "waiting for your input" in text else None


_NOTICES: dict[str, State] = {
    "permission_prompt": "waiting_for_permission",
    "idle_prompt": "waiting_for_input",
    "elicitation_dialog": "waiting_for_input",
}


def _ended(hook: Hook) -> State:
    """A session that makes room for another in the same terminal has not ended for us."""
    return "idle" if hook.payload.get("reason") in ("clear", "resume") else "ended"


_STATES: Mapping[str, State | Callable[[Hook], State | None] | None] = {
    "SessionStart": "idle",
    "SessionEnd": _ended,
    "UserPromptSubmit": "working",
    "PreToolUse": "working",
    "PermissionRequest": "waiting_for_permission",
    "PostToolUse": "working",
    "PostToolUseFailure": "working",
    "Notification": _notified,
    "Stop": "idle",
    "StopFailure": "idle",
    "SubagentStop": None,
    "PreCompact": None,
}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
