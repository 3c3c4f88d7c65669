"""Text and keys for a terminal, checked before they are sent. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from mcpd.errors import InvalidParams

MAX_TEXT_BYTES = 65536
NAMED = [
    "Enter",
    "Escape",
    "Tab",
    "BTab",
    "Space",
    "BSpace",
    "Delete",
    "Insert",
    "Home",
    "End",
    "PageUp",
    "PageDown",
    "Up",
    "Down",
    "Left",
    "Right",
] + [f"F{number}" for number in range(1, 13)]
_MODIFIED = re.compile(r"(?P<modifiers>(?:[CMS]-)*)(?P<key>.+)", re.DOTALL)


class ControlCharacter(InvalidParams):
    """The text contains a character that a terminal or a program would obey."""


def check_text(text: str, *, control: bool = False) -> None:
    """Raise ``InvalidParams`` unless *text* can be typed: not empty, not huge, no *control* character but line ends."""
    if not text:
        raise InvalidParams("there is no text to type")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as exc:
        raise InvalidParams("the text is not valid Unicode") from exc
    if size > MAX_TEXT_BYTES:
        raise InvalidParams(f"the text has {size} bytes; expected at most {MAX_TEXT_BYTES}")
    if "\0" in text:
        raise InvalidParams("the text contains a NUL, which cannot be typed")
    found = next((c for c in text if is_control(c)), None)
    if found is not None and not control:
        raise ControlCharacter(f"the text contains the control character U+{ord(found):04X}")


def is_control(character: str) -> bool:
    """Say whether a terminal or program would obey *character* instead of taking it as text."""
    return character not in "\n\t" and (ord(character) < 32 or 127 <= ord(character) < 160)


def check_keys(keys: Iterable[str]) -> None:
    """Raise ``InvalidParams`` unless each of *keys* is a key's name: what tmux does not know, it would type as text."""
    for key in keys:
        match = _MODIFIED.fullmatch(key)
        base = match["key"] if match else ""
        if base in NAMED or (len(base) == 1 and base.isprintable()):
            continue
        near = difflib.get_close_matches(base.capitalize(), NAMED, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"expected a character or one of {', '.join(NAMED)}"
        raise InvalidParams(f"there is no key {key!r}; {hint}")
