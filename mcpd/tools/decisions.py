"""Putting a question to the other agents."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mcpd.store import decisions
from mcpd.tools.base import AgentName, Arguments, Call, Result, Text, Tool


class ProposeDecision(Arguments, frozen=True):
    category: Annotated[
        str,
        Meta(min_length=1, max_length=128, description="What it is about, such as architecture or deployment."),
    ]
    question: Annotated[Text, Meta(description="What is to be decided.")]
    proposed_by: Annotated[AgentName, Meta(description="Your agent name.")]
    metadata: Annotated[dict[str, Any], Meta(description="Options, reasons, anything else.")] | UnsetType = UNSET


class Proposed(Result):
    decision_id: int


def _propose_decision(call: Call, arguments: ProposeDecision) -> Proposed:
    call.heard_of(arguments.proposed_by)
    metadata = None if arguments.metadata is UNSET else msgspec.json.encode(arguments.metadata).decode()
    decision_id = decisions.propose(
        call.db, call.now_us, arguments.category, arguments.question, arguments.proposed_by, metadata
    )
    data = {"id": decision_id, "category": arguments.category, "question": arguments.question}
    call.event("decision.proposed", arguments.proposed_by, data)
    return Proposed(success=True, decision_id=decision_id)


PROPOSE_DECISION = Tool(
    name="propose_decision",
    title="Propose decision",
    description="Put a decision before the other agents; it stays pending until it is resolved.",
    arguments=ProposeDecision,
    result=Proposed,
    function=_propose_decision,
)
