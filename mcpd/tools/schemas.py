"""JSON Schemas of tools: made from types, or given as they are; and what is wrong with arguments, in their terms."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from mcpd.errors import InvalidParams

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MAX_DEPTH = 32
_MAX_NODES = 4096


def of_struct(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of *kind*, without what only repeats it."""
    _, components = msgspec.json.schema_components((kind,), ref_template="#/$defs/{name}")
    schema: dict[str, Any] = components.pop(kind.__name__)
    for part in (schema, *components.values()):
        part.pop("title", None)
        part.pop("description", None)  # the struct's docstring; the fields' descriptions stay
        for member in part["properties"].values():
            if "enum" in member:
                member["type"] = "string"  # older clients build forms from the type alone
    if components:
        schema["$defs"] = components
    return schema


def check(schema: Mapping[str, Any], *, root: str | None = "object") -> None:
    """Raise ``ValueError`` unless *schema* is one that we can hold values to, without asking any network.

    *root* is the type that it must be of, None for any.
    """
    if root is not None and schema.get("type") != root:
        raise ValueError(f'the root\'s type must be "{root}"')
    if schema.get("$schema", DIALECT) != DIALECT:
        raise ValueError(f"its dialect is {schema['$schema']!r}; expected {DIALECT}")
    nodes = list(_nodes(schema, 0))
    if len(nodes) > _MAX_NODES:
        raise ValueError(f"it has more than {_MAX_NODES} parts")
    for node in nodes:
        ref = node.get("$ref", node.get("$dynamicRef", "#"))
        if isinstance(ref, str) and not ref.startswith("#"):
            raise ValueError(f"$ref {ref!r} leads out of it")
    import jsonschema

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as exc:
        raise ValueError(exc.message) from exc


def _nodes(value: object, depth: int) -> Iterator[Mapping[str, Any]]:
    if depth > _MAX_DEPTH:
        raise ValueError(f"it is deeper than {_MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        yield value
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    for member in inner:
        yield from _nodes(member, depth + 1)


class Validator:
    """Hold values to *schema*, which ``check`` has passed."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        import jsonschema
        import referencing

        # An empty registry: the library would otherwise fetch a $ref that leads to the network.
        self._validator = jsonschema.Draft202012Validator(schema, registry=referencing.Registry())
        self._best = jsonschema.exceptions.best_match

    def fault(self, value: object) -> str | None:
        """Say what is wrong with *value*, None if nothing is."""
        error = self._best(self._validator.iter_errors(value))
        if error is None:
            return None
        where = ".".join(map(str, error.absolute_path))
        message = str(error.message)[:500]
        return f"argument '{where}': {message}" if where else message


def convert(value: object, kind: type[msgspec.Struct], schema: Mapping[str, Any]) -> Any:
    """Return *value* (decoded JSON) as *kind*, whose schema is *schema*; raises ``InvalidParams`` naming the fault."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as exc:
        raise InvalidParams(explain(str(exc), schema)) from exc


_WORDS = {
    "string": "a string", "array": "an array", "object": "an object", "boolean": "true or false",
    "integer": "a whole number", "number": "a number", "null": "null",
}  # fmt: skip
_RANGES = (
    ("minLength", "maxLength", " characters"), ("minItems", "maxItems", " items"), ("minimum", "maximum", ""),
)  # fmt: skip
_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_STEP = re.compile(r"[^.\[\]]+|\[[^\]]*\]")
_NAMED = re.compile(r"^Object (?P<fault>missing required field|contains unknown field) `(?P<name>[^`]+)`")


def explain(error: str, schema: Mapping[str, Any]) -> str:
    """Say msgspec's *error* in the terms of *schema*: which argument, and what was expected of it."""
    named = _NAMED.match(error)
    properties = schema["properties"]
    if named is not None and named["fault"].startswith("missing"):
        wanted = properties.get(named["name"], {})
        return f"argument '{named['name']}' is missing; expected {expected(wanted, schema)}"
    if named is not None:
        return f"unknown argument '{named['name']}'; expected only {', '.join(properties)}"
    at = _AT.search(error)
    if at is None:
        return f"arguments: {error}"
    path = at["path"]
    return f"argument '{path}': {error[: at.start()]}; expected {expected(_within(schema, path), schema)}"


def _within(schema: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """Return what *schema* says of the value at *path* (``a.b[0]``), nothing if it cannot be told."""
    found = schema
    for step in _STEP.findall(path):
        inner = [each.get("items") if step[0] == "[" else each.get("properties", {}).get(step)
                 for each in _alternatives(found, schema)]  # fmt: skip
        found = next((each for each in inner if isinstance(each, Mapping)), {})
    return found


def _alternatives(schema: Mapping[str, Any], root: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if "$ref" in schema:
        return [root.get("$defs", {}).get(schema["$ref"].rpartition("/")[2], {})]
    if "anyOf" in schema:
        found = [each for option in schema["anyOf"] for each in _alternatives(option, root)]
        return sorted(found, key=lambda option: option.get("type") == "null")  # where msgspec has it differs by version
    return [schema]


def expected(schema: Mapping[str, Any], root: Mapping[str, Any] = {}) -> str:
    """Say in words what *schema*, of one argument in that of all (*root*), allows."""
    options = _alternatives(schema, root)
    if options != [schema]:
        return ", or ".join(expected(option, root) for option in options)
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    text = _WORDS.get(schema.get("type", ""), "another value")
    if schema.get("type") == "array" and "type" in schema.get("items", {}):
        text += f" of {schema['items']['type']}s"
    for low, high, unit in _RANGES:
        if high in schema:
            text += f", {schema.get(low, 0)} to {schema[high]}{unit}"
        elif low in schema:
            text += f", {schema[low]} or more{unit}"
    return text
