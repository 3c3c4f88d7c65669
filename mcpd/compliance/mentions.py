"""Where a text names a person, and the text with another name in its place. Pure.

A name is one where it stands by itself: *al* is not in *also*, nor *alice* in *alice-2* or *alice_smith*, who may be
somebody else. JSON is read, however it spells the name, and JSON within JSON too.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

_DEPTH = 4  # of JSON in texts of JSON
_PREFIXES = r"(?:claude-|(?:re)?start_|stop_|setup_)?"
"""What the system before mcpd, and mcpd, put before the name of an agent."""

_BEFORE = r"(?<!\w)(?<!\w[-.])"
_AFTER = r"(?!\w(?<!_)|[-.]\w|_(?!\d{9}))"  # an id may end with the seconds since the epoch


class Mentions:
    """The places where texts name *subject*."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        in_urls = (quote(subject, safe=""), quote(subject, safe="!'()*"))  # as Python and as browsers spell it
        self.needles = tuple(dict.fromkeys((subject, *in_urls)))
        """What a text must hold, or a backslash, to name the subject."""

        before = "" if _runs_on(subject[0]) else _BEFORE
        after = "" if _runs_on(subject[-1]) else _AFTER
        names = "|".join(re.escape(needle) for needle in self.needles)
        self._pattern = re.compile(f"{before}({_PREFIXES})(?:{names}){after}")
        self._whole = re.compile(f"(?:agent:|claude-)?(?:{names})")

    def is_name(self, text: object) -> bool:
        """Say whether *text* is the name and nothing else, as in a column that says who."""
        return isinstance(text, str) and self._whole.fullmatch(text) is not None

    def found(self, text: object) -> bool:
        """Say whether *text* names the subject."""
        return isinstance(text, str) and self.replaced(text, "") != text

    def replaced(self, text: str, name: str, depth: int = _DEPTH) -> str:
        """Return *text* with *name* where it named the subject; JSON stays JSON, and all else is as it was."""
        if depth and text.lstrip()[:1] in ("{", "[", '"'):
            try:
                return _rewritten(text, lambda part: self.replaced(part, name, depth - 1))
            except (ValueError, RecursionError):
                pass  # no JSON after all, or deeper than Python can follow; the name is replaced as it stands
        return self._pattern.sub(lambda match: match[1] + name, text)


def _runs_on(character: str) -> bool:
    """Say whether *character* is of a script that puts no blanks between words, or no part of a word at all."""
    return not (character.isalnum() or character == "_") or unicodedata.east_asian_width(character) in "WF"


def _rewritten(text: str, change: Callable[[str], str]) -> str:
    value = json.loads(text)
    changed = _mapped(value, change)
    return text if changed == value else json.dumps(changed, ensure_ascii=False, separators=(",", ":"))


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_mapped(item, change) for item in value]
    if isinstance(value, dict):
        return {change(key): _mapped(item, change) for key, item in value.items()}
    return value
