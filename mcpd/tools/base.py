"""What a tool is: one typed function, and everything a client is told of it derived from its types.

The arguments' type is a ``msgspec.Struct``; the JSON schema in ``tools/list`` comes from it and the same type checks a
call, so the two cannot disagree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mcpd.errors import InvalidParams
from mcpd.store import agents, events
from mcpd.store.database import Database

AgentName = Annotated[str, Meta(min_length=1, max_length=128)]
ComponentName = Annotated[str, Meta(min_length=1, max_length=256)]
Path = Annotated[str, Meta(min_length=1, max_length=1024)]
Paths = Annotated[list[Path], Meta(max_length=100)]
Text = Annotated[str, Meta(min_length=1, max_length=16384)]


class Arguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every tool takes."""

    dry_run: Annotated[bool, Meta(description="Say what would happen; change nothing.")] = False


class Result(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What every tool returns."""

    success: bool
    dry_run: bool = False
    message: str | UnsetType = UNSET


A = TypeVar("A", bound=Arguments)
R = TypeVar("R", bound=Result)


class Call(msgspec.Struct, frozen=True):
    """What a tool may use: the database inside the request's savepoint, who calls, the time and two settings."""

    db: Database
    caller: str
    now_us: int
    claim_ttl_us: int

    def event(self, topic: str, agent: str, data: Mapping[str, object]) -> None:
        """Record that something happened, in the transaction that makes it so."""
        events.add(self.db, self.now_us, topic, agent, data)

    def heard_of(self, agent: str) -> bool:
        """Note that *agent* lives; return whether it was unknown until now, which is an event."""
        new = agents.touch(self.db, agent, self.now_us)
        if new:
            self.event("agent.new", agent, {})
        return new


@dataclass(frozen=True)
class Tool(Generic[A, R]):
    """One tool. The four hints are MCP's tool annotations: what a call may do to the world."""

    name: str
    title: str
    description: str
    arguments: type[A]
    result: type[R]
    function: Callable[[Call, A], R]
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False

    @cached_property
    def input_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of the arguments."""
        return _schema(self.arguments)

    @cached_property
    def output_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of the result."""
        return _schema(self.result)

    @cached_property
    def listing(self) -> dict[str, Any]:
        """The tool as ``tools/list`` shows it (MCP 2025-11-25 and 2026-07-28, server/tools)."""
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": self.input_schema,
            "outputSchema": self.output_schema,
            "annotations": {
                "readOnlyHint": self.read_only,
                "destructiveHint": self.destructive,
                "idempotentHint": self.idempotent,
                "openWorldHint": False,
            },
        }

    def convert(self, arguments: object) -> A:
        """Return *arguments* (decoded JSON) as the tool's type; raises ``InvalidParams`` naming what is wrong."""
        try:
            return msgspec.convert(arguments, self.arguments)
        except msgspec.ValidationError as exc:
            raise InvalidParams(explain(str(exc), self.input_schema)) from exc

    def call(self, call: Call, arguments: A) -> R:
        """Run the tool; a dry run returns what it would, marked, and the caller takes the changes back."""
        result = self.function(call, arguments)
        if arguments.dry_run:
            asked = msgspec.to_builtins(arguments)
            del asked["dry_run"]
            result.dry_run = True
            result.message = f"Would execute {self.name} with params: {msgspec.json.encode(asked).decode()}"
        return result


def _schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
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


_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_NAMED = re.compile(r"^Object (?P<fault>missing required field|contains unknown field) `(?P<name>[^`]+)`")


def explain(error: str, schema: Mapping[str, Any]) -> str:
    """Say msgspec's *error* in the terms of *schema*: which argument, and what was expected of it."""
    named = _NAMED.match(error)
    properties = schema["properties"]
    if named is not None and named["fault"].startswith("missing"):
        wanted = properties.get(named["name"], {})
        return f"argument '{named['name']}' is missing; expected {expected(wanted)}"
    if named is not None:
        return f"unknown argument '{named['name']}'; expected only {', '.join(properties)}"
    at = _AT.search(error)
    if at is None:
        return f"arguments: {error}"
    path = at["path"]
    wanted = properties.get(re.split(r"[.\[]", path)[0], {})
    inner = wanted.get("items", {}) if path.endswith("]") else wanted
    return f"argument '{path}': {error[: at.start()]}; expected {expected(inner)}"


def expected(schema: Mapping[str, Any]) -> str:
    """Say in words what *schema*, of one argument, allows."""
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    words = {"string": "a string", "array": "an array", "object": "an object", "boolean": "true or false"}
    text = words.get(schema.get("type", ""), "another value")
    if schema.get("type") == "array" and "type" in schema.get("items", {}):
        text += f" of {schema['items']['type']}s"
    for low, high, unit in (("minLength", "maxLength", "characters"), ("minItems", "maxItems", "items")):
        if high in schema:
            text += f", {schema.get(low, 0)} to {schema[high]} {unit}"
    return text
