"""What an agent says of itself: its status and that it lives."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from mcpd.store import agents, claims, collaborations
from mcpd.times import rfc3339
from mcpd.tools.base import AgentName, Arguments, Call, Result, Text, Tool


class UpdateStatus(Arguments, frozen=True):
    agent: Annotated[AgentName, Meta(description="Your agent name.")]
    status: Literal["active", "idle", "busy", "offline"]
    current_task: Annotated[Text, Meta(description="What you work on now; left out, it is cleared.")] | UnsetType = (
        UNSET
    )


class StatusUpdated(Result):
    agent: str
    previous_status: str | UnsetType = UNSET


def _update_status(call: Call, arguments: UpdateStatus) -> StatusUpdated:
    previous = agents.status(call.db, arguments.agent)
    task = None if arguments.current_task is UNSET else arguments.current_task
    call.heard_of(arguments.agent)
    agents.set_status(call.db, arguments.agent, arguments.status, task, call.now_us)
    if arguments.status == "offline":
        claims.release_work(call.db, call.now_us, arguments.agent)
    call.event("agent.status", arguments.agent, {"status": arguments.status, "previous": previous, "task": task})
    return StatusUpdated(success=True, agent=arguments.agent, previous_status=UNSET if previous is None else previous)


class Heartbeat(Arguments, frozen=True):
    agent: Annotated[AgentName, Meta(description="Your agent name.")]


class Alive(Result):
    timestamp: str
    pending_requests: Annotated[int, Meta(description="Collaboration requests that wait for you.")]


def _heartbeat(call: Call, arguments: Heartbeat) -> Alive:
    call.heard_of(arguments.agent)
    call.event("agent.heartbeat", arguments.agent, {})
    waiting = collaborations.count_waiting(call.db, arguments.agent)
    return Alive(success=True, timestamp=rfc3339(call.now_us), pending_requests=waiting)


UPDATE_STATUS = Tool(
    name="update_status",
    title="Update agent status",
    description="Tell the others what you are doing. Status offline also gives up your work in progress.",
    arguments=UpdateStatus,
    result=StatusUpdated,
    function=_update_status,
    idempotent=True,
)

HEARTBEAT = Tool(
    name="heartbeat",
    title="Heartbeat",
    description="Say that you are alive, and learn how many collaboration requests wait for you.",
    arguments=Heartbeat,
    result=Alive,
    function=_heartbeat,
    idempotent=True,
)
