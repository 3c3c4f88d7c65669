"""What the API's description is made of: operations, and JSON schemas of the shapes that they take and give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of one path is for: its ``answers`` by status, in words and with a schema.

    ``body`` is JSON; it may come as one of ``other_bodies``, by media type, too.
    """

    summary: str
    answers: Mapping[int, tuple[str, Schema | None]]
    body: Schema | None = None
    refusals: Mapping[int, str] = field(default_factory=dict)
    query: tuple[str, ...] = ()
    body_optional: bool = False
    other_bodies: tuple[str, ...] = ()


def object_of(**properties: Schema) -> Schema:
    """Return the schema of an object that has all of *properties*."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def list_of(items: Schema) -> Schema:
    """Return the schema of an array of *items*."""
    return {"type": "array", "items": items}


def ref(name: str) -> Schema:
    """Return a reference to the component *name*."""
    return {"$ref": f"#/components/schemas/{name}"}
