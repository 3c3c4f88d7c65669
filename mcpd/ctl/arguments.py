"""``key=value`` on the command line → the arguments of a tool, as its input schema asks for them. Pure but for files.

A string is taken as it stands; anything else is JSON. ``key=@FILE`` and ``key=-`` read the value from a file or stdin.
What fits the type is not judged further: that is the server's to do, and to say.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mcpd.errors import UsageError

Read = Callable[[str], str]
"""Return the text of a file, or of stdin for ``-``; raises ``UsageError``."""

_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "a string"),
    "integer": ((int,), "a whole number"),
    "number": ((int, float), "a number"),
    "boolean": ((bool,), "true or false"),
    "array": ((list,), 'a JSON array such as \'["a", "b"]\''),
    "object": ((dict,), "a JSON object such as '{\"a\": 1}'"),
    "null": ((type(None),), "null"),
}


def parse(words: Iterable[str], schema: Mapping[str, Any], read: Read, base: str | None = None) -> dict[str, Any]:
    """Return the arguments that *words* (``key=value``) make for *schema*, laid over the JSON object *base*.

    Raises ``UsageError`` naming the word or key and what was expected.
    """
    result = {} if base is None else _object(_content(base, read))
    properties = schema.get("properties", {})
    given: set[str] = set()
    for word in words:
        key, found, text = word.partition("=")
        if not found or not key:
            raise UsageError(f"argument {word!r}: expected key=value")
        if key in given:
            raise UsageError(f"argument '{key}' is given twice")
        given.add(key)
        result[key] = value(key, _content(text, read), _resolve(properties.get(key, {}), schema))
    return result


def value(key: str, text: str, schema: Mapping[str, Any]) -> Any:
    """Return *text* as the type that *schema*, of one argument, asks for; a string wherever that is allowed."""
    types = _types(schema)
    if not types or "string" in types:
        return _text(key, text)
    wanted = UsageError(f"argument '{key}': expected {' or '.join(_TYPES[name][1] for name in types)}, got {text!r}")
    try:
        parsed = json.loads(text, parse_constant=_no_constant)
    except ValueError as exc:
        raise wanted from exc
    if not any(_is(parsed, name) for name in types):
        raise wanted
    return parsed


def _is(parsed: object, name: str) -> bool:
    if isinstance(parsed, bool):  # an int to Python, not to JSON
        return name == "boolean"
    return isinstance(parsed, _TYPES[name][0])


def _types(schema: Mapping[str, Any]) -> list[str]:
    """Return the JSON types that *schema* allows, none if it does not say."""
    if "enum" in schema:
        return list(dict.fromkeys(_type_of(choice) for choice in schema["enum"]))
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return list(dict.fromkeys(name for part in schema[union] for name in _types(part)))
    named = schema.get("type", [])
    return [name for name in ([named] if isinstance(named, str) else named) if name in _TYPES]


def _type_of(choice: object) -> str:
    return next(name for name in _TYPES if _is(choice, name))


def _resolve(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a ``$ref`` into the ``$defs`` of *root*."""
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    found: Mapping[str, Any] = root.get("$defs", {}).get(name, schema)
    return found


def _content(text: str, read: Read) -> str:
    if text == "-":
        return read("-")
    return read(text[1:]) if text.startswith("@") else text


def _object(text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text, parse_constant=_no_constant)
    except ValueError as exc:
        raise UsageError(f"--arguments is not JSON: {exc}") from exc
    if not isinstance(parsed, dict):
        raise UsageError("--arguments: expected a JSON object")
    return parsed


def _text(key: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise UsageError(f"argument '{key}' is not valid UTF-8") from exc
    return text


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
