"""The keys of an agent's file: what each takes, said once for the reader, its complaints and the manual.

Plain functions and nothing imported that is slow: systemd waits for the generator at every boot and daemon-reload.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable
from dataclasses import dataclass

from mcpd.agents.agent import RESTARTS

RESERVED_VARIABLES = frozenset(
    [
        "AGENT_NAME",
        "AGENT_ROLE",
        "CLAUDE_AGENT_NAME",
        "CLAUDE_PROJECT_DIR",
        "DBUS_SESSION_BUS_ADDRESS",
        "MCPD_AGENT_COMMAND",
        "MCPD_AGENT_RESTART",
        "NOTIFY_SOCKET",
        "TMUX",
        "TMUX_PANE",
        "XDG_RUNTIME_DIR",
    ]
)
"""What mcpd sets itself, or what would lead tmux to the user's bus and the panes out of their unit."""

MAX_TEXT_CHARS = 4096
_SIZE = re.compile(r"[1-9][0-9]*[KMGT]?|(100|[1-9]?[0-9])%|infinity")
_QUOTA = re.compile(r"[1-9][0-9]*%")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Key:
    """A key: whether a value *fits* and, in words, what was *expected*."""

    fits: Callable[[object], bool]
    expected: str


def _whole(low: int, high: int) -> Key:
    def fits(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return Key(fits, f"a whole number from {low} to {high}")


def _text(max_chars: int, *, lines: bool = False) -> Key:
    def fits(value: object) -> bool:
        return isinstance(value, str) and len(value) <= max_chars and is_shown(value, "\n\t" if lines else "")

    return Key(fits, f"{'text' if lines else 'one line of text'} of at most {max_chars} characters")


def _matching(pattern: re.Pattern[str], expected: str) -> Key:
    return Key(lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None, expected)


def is_shown(text: str, besides: str = "") -> bool:
    """Say whether every character of *text* is one that is seen (or one of *besides*), not one that is obeyed."""
    return all(c.isprintable() or c in besides for c in text)


def _is_title(value: object) -> bool:
    # A unit's Description= has no way to write a backslash at its end.
    return isinstance(value, str) and value == value.strip() and 0 < len(value) <= 64 and _is_plain(value)


def _is_plain(text: str) -> bool:
    return is_shown(text) and "\\" not in text


def _is_directory(value: object) -> bool:
    """A path that means the same in every key of a unit, none of which agrees with another on quoting."""
    if not isinstance(value, str) or not is_shown(value) or set("\\\"'") & set(value):
        return False
    return value.startswith("/") and value == os.path.normpath(value) and value == value.strip() and value != "//"


def _is_env(value: object) -> bool:
    return isinstance(value, dict) and all(
        _VARIABLE.fullmatch(name) and name not in RESERVED_VARIABLES and _text(MAX_TEXT_CHARS, lines=True).fits(text)
        for name, text in value.items()
    )


SIZE = _matching(_SIZE, 'a size such as "800M" or "2G", a share of the memory such as "40%", or "infinity"')

KEYS: dict[str, Key] = {
    "port": _whole(1, 65535),
    "title": Key(_is_title, "one line of 1 to 64 characters without a backslash"),
    "role": _text(MAX_TEXT_CHARS, lines=True),
    "user": _matching(_USER, "the name of a local user"),
    "workdir": Key(_is_directory, "an absolute path without .., quotes and backslashes"),
    "command": _text(MAX_TEXT_CHARS),
    "restart": Key(lambda value: value in RESTARTS, "one of " + ", ".join(f'"{word}"' for word in RESTARTS)),
    "record": Key(lambda value: isinstance(value, bool), "true or false"),
    "env": Key(_is_env, "a table of variables with strings, none of those that mcpd sets"),
    "limits": Key(lambda value: isinstance(value, dict), "a table"),
}
"""The keys of the file, in the manual's order."""

LIMITS: dict[str, Key] = {
    "memory_high": SIZE,
    "memory_max": SIZE,
    "cpu_quota": _matching(_QUOTA, 'a share of one processor such as "150%"'),
    "tasks_max": _whole(1, 1_000_000),
    "nice": _whole(-20, 19),
}
"""The keys of its table limits."""
