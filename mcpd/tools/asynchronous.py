"""Tools that take their time: they ask the client, report progress, run in threads, answer with any content."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from mcpd.errors import InvalidParams
from mcpd.protocol.content import Content, Text
from mcpd.protocol.params import HeaderParam, header_params
from mcpd.tools import schemas
from mcpd.tools.base import Description
from mcpd.tools.context import Context

Schema = Mapping[str, Any]


class NoArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a tool takes that takes nothing."""


class Outcome(msgspec.Struct, frozen=True):
    """What came of a call: ``content`` for people and models, and ``structured``, a JSON value for programs."""

    content: Sequence[Content] = ()
    structured: Any = msgspec.UNSET
    is_error: bool = False


Returned = Outcome | msgspec.Struct | str | Content | Sequence[Content] | Mapping[str, Any]
"""What a function may return: words, blocks, or what is structured; the rest is made of it."""


@dataclass(frozen=True, kw_only=True)
class AsyncTool(Description):
    """One tool whose function may wait.

    ``arguments`` is a ``msgspec.Struct`` type, which the function gets one of, or a JSON Schema (2020-12), for which it
    gets the decoded object; ``result`` is the same for structured results, None for content alone. ``question`` is what
    a person is asked to allow, where the tool is destructive; it raises what the call would.
    """

    arguments: type[msgspec.Struct] | Schema = NoArguments
    result: type[msgspec.Struct] | Schema | None = None
    function: Callable[[Context, Any], Awaitable[Returned]]
    question: Callable[[Context, Any], Awaitable[str]] | None = None

    @cached_property
    def input_schema(self) -> Schema:
        """The JSON Schema (2020-12) of the arguments."""
        return schemas.of_struct(self.arguments) if isinstance(self.arguments, type) else self.arguments

    @cached_property
    def output_schema(self) -> Schema | None:
        """The JSON Schema (2020-12) of the structured result."""
        return schemas.of_struct(self.result) if isinstance(self.result, type) else self.result

    @cached_property
    def header_params(self) -> tuple[HeaderParam, ...]:
        """The arguments that are repeated as headers."""
        return header_params(self.input_schema)

    @cached_property
    def _validators(self) -> tuple[schemas.Validator | None, schemas.Validator | None]:
        given = (self.arguments, self.result)
        first, second = (schemas.Validator(schema) if isinstance(schema, Mapping) else None for schema in given)
        return first, second

    def convert(self, arguments: object) -> Any:
        """Return *arguments* (decoded JSON) as the function takes them; raises ``InvalidParams`` naming the fault."""
        if isinstance(self.arguments, type):
            return schemas.convert(arguments, self.arguments, self.input_schema)
        validator = self._validators[0]
        assert validator is not None
        fault = validator.fault(arguments)
        if fault is not None:
            raise InvalidParams(fault)
        return arguments

    async def run(self, context: Context, arguments: object) -> Outcome:
        """Return what the function makes of *arguments* (from ``convert``); raises what it raises.

        ``TypeError`` if that is not what the tool said it would return.
        """
        outcome = outcome_of(await self.function(context, arguments))
        validator = self._validators[1]
        if validator is not None and not outcome.is_error:
            fault = validator.fault(None if outcome.structured is msgspec.UNSET else outcome.structured)
            if fault is not None:
                raise TypeError(f"tool {self.name} returned what its result's schema does not allow: {fault}")
        elif isinstance(self.result, type) and outcome.structured is msgspec.UNSET and not outcome.is_error:
            raise TypeError(f"tool {self.name} did not return the {self.result.__name__} that it announced")
        return outcome


def outcome_of(returned: Returned) -> Outcome:
    """Return what a function *returned* as an outcome, its structured part in words too."""
    if isinstance(returned, Outcome):
        return _spelled(returned)
    if isinstance(returned, str):
        return Outcome((Text(returned),))
    if isinstance(returned, Content):
        return Outcome((returned,))
    if isinstance(returned, msgspec.Struct | Mapping):
        return _spelled(Outcome(structured=returned))
    return Outcome(tuple(returned))


def _spelled(outcome: Outcome) -> Outcome:
    """Return *outcome* with its structured part in words too, for clients that know only those (server/tools)."""
    if outcome.structured is msgspec.UNSET:
        return outcome
    structured = msgspec.to_builtins(outcome.structured)
    content = outcome.content or (Text(msgspec.json.encode(structured).decode()),)
    return Outcome(content, structured, outcome.is_error)
