"""Single values of the old system's columns → what ours hold. Pure.

A column of an SQLite file can hold anything; nothing here raises, whatever it is given.
"""

from __future__ import annotations

from typing import Any

import orjson

from mcpd.legacy import names

UNKNOWN = "unknown"
"""Who did it when nobody says; the old system's own word."""

_MAX_BRACKETS = 500  # SQLite takes JSON to a depth of 1000; what may be deeper stays text


def text(value: object) -> str | None:
    """Return *value* as text, None for NULL; bytes that are no UTF-8 are spelled out."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)  # numbers, and text that was not valid, spelled out


def agent(value: object) -> str:
    """Return the agent's name: one of the nine for its display name ("Backend API Agent"), ``UNKNOWN`` for none."""
    name = (text(value) or "").strip()
    if not name:
        return UNKNOWN
    return names.agent(name)


def parsed(value: object) -> tuple[Any, bool]:
    """Return what the JSON text *value* holds, and whether it was JSON; what is not JSON is returned as text."""
    if value is None or isinstance(value, int | float):
        return value, True
    raw = text(value) or ""
    if raw.count("[") + raw.count("{") > _MAX_BRACKETS:
        return raw, False
    try:
        return orjson.loads(raw), True
    except orjson.JSONDecodeError:
        return raw, False


def json_text(value: object) -> tuple[str | None, bool]:
    """Return *value* as JSON text for a column, and whether it was JSON; else it is ``{"unparsed": …}``."""
    if value is None:
        return None, True
    content, valid = parsed(value)
    if valid and isinstance(value, str):
        return value, True
    return dump(content if valid else {"unparsed": content}), valid


def dump(value: object) -> str:
    """Return *value* as JSON text."""
    return orjson.dumps(value).decode()


def whole(value: object, default: int) -> int:
    """Return *value* if it is a whole number from 1 on, else *default*."""
    return value if isinstance(value, int) and value >= 1 else default
