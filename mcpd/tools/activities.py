"""The log of what agents do, and the claims on files and components that it implies."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mcpd.store import activities, claims
from mcpd.store.claims import Claim, Kind
from mcpd.tools import conflicts, paths
from mcpd.tools.base import AgentName, Arguments, Call, ComponentName, Paths, Result, Text, Tool
from mcpd.tools.claims import MAX_CLAIMS
from mcpd.tools.conflicts import Conflict

_BEGINS = ("started", "in_progress")


class LogActivity(Arguments, frozen=True):
    agent: Annotated[AgentName, Meta(description="Your agent name.")]
    activity: Annotated[Text, Meta(description="What you do, in a sentence.")]
    category: Literal["task", "communication", "decision", "error"]
    status: Annotated[
        Literal["started", "in_progress", "completed", "failed"],
        Meta(
            description="started and in_progress claim component and paths for you; completed and failed release them."
        ),
    ] = "completed"
    details: Annotated[dict[str, Any], Meta(description="Anything else worth keeping.")] | UnsetType = UNSET
    component: Annotated[ComponentName, Meta(description="The component you work on.")] | UnsetType = UNSET
    paths: (
        Annotated[Paths, Meta(description="Files, directories or globs you edit, relative to the project root.")]
        | UnsetType
    ) = UNSET


class Logged(Result):
    id: int
    conflicts: Annotated[
        list[Conflict],
        Meta(description="Who else holds what you just claimed. Talk to them before you go on."),
    ] = msgspec.field(default_factory=list)


def _log_activity(call: Call, arguments: LogActivity) -> Logged:
    call.heard_of(arguments.agent)
    details = None if arguments.details is UNSET else msgspec.json.encode(arguments.details).decode()
    activity_id = activities.add(
        call.db,
        call.now_us,
        arguments.agent,
        arguments.activity,
        arguments.category,
        arguments.status,
        details,
    )
    component = None if arguments.component is UNSET else arguments.component
    touched = [] if arguments.paths is UNSET else [paths.normalise(path) for path in arguments.paths]
    found = _claim(call, arguments, component, touched) if component or touched else []
    data: dict[str, object] = {
        "id": activity_id,
        "activity": arguments.activity,
        "category": arguments.category,
    }
    data |= {"status": arguments.status, "component": component, "paths": touched}
    call.event("activity.logged", arguments.agent, data)
    return Logged(success=True, id=activity_id, conflicts=found)


def _claim(call: Call, arguments: LogActivity, component: str | None, touched: list[str]) -> list[Conflict]:
    """Hold or release what the activity names; return who else holds it."""
    agent = arguments.agent
    targets: list[tuple[Kind, str]] = [("path", path) for path in touched]
    if component is not None:
        targets.append(("component", component))
    if arguments.status not in _BEGINS:
        claims.release(call.db, call.now_us, agent, targets)
        return []
    standing = claims.live(call.db, call.now_us, MAX_CLAIMS)
    reason, until_us = arguments.activity[:500], call.now_us + call.claim_ttl_us
    belongs = {"path": component, "component": None}
    taken = [Claim(agent, "edit", kind, target, reason, belongs[kind], call.now_us) for kind, target in targets]
    claims.take(call.db, call.now_us, taken, until_us)
    return conflicts.with_plan(standing, agent, component, touched)


LOG_ACTIVITY = Tool(
    name="log_activity",
    title="Log activity",
    description=(
        "Record what you do so that the other agents know. With status started or in_progress and component or paths"
        " it also claims them for you and tells who else holds them; completed or failed releases them."
    ),
    arguments=LogActivity,
    result=Logged,
    function=_log_activity,
)
