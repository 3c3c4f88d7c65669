"""What a prompt is: a template, the arguments that go into it, and what a client is told of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Protocol

import msgspec
from msgspec import Meta

from mcpd.errors import InvalidParams
from mcpd.prompts import template
from mcpd.store.prompts import Row

# The end, in words that mean the same to Python and to JSON Schema: "$" lets a line end through, "\Z" is Python's.
_END = r"(?![\s\S])"
Name = Annotated[str, Meta(pattern=rf"^[A-Za-z0-9_.-]{{1,64}}{_END}")]
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Argument(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One argument; its values are completed from ``source``, or from ``suggestions``, which bind nobody."""

    name: Annotated[str, Meta(pattern=rf"^[A-Za-z_][A-Za-z0-9_]{{0,63}}{_END}")]
    description: Annotated[str, Meta(max_length=1024)] = ""
    required: bool = False
    type: Literal["string", "boolean"] = "string"
    source: Literal["agents", "components", "paths"] | None = None
    suggestions: Annotated[tuple[Annotated[str, Meta(max_length=256)], ...], Meta(max_length=100)] = ()


class Prompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One prompt, in the form in which it is read, written and stored."""

    name: Name
    title: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    description: Annotated[str, Meta(min_length=1, max_length=1024)]
    category: Annotated[str, Meta(min_length=1, max_length=64)] = "general"
    arguments: Annotated[tuple[Argument, ...], Meta(max_length=32)] = ()
    template: Annotated[str, Meta(min_length=1, max_length=16384)]

    def listing(self) -> dict[str, Any]:
        """Return the prompt as ``prompts/list`` shows it (2025-11-25 and 2026-07-28, server/prompts)."""
        return listing(self)

    def render(self, values: object) -> str:
        """Return the text that the prompt makes of *values*; raises ``InvalidParams`` naming the argument at fault.

        An optional argument that is empty counts as left out: forms send empty fields.
        """
        return template.fill(self.template, given(self, {} if values is None else values))

    def row(self) -> Row:
        """Return the prompt as the store keeps it."""
        arguments = msgspec.json.encode(self.arguments).decode()
        return Row(self.name, self.title, self.description, self.category, arguments, self.template)


def of_row(row: Row) -> Prompt:
    """Return the prompt that *row* holds."""
    return Prompt(
        name=row.name,
        title=row.title,
        description=row.description,
        category=row.category,
        arguments=msgspec.json.decode(row.arguments, type=tuple[Argument, ...]),
        template=row.template,
    )


def read(name: str, body: object) -> Prompt:
    """Return the prompt *name* that *body* (decoded JSON) describes; raises ``InvalidParams`` for what is wrong in it.

    The template's placeholders must be the declared arguments, the optional ones in parts that may go.
    """
    if not isinstance(body, dict):
        raise InvalidParams(f"expected a JSON object that describes a prompt, got {type(body).__name__}")
    if body.get("name", name) != name:
        raise InvalidParams(f"the prompt is called {body['name']!r} inside; expected {name!r} or no name")
    if not _NAME.fullmatch(name):
        raise InvalidParams(f"prompt name {name[:80]!r}: expected 1 to 64 of A-Z a-z 0-9 _ . -")
    try:
        prompt = msgspec.convert({**body, "name": name}, Prompt)
    except msgspec.ValidationError as exc:
        raise InvalidParams(f"prompt {name}: {exc}") from exc
    check(prompt)
    return prompt


def check(prompt: Prompt) -> None:
    """Raise ``InvalidParams`` unless template and arguments of *prompt* fit each other."""
    parts = template.parse(prompt.template)
    declared = [argument.name for argument in prompt.arguments]
    optional = {argument.name for argument in prompt.arguments if not argument.required}
    always = _union(part.names for part in parts if not part.optional)
    used = _union(part.names for part in parts)
    faults = {
        "declared twice": {name for name in declared if declared.count(name) > 1},
        "in the template, but not declared": used - set(declared),
        "declared, but not in the template": set(declared) - used,
        "optional, so its placeholder must stand in a part that may go, {?…}": optional & always,
    }
    for fault, names in faults.items():
        if names:
            raise InvalidParams(f"prompt {prompt.name}: argument '{min(names)}' is {fault}")
    if any(part.optional and not part.names & optional for part in parts):
        raise InvalidParams(f"prompt {prompt.name}: a part {{?…}} has no optional argument in it, so it can never go")


def _union(sets: Iterable[set[str]]) -> set[str]:
    return set().union(*sets)


class Described(Protocol):
    """What all prompts have, made by a template or by a function."""

    @property
    def name(self) -> str:
        """The name."""

    @property
    def title(self) -> str | None:
        """The name for people."""

    @property
    def description(self) -> str:
        """What it is for."""

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """What goes into it."""


def listing(prompt: Described) -> dict[str, Any]:
    """Return *prompt* as ``prompts/list`` shows it (2025-11-25 and 2026-07-28, server/prompts)."""
    shown: dict[str, Any] = {"name": prompt.name}
    if prompt.title is not None:
        shown["title"] = prompt.title
    shown["description"] = prompt.description
    if prompt.arguments:
        shown["arguments"] = [_listing(argument) for argument in prompt.arguments]
    return shown


def argument_of(prompt: Described, name: str) -> Argument:
    """Return the argument *name* of *prompt*; raises ``InvalidParams`` naming those there are."""
    for argument in prompt.arguments:
        if argument.name == name:
            return argument
    known = ", ".join(argument.name for argument in prompt.arguments)
    raise InvalidParams(f"prompt {prompt.name}: unknown argument {name!r}; expected {known or 'no arguments'}")


def given(prompt: Described, values: object) -> dict[str, str]:
    """Return those of *values* (decoded JSON) that are given to *prompt*, not empty; raises ``InvalidParams``."""
    if not isinstance(values, Mapping):
        raise InvalidParams(f"prompt {prompt.name}: arguments: expected an object, got {type(values).__name__}")
    kept: dict[str, str] = {}
    for name, value in values.items():
        argument = argument_of(prompt, name)
        if not isinstance(value, str):
            raise _fault(prompt, argument, f"expected a string, got {type(value).__name__}")
        if argument.type == "boolean" and value not in ("", "true", "false"):
            raise _fault(prompt, argument, f'expected "true" or "false", got {value[:40]!r}')
        if value:
            kept[name] = value
    for argument in prompt.arguments:
        if argument.required and argument.name not in kept:
            wrong = "is empty" if argument.name in values else "is missing; it is required"
            raise _fault(prompt, argument, wrong)
    return kept


def _fault(prompt: Described, argument: Argument, what: str) -> InvalidParams:
    return InvalidParams(f"prompt {prompt.name}: argument '{argument.name}': {what}")


def _listing(argument: Argument) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": argument.name}
    if argument.description:
        shown["description"] = argument.description
    return shown | {"required": argument.required}
