"""One request's work: what it may use, what is noted of it, and the running of a tool with its audit row."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec
import orjson

from mcpd.compliance.registers import note_access
from mcpd.errors import Error, InvalidParams, StoreUnavailable
from mcpd.protocol.jsonrpc import Id
from mcpd.protocol.revisions import Revision
from mcpd.server.site import Site
from mcpd.store import audit
from mcpd.store.audit import Entry
from mcpd.store.database import Database
from mcpd.store.turn import Turn
from mcpd.tools.base import Arguments, Call, Result, Tool

NO_CAPABILITIES: Mapping[str, Any] = MappingProxyType({})


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
        return _run(work, tool, _convert(tool, arguments), arguments, started_ns)
    except Error as error:
        outcome = "refused" if isinstance(error, InvalidParams) else "failed"
        entry = _entry(work, outcome, arguments, started_ns)
        work.turn.run(lambda: _note(work, entry))
        raise


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

    def change() -> Result:
        result: Result = tool.call(call, converted)
        if not converted.dry_run:
            _note(work, _entry(work, "ok", arguments, started_ns))
        return result

    dry_run = converted.dry_run
    result = work.turn.run(change, keep=not dry_run, single=tool.read_only and not dry_run)
    if converted.dry_run:
        entry = _entry(work, "dry_run", arguments, started_ns)
        work.turn.run(lambda: _note(work, entry))
    return msgspec.json.encode(result)


def _note(work: Work, entry: Entry) -> None:
    """Write the audit row, and that of the access where the tool is declared sensitive."""
    audit.add(work.db, entry)
    tool = work.site.tools.get(work.tool or "")
    if tool is not None and work.site.logs_accesses:
        what = ("tools/call", tool.name)
        note_access(
            work.db,
            work.now_us,
            work.caller,
            what,
            tool.classification,
            entry.outcome,
            work.request_id,
            entry.arguments,
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
