"""``/api/mcp/consent`` and ``…/ID``: what waits for an administrator's consent, and the decision.

Whoever asked may look at their own. Only administrators decide, never an agent, and no client about its own request.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import orjson
from msgspec import Meta

from mcpd.errors import AccessDenied, Error, InvalidRequest
from mcpd.protocol import jsonrpc
from mcpd.protocol.http import HttpRequest, HttpResponse
from mcpd.server import approvals, changes, rest
from mcpd.server.work import Work
from mcpd.store import approvals as stored
from mcpd.store.approvals import Approval
from mcpd.store.database import store_errors
from mcpd.times import rfc3339
from mcpd.tools.base import Call

LIST = "/api/mcp/consent"
ONE = "/api/mcp/consent/{name}"
MAX_ITEMS = 200


class Decision(msgspec.Struct, frozen=True):
    """The body of a decision, in the words of either of the old system's servers."""

    decision: Literal["approved", "denied"] | None = None
    approved: bool | None = None
    reason: Annotated[str, Meta(max_length=1000)] | None = None

    @property
    def verdict(self) -> Literal["approved", "denied"]:
        """The decision; raises ``InvalidRequest`` if there is none, or two."""
        said = None if self.approved is None else ("approved" if self.approved else "denied")
        verdict = self.decision or said
        if verdict is None or (said is not None and said != verdict):
            raise InvalidRequest('expected {"decision": "approved" or "denied"} or {"approved": true or false}')
        return "approved" if verdict == "approved" else "denied"


def listing(_http: HttpRequest, work: Work) -> HttpResponse:
    """Return the newest requests: all for an administrator, their own for the others."""
    try:
        with store_errors():
            found = stored.newest(work.db, None if "admin" in work.scopes else work.caller, MAX_ITEMS)
    except Error as error:
        return rest.refuse(work, error)
    return rest.answer({"consents": [_shown(approval, work.now_us) for approval in found]})


def get(_http: HttpRequest, work: Work) -> HttpResponse:
    """Return one request."""
    try:
        with store_errors():
            return rest.answer(_shown(_find(work), work.now_us))
    except Error as error:
        return rest.refuse(work, error)


def post(http: HttpRequest, work: Work) -> HttpResponse:
    """Take an administrator's decision."""
    try:
        decision = _decision(http)
        verdict = decision.verdict
    except Error as error:
        return rest.refuse(work, error)

    def change() -> HttpResponse:
        if work.by_agent:
            raise AccessDenied("an agent may not decide; a person has to")
        approval = _find(work)
        _check_may_decide(work, approval)
        if not stored.decide(work.db, approval.id, verdict, work.caller, decision.reason, work.now_us):
            raise InvalidRequest(f"it is {_state(approval, work.now_us)} and cannot be decided", http_status=409)
        call = Call(work.db, work.caller, work.now_us, 0)
        approvals.tell(call, approval, verdict, work.caller)
        return rest.answer({"consent_id": approval.id, "decision": verdict, "success": True})

    asked = {"decision": verdict, "reason": decision.reason}
    return changes.audited(work, "consent/decide", work.target[:64], asked, change)


def _decision(http: HttpRequest) -> Decision:
    # A page of another origin can send a form without asking the browser's leave, but no JSON.
    kind = (http.header(b"content-type") or "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise InvalidRequest("header Content-Type: expected application/json", http_status=415)
    try:
        return msgspec.convert(jsonrpc.decode(http.body), Decision)
    except msgspec.ValidationError as exc:
        raise InvalidRequest(f"the body is no decision: {exc}") from exc


def _find(work: Work) -> Approval:
    """Return the request that the path names; another's does not exist for who is no administrator."""
    approval = stored.find(work.db, work.target)
    if approval is None or ("admin" not in work.scopes and approval.caller != work.caller):
        raise InvalidRequest("there is no such request for consent", http_status=404)
    return approval


def _check_may_decide(work: Work, approval: Approval) -> None:
    if work.by_client and approval.caller == work.caller:
        raise AccessDenied("a client may not decide about its own request")
    if approval.via != "administrator":
        raise InvalidRequest("the person at the caller's own client is asked about it", http_status=409)


def _state(approval: Approval, now_us: int) -> str:
    is_over = approval.expires_us <= now_us and approval.state in ("pending", "approved")
    return "expired" if is_over else approval.state


def _shown(approval: Approval, now_us: int) -> dict[str, Any]:
    return {
        "consent_id": approval.id,
        "status": _state(approval, now_us),
        "operation": approval.tool,
        "caller": approval.caller,
        "message": approval.question,
        "arguments": orjson.loads(approval.arguments),
        "via": approval.via,
        "created_at": rfc3339(approval.created_us),
        "expires_at": rfc3339(approval.expires_us),
        "decided_by": approval.decided_by,
        "reason": approval.reason,
    }
