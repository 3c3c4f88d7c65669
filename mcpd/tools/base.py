"""What a tool is: one typed function, and everything a client is told of it derived from its types.

The arguments' type is a ``msgspec.Struct``; the JSON schema in ``tools/list`` comes from it and the same type checks a
call, so the two cannot disagree. Tools that wait for something are ``tools.asynchronous.AsyncTool``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mcpd.access.scopes import Scope
from mcpd.compliance.classes import Classification, is_sensitive
from mcpd.protocol.content import Icon
from mcpd.protocol.params import HeaderParam, header_params
from mcpd.store import agents, events
from mcpd.store.database import Database
from mcpd.tools import schemas

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

    def event(self, topic: str, agent: str | None, data: Mapping[str, object]) -> None:
        """Record that something happened, about *agent* if it is about one, in the transaction that makes it so."""
        events.add(self.db, self.now_us, topic, agent, data)

    def heard_of(self, agent: str) -> bool:
        """Note that *agent* lives; return whether it was unknown until now, which is an event."""
        new = agents.touch(self.db, agent, self.now_us)
        if new:
            self.event("agent.new", agent, {})
        return new


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a client is told of a tool. The four hints are MCP's tool annotations: what a call may do to the world.

    They are no mere hints to us: they decide which scope a caller needs, and what is destructive a person has to allow
    (server/approvals.py) before the function runs. ``classification`` is that of the data which the tool handles; each
    use of a sensitive one is logged (mcpd.compliance).
    """

    name: str
    title: str
    description: str
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False
    open_world: bool = False
    icons: tuple[Icon, ...] = ()
    classification: Classification = "internal"

    @cached_property
    def is_sensitive(self) -> bool:
        """Whether each use is logged."""
        return is_sensitive(self.classification)

    @property
    def needs(self) -> Scope:
        """The scope that a caller must have; it follows from the hints."""
        if self.read_only:
            return "read"
        return "delete" if self.destructive else "execute"

    def listing(self, input_schema: Mapping[str, Any], output_schema: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the tool as ``tools/list`` shows it (MCP 2025-11-25 and 2026-07-28, server/tools)."""
        shown: dict[str, Any] = {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": input_schema,
        }
        if output_schema is not None:
            shown["outputSchema"] = output_schema
        if self.icons:
            shown["icons"] = msgspec.to_builtins(self.icons)
        shown["annotations"] = {
            "readOnlyHint": self.read_only,
            "destructiveHint": self.destructive,
            "idempotentHint": self.idempotent,
            "openWorldHint": self.open_world,
        }
        return shown


@dataclass(frozen=True, kw_only=True)
class Tool(Description, Generic[A, R]):
    """One tool that answers at once, inside the transaction of its turn.

    ``question`` is what a person is asked to allow, where the tool is destructive; it raises what the call would.
    """

    arguments: type[A]
    result: type[R]
    function: Callable[[Call, A], R]
    question: Callable[[Call, A], str] | None = None

    @property
    def needs(self) -> Scope:
        """The scope that a caller must have: such a tool only writes records."""
        return "write" if super().needs == "execute" else super().needs

    @cached_property
    def input_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of the arguments."""
        return schemas.of_struct(self.arguments)

    @cached_property
    def output_schema(self) -> dict[str, Any]:
        """The JSON Schema (2020-12) of the result."""
        return schemas.of_struct(self.result)

    @cached_property
    def header_params(self) -> tuple[HeaderParam, ...]:
        """The arguments that are repeated as headers."""
        return header_params(self.input_schema)

    def convert(self, arguments: object) -> A:
        """Return *arguments* (decoded JSON) as the tool's type; raises ``InvalidParams`` naming what is wrong."""
        converted: A = schemas.convert(arguments, self.arguments, self.input_schema)
        return converted

    def call(self, call: Call, arguments: A) -> R:
        """Run the tool; a dry run returns what it would, marked, and the caller takes the changes back."""
        result = self.function(call, arguments)
        if arguments.dry_run:
            asked = msgspec.to_builtins(arguments)
            del asked["dry_run"]
            result.dry_run = True
            result.message = f"Would execute {self.name} with params: {msgspec.json.encode(asked).decode()}"
        return result
