"""What an agent may be called: its own name, and the names by which people and older programs mean it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from mcpd.errors import AgentNotFound

MAX_NAME_CHARS = 32
RULE = (
    "small letters and digits, the first a letter, in words joined by single dashes, at most"
    f" {MAX_NAME_CHARS} characters"
)
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SEPARATORS = re.compile(r"[\s_-]+")


def is_name(text: str) -> bool:
    """Say whether *text* can name an agent: it becomes part of paths, unit names and a tmux target, so little may."""
    return len(text) <= MAX_NAME_CHARS and _NAME.fullmatch(text) is not None


def normalise(text: str) -> str:
    """Return the name that *text* probably means: ``Backend API Agent`` and ``claude-backend_api`` are backend-api."""
    name = _SEPARATORS.sub("-", text.strip().lower())
    return name.removeprefix("claude-").removesuffix("-agent")


def find(text: str, known: Iterable[str]) -> str:
    """Return the one of *known* that *text* means; raises ``AgentNotFound`` with the nearest name."""
    names = sorted(known)
    for candidate in (text, normalise(text)):
        if candidate in names:
            return candidate
    near = difflib.get_close_matches(normalise(text), names, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(names) or 'none'}"
    raise AgentNotFound(f"no agent '{text}'; {hint}")
