"""One request's work: what it may use, what is noted of it, and the running of a tool with its audit row."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec
import orjson

from mcpd.access import scopes
from mcpd.access.scopes import ALL, Scope, Scopes
from mcpd.access.tokens import Authority
from mcpd.compliance.registers import note_access
from mcpd.errors import (
    AccessDenied,
    ConsentRequired,
    Error,
    InsufficientScope,
    InvalidParams,
    RateLimited,
    StoreUnavailable,
    ToolFailed,
)
from mcpd.protocol.jsonrpc import Id
from mcpd.protocol.revisions import Revision
from mcpd.server import approvals
from mcpd.server.site import Site
from mcpd.store import approvals as stored
from mcpd.store import audit
from mcpd.store.audit import Entry
from mcpd.store.database import Database
from mcpd.store.turn import Turn
from mcpd.tools.base import Arguments, Call, Result, Tool
from mcpd.tools.registry import AnyTool

NO_CAPABILITIES: Mapping[str, Any] = MappingProxyType({})

NEEDS: Mapping[str, Scope] = {
    "tools/list": "read", "resources/list": "read", "resources/templates/list": "read", "resources/read": "read",
    "resources/subscribe": "read", "prompts/list": "read", "prompts/get": "read", "prompts/execute": "read",
    "prompts/run": "read", "completion/complete": "read", "tasks/get": "read",
}  # fmt: skip
"""Method → the scope that it needs. ``tools/call`` and what goes on with one need the tool's; the others none."""


class Work(msgspec.Struct):
    """A request under way; ``target`` is what ``{name}`` in its route stands for.

    The second half is filled in as it goes; much of it ends up in the journal. ``then`` is done after the commit.
    """

    turn: Turn
    db: Database
    caller: str
    now_us: int
    request_id: str
    site: Site
    target: str = ""
    by_agent: bool = False
    by_client: bool = False
    scopes: Scopes = ALL
    headers: bytes = b""
    session_id: str | None = None
    revision: Revision | None = None
    capabilities: Mapping[str, Any] = NO_CAPABILITIES
    trace: str | None = None
    message_id: Id = None
    method: str | None = None
    tool: str | None = None
    stored: bool = False
    then: Callable[[StoreUnavailable | None], None] | None = None
    refusal: str | None = None  # in words: an exception would keep its frames alive, and they this
    fault: BaseException | None = None

    def refused(self, error: Error) -> None:
        """Note that the request is refused with *error*, for the journal and for who has to wait."""
        self.refusal = error.message
        if isinstance(error, RateLimited):
            self.headers = b"Retry-After: %d\r\n" % error.retry_after

    def require(self, scope: Scope, what: str) -> None:
        """Raise ``InsufficientScope`` unless the caller has the *scope* that *what* needs."""
        if scope not in self.scopes:
            self.headers = challenge(self.site.authority, f'error="insufficient_scope", scope="{scope}"')
            granted = scopes.shown(self.scopes)
            raise InsufficientScope(
                f"{what[:100]} needs the scope {scope}; this caller has {granted or 'none'}",
                {"required_scope": scope, "granted": granted},
            )

    def require_for(self, method: str, params: Mapping[str, Any]) -> None:
        """Raise ``InsufficientScope`` unless the caller may use *method*, or the tool that it calls."""
        if self.scopes is ALL:
            return
        name = params.get("name")
        if method != "tools/call":
            self.require_method(method)
        elif isinstance(name, str) and (tool := self.site.tools.get(name)) is not None:
            self.require(tool.needs, f"the tool {tool.name}")

    def require_method(self, method: str) -> None:
        """Raise ``InsufficientScope`` unless the caller may use *method*; ``call_tool`` looks at tools itself."""
        scope = NEEDS.get(method)
        if scope is not None:
            self.require(scope, method)


def challenge(authority: Authority, more: str = "") -> bytes:
    """Return the header that tells a client which token to bring (RFC 6750 section 3, RFC 9728 section 5.1)."""
    pointer = f'resource_metadata="{authority.issuer}/.well-known/oauth-protected-resource/mcp"'
    return f"WWW-Authenticate: Bearer {', '.join(filter(None, (more, pointer)))}\r\n".encode("ascii")


