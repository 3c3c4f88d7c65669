"""Who gets in whose way."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mcpd.store import claims
from mcpd.tools import conflicts, paths
from mcpd.tools.base import AgentName, Arguments, Call, ComponentName, Paths, Result, Tool
from mcpd.tools.conflicts import Conflict

MAX_CLAIMS = 500


class CheckConflicts(Arguments, frozen=True):
    agents: Annotated[
        list[AgentName],
        Meta(
            min_length=2,
            max_length=100,
            description="The agents to compare; with component or paths, you first.",
        ),
    ]
    component: Annotated[ComponentName, Meta(description="A component you are about to change.")] | UnsetType = UNSET
    paths: Annotated[Paths, Meta(description="Files, directories or globs you are about to edit.")] | UnsetType = UNSET


class Checked(Result):
    conflicts: bool
    count: int
    items: Annotated[list[Conflict], Meta(description="What is contested, by whom and since when.")] = msgspec.field(
        default_factory=list
    )


def _check_conflicts(call: Call, arguments: CheckConflicts) -> Checked:
    standing = claims.live(call.db, call.now_us, MAX_CLAIMS)
    planned = [] if arguments.paths is UNSET else [paths.normalise(path) for path in arguments.paths]
    component = None if arguments.component is UNSET else arguments.component
    if planned or component is not None:
        items = conflicts.with_plan(standing, arguments.agents[0], component, planned)
    else:
        items = conflicts.between(standing, set(arguments.agents))
    return Checked(success=True, conflicts=bool(items), count=len(items), items=items)


CHECK_CONFLICTS = Tool(
    name="check_conflicts",
    title="Check conflicts",
    description=(
        "Find components and paths that more than one of the agents owns or edits, with who and since when. With"
        " component or paths: who else, of all agents, holds what the first agent is about to touch. Call it before"
        " you edit."
    ),
    arguments=CheckConflicts,
    result=Checked,
    function=_check_conflicts,
    read_only=True,
    idempotent=True,
)
