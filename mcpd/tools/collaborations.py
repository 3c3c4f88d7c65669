"""Asking another agent for help."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from mcpd.store import activities, agents, collaborations
from mcpd.tools.base import AgentName, Arguments, Call, Result, Text, Tool


class RequestCollaboration(Arguments, frozen=True):
    from_agent: Annotated[AgentName, Meta(description="Your agent name.")]
    to_agent: Annotated[AgentName, Meta(description="The agent whose help you want.")]
    task: Annotated[Text, Meta(description="What you want of it.")]
    priority: Literal["low", "medium", "high", "critical"] = "medium"


class Requested(Result):
    request_id: int
    to_agent_known: Annotated[bool, Meta(description="False: no agent of that name was ever heard of.")]


def _request_collaboration(call: Call, arguments: RequestCollaboration) -> Requested:
    asked, wanted = arguments.from_agent, arguments.to_agent
    call.heard_of(asked)
    request_id = collaborations.add(call.db, call.now_us, asked, wanted, arguments.task, arguments.priority)
    details: dict[str, object] = {"to_agent": wanted, "task": arguments.task, "priority": arguments.priority}
    text = f"Collaboration requested from {wanted}"
    encoded = msgspec.json.encode(details).decode()
    activities.add(call.db, call.now_us, asked, text, "communication", "started", encoded)
    call.event("collaboration.requested", asked, {"id": request_id, **details})
    known = agents.status(call.db, wanted) is not None
    return Requested(success=True, request_id=request_id, to_agent_known=known)


REQUEST_COLLABORATION = Tool(
    name="request_collaboration",
    title="Request collaboration",
    description="Ask another agent for help with a task. It learns of the request with its next heartbeat.",
    arguments=RequestCollaboration,
    result=Requested,
    function=_request_collaboration,
)
