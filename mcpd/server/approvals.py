"""Consent: what is destructive runs only when a person allowed it, with these arguments, for this caller, once.

The person at the client is asked where the client can ask one (MCP's elicitation) and the administrator has left it to
them (``access.consent``); else an administrator is, by ``mcpctl consent`` or ``/api/mcp/consent``. Both are rows, so
that an answer cannot come before its question, nor count twice.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import Any

import msgspec
import orjson

from mcpd.errors import ConsentDenied, ConsentRequired, Error, ToolFailed
from mcpd.protocol import states
from mcpd.store import approvals
from mcpd.store.approvals import TTL_US, Approval, State, Via
from mcpd.times import rfc3339
from mcpd.tools.asynchronous import AsyncTool
from mcpd.tools.base import Arguments, Call, Tool
from mcpd.tools.context import Context, confirm

ELICITATION: dict[str, Any] = {"elicitation": {"form": {}}}
URL = "/api/mcp/consent/"
MAX_OPEN = 100
_MAX_SHOWN = 8192

AnyTool = Tool[Any, Any] | AsyncTool


async def obtain(context: Context, tool: AnyTool, converted: Any, arguments: object, *, asks_clients: bool) -> None:
    """Return once *context*'s caller may use *tool* with *arguments*; *converted* are they as the tool takes them.

    Raises ``ConsentDenied`` when a person said no, ``ConsentRequired`` when an administrator has to say first.
    """
    if isinstance(converted, Arguments) and converted.dry_run:
        return
    question = await _question(context, tool, converted)
    if not (asks_clients and context.can_ask(ELICITATION)):
        asked = await context.store(lambda call: _asked(call, tool.name, arguments, "administrator", question))
        found = approved(asked)
        if not await context.store(lambda call: approvals.use(call.db, found.id, call.now_us)):
            raise ToolFailed("this consent was used meanwhile; call again")
        return
    asked = await context.store(lambda call: _asked(call, tool.name, arguments, "elicitation", question))
    allows = await confirm(context, asked.id, question)
    if not await context.store(partial(_answered, asked, allows)):
        raise ToolFailed("this question has expired, or its answer was used; call again")
    if not allows:
        raise ConsentDenied("nobody confirmed; nothing was done")


async def _question(context: Context, tool: AnyTool, converted: Any) -> str:
    if isinstance(tool, AsyncTool):
        if tool.question is None:
            return _plain(context.caller, tool, converted)
        return await tool.question(context, converted)
    return await context.store(lambda call: question_of(call, tool, converted))


def question_of(call: Call, tool: Tool[Any, Any], converted: Arguments) -> str:
    """Return what a person is asked to allow."""
    return _plain(call.caller, tool, converted) if tool.question is None else tool.question(call, converted)


def _plain(caller: str, tool: AnyTool, converted: object) -> str:
    given = msgspec.json.encode(converted).decode()
    return f"{caller} wants to use the tool {tool.name}, which destroys something, with {given[:500]}."


def ask_administrator(call: Call, tool: Tool[Any, Any], converted: Arguments, arguments: object) -> Approval:
    """Return the request for an administrator's consent to this call, made now if there is none."""
    return _asked(call, tool.name, arguments, "administrator", question_of(call, tool, converted))


def approved(approval: Approval) -> Approval:
    """Return *approval* if it is one; raises ``ConsentRequired`` if nobody has decided, ``ConsentDenied`` for a no."""
    if approval.state == "approved":
        return approval
    if approval.state == "denied":
        because = f": {approval.reason}" if approval.reason else ""
        raise ConsentDenied(f"{approval.decided_by} denied this use of {approval.tool}{because}")
    raise ConsentRequired(
        f"Consent required for {approval.tool}. This client cannot ask a person by elicitation, or may not; an"
        f" administrator may run: mcpctl consent approve {approval.id}. Then call again with the same arguments.",
        {
            "consent_id": approval.id,
            "consent_url": f"{URL}{approval.id}",
            "operation": approval.tool,
            "expires_at": rfc3339(approval.expires_us),
        },
    )


def _asked(call: Call, tool: str, arguments: object, via: Via, question: str) -> Approval:
    digest = states.digest(tool, {"arguments": arguments})
    standing = approvals.find_last(call.db, call.caller, tool, digest, via, call.now_us)
    if standing is not None:
        return standing
    if approvals.count_open(call.db, call.caller, call.now_us) >= MAX_OPEN:
        raise Error(f"{MAX_OPEN} requests of {call.caller} wait for consent already", http_status=503)
    text = orjson.dumps(arguments).decode()
    approval = Approval(
        id=secrets.token_hex(12), caller=call.caller, tool=tool, digest=digest, via=via, question=question,
        arguments=text if len(text) <= _MAX_SHOWN else orjson.dumps({"size_bytes": len(text)}).decode(),
        state="pending", created_us=call.now_us, expires_us=call.now_us + TTL_US,
    )  # fmt: skip
    approvals.add(call.db, approval)
    told = {"id": approval.id, "tool": tool, "caller": call.caller, "via": via, "question": question}
    call.event("consent.requested", None, told)
    return approval


def _answered(asked: Approval, allows: bool, call: Call) -> bool:
    state: State = "used" if allows else "denied"
    decided = approvals.decide(call.db, asked.id, state, f"the person at {call.caller}", None, call.now_us)
    if decided:
        tell(call, asked, "approved" if allows else "denied", call.caller)
    return decided


def tell(call: Call, approval: Approval, decision: str, who: str) -> None:
    """Tell all who listen what was decided."""
    told = {"id": approval.id, "tool": approval.tool, "caller": approval.caller, "decision": decision, "by": who}
    call.event("consent.decided", None, told)