def authorize(work: Work, method: str, params: Mapping[str, Any]) -> None:
    """Raise ``InsufficientScope``, which is audited, unless the caller may have this done, which takes its time."""
    try:
        work.require_for(method, params)
    except Error:
        work.stored = True
        work.method, work.tool = method, str(params.get("name"))[:200]
        entry = _entry(work, "refused", params.get("arguments", {}), time.perf_counter_ns())
        work.turn.run(lambda: audit.add(work.db, entry))
        raise


def call_tool(work: Work, params: dict[str, Any]) -> bytes:
    """Run the tool that *params* (``name``, ``arguments``) name; return its result as JSON.

    Change, event and audit row are kept together or not at all; a failed call and a dry run leave the audit row alone.
    Raises ``InvalidParams`` for an unknown tool, ``ArgumentsRefused`` for arguments that do not fit, ``ToolFailed``
    when the tool says no, ``StoreUnavailable``.
    """
    name, arguments = params.get("name"), params.get("arguments", {})
    if not isinstance(name, str):
        raise InvalidParams('params "name": expected the name of a tool')
    work.tool = name
    work.stored = True
    started_ns = time.perf_counter_ns()
    try:
        tool = work.site.tools.get(name)
        if not isinstance(tool, Tool):
            raise InvalidParams(f"unknown tool {name!r}; tools/list names them")
        if work.scopes is not ALL:
            work.require(tool.needs, f"the tool {tool.name}")
        return _run(work, tool, _convert(tool, arguments), arguments, started_ns)
    except Error as error:
        entry = _entry(work, _outcome(error), arguments, started_ns)
        work.turn.run(lambda: _note(work, entry, work.site.tools.get(name)))
        raise


def _outcome(error: Error) -> str:
    if isinstance(error, ConsentRequired):
        return "input_required"
    return "refused" if isinstance(error, InvalidParams | AccessDenied) else "failed"


class ArgumentsRefused(InvalidParams):
    """The arguments do not fit the tool's schema; MCP answers with a result that the model can read and correct."""


def _convert(tool: Tool[Any, Any], arguments: object) -> Arguments:
    try:
        converted: Arguments = tool.convert(arguments)
    except InvalidParams as exc:
        raise ArgumentsRefused(f"Invalid arguments for {tool.name}: {exc.message}") from exc
    return converted


def _run(work: Work, tool: Tool[Any, Any], converted: Arguments, arguments: object, started_ns: int) -> bytes:
    call = Call(work.db, work.caller, work.now_us, work.site.claim_ttl_us)
    approved = None
    if tool.destructive and not converted.dry_run:
        asked = work.turn.run(lambda: approvals.ask_administrator(call, tool, converted, arguments))
        approved = approvals.approved(asked)

    def change() -> Result:
        if approved is not None and not stored.use(work.db, approved.id, work.now_us):
            raise ToolFailed("this consent was used meanwhile; call again")
        result: Result = tool.call(call, converted)
        if not converted.dry_run:
            _note(work, _entry(work, "ok", arguments, started_ns), tool)
        return result

    dry_run = converted.dry_run
    result = work.turn.run(change, keep=not dry_run, single=tool.read_only and not dry_run)
    if converted.dry_run:
        entry = _entry(work, "dry_run", arguments, started_ns)
        work.turn.run(lambda: _note(work, entry, tool))
    return msgspec.json.encode(result)


def _note(work: Work, entry: Entry, tool: AnyTool | None) -> None:
    """Write the audit row, and that of the access where the tool is declared sensitive."""
    audit.add(work.db, entry)
    if tool is None or not tool.is_sensitive or not work.site.logs_accesses or entry.outcome == "input_required":
        return
    what = ("tools/call", tool.name)
    note_access(
        work.db, work.now_us, work.caller, what, tool.classification, entry.outcome, work.request_id, entry.arguments
    )


def _entry(work: Work, outcome: str, arguments: object, started_ns: int) -> Entry:
    duration_us = (time.perf_counter_ns() - started_ns) // 1000
    return Entry(
        work.now_us,
        work.caller,
        work.method or "tools/call",
        work.tool,
        outcome,
        duration_us,
        work.request_id,
        work.session_id,
        arguments,
        work.trace,
    )


def fragment(value: object) -> orjson.Fragment:
    """Return *value* encoded once, to stand in many answers."""
    return orjson.Fragment(orjson.dumps(value))
