"""The compliance endpoints that look through the whole database: reports, exports and erasures.

They read in a thread, and change what they change in small transactions between the turns of others.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs

import msgspec
from msgspec import Meta

from mcpd.compliance import registers, reports, subjects
from mcpd.compliance.checks import Facts
from mcpd.compliance.mentions import Mentions
from mcpd.compliance.registers import Use
from mcpd.compliance.subjects import Erased
from mcpd.compliance.vault import Vault
from mcpd.errors import InvalidRequest
from mcpd.protocol.http import HttpLater, HttpRequest
from mcpd.protocol.jsonrpc import decode
from mcpd.server import rest_calls
from mcpd.server.calls import Calls
from mcpd.server.site import RestOrder
from mcpd.server.work import Work
from mcpd.store import audit, events
from mcpd.store import subjects as stored
from mcpd.store.audit import Entry
from mcpd.store.database import Row
from mcpd.store.subjects import Table
from mcpd.terminals.fleet import Fleet
from mcpd.times import rfc3339
from mcpd.tools.base import Call
from mcpd.tools.context import Context

_REPORT, _EXPORT, _ERASE = (f"/api/mcp/compliance/{name}" for name in ("report", "export", "user"))
_PAGE = 500
_PASSES = 3
"""How often the database is looked through at most, where the subject goes on meanwhile."""


class Why(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why somebody's data is erased."""

    reason: Annotated[str, Meta(max_length=1024)] | None = None


class Ticket(msgspec.Struct, frozen=True):
    """An erasure that is under way; only the memory has whose."""

    subject: str
    fingerprint: str
    reason: str | None
    caller: str
    request_id: str


class Orders:
    """The orders; *exports* is the directory of exported tables, *facts* are what reports are told of the machine."""

    def __init__(self, fleet: Fleet, facts: Facts, vault: Vault, exports: Path) -> None:
        self._fleet = fleet
        self._facts = facts
        self._vault = vault
        self._exports = exports
        self._erasing: dict[str, Ticket] = {}
        self.calls: Calls | None = None

    @property
    def orders(self) -> Mapping[str, RestOrder]:
        """What does the work, by the name of the order."""
        return {_REPORT: self._report, _EXPORT: self._export, _ERASE: self._erase}

    # What the endpoints do at once

    def report(self, http: HttpRequest, work: Work) -> HttpLater:
        """Begin a report."""
        framework = _query(http, "framework") or "gdpr"
        if framework not in reports.NAMES:
            known = ", ".join(reports.NAMES)
            raise InvalidRequest(f"Invalid framework: {framework[:80]}; expected one of {known}")
        return self._begin(_REPORT, framework, {}, work.caller, work)

    def export(self, http: HttpRequest, work: Work) -> HttpLater:
        """Begin an export of what is stored about the subject in the path, or go on with it."""
        subjects.check(work.target)
        after = _query(http, "after")
        if after is not None:
            subjects.read_place(after)
        return self._begin(_EXPORT, work.target, {"after": after}, work.caller, work)

    def erase(self, http: HttpRequest, work: Work) -> HttpLater:
        """Begin the erasure of what is stored about the subject in the path; no name of his is written down."""
        subject = work.target
        subjects.check(subject)
        try:
            reason = msgspec.convert(decode(http.body) if http.body else {}, Why).reason
        except msgspec.ValidationError as exc:
            raise InvalidRequest(f"the body: {exc}") from exc
        if subject in self._fleet.described.agents:
            advice = "it is no person; mcpctl agent remove it first"
            raise InvalidRequest(f"{subject} is an agent of this machine: {advice}", http_status=409)
        if any(ticket.subject == subject for ticket in self._erasing.values()):
            raise InvalidRequest(f"{subject} is being erased", http_status=409)
        mentions, fingerprint = Mentions(subject), self._vault.pseudonym(subject, "erasure")
        name = stored.unfinished_erasure(work.db, fingerprint) or subjects.pseudonym()
        caller = mentions.replaced(work.caller, name)
        reason = reason and mentions.replaced(reason, name)
        later = self._begin(_ERASE, name, {"reason": reason}, caller, work)
        self._erasing[name] = Ticket(subject, fingerprint, reason, caller, work.request_id)
        return later

    def _begin(self, order: str, name: str, arguments: dict[str, Any], caller: str, work: Work) -> HttpLater:
        assert self.calls is not None
        return rest_calls.begin(self.calls, work, order, {"name": name, **arguments}, caller)

    # What they do then

    async def _report(self, context: Context, arguments: dict[str, Any]) -> dict[str, Any]:
        now_us = await context.store(lambda call: call.now_us)
        return await context.snapshot(lambda db, _: reports.report(db, self._facts, arguments["name"], now_us))

    async def _export(self, context: Context, arguments: dict[str, Any]) -> dict[str, Any]:
        subject, after = arguments["name"], arguments["after"]
        place = None if after is None else subjects.read_place(after)

        def note(call: Call) -> int:
            if place is None:
                use = Use("user_data_export", "pii", "data_portability", "legal_obligation", subject)
                registers.record(call.db, call.now_us, call.caller, use)
                what = ("export", "compliance/export")
                said = {"subject": subject, "reason": "data portability"}
                registers.note_access(call.db, call.now_us, call.caller, what, "pii", "ok", context.request_id, said)
            return call.now_us

        now_us = await context.store(note)
        page = await context.snapshot(lambda db, _: subjects.export(db, subject, place, _PAGE))
        empty: dict[str, Any] = {name: [] for name in ("consents", "processing_records", "access_logs")}
        return {
            "user_id": subject,
            "export_date": rfc3339(now_us),
            "data": empty | page.rows,
            "next": None if page.place is None else subjects.write_place(page.place),
        }

    async def _erase(self, context: Context, arguments: dict[str, Any]) -> dict[str, Any]:
        name = arguments["name"]
        ticket = self._erasing[name]
        try:
            return await self._erased(context, name, ticket)
        finally:
            del self._erasing[name]

    async def _erased(self, context: Context, name: str, ticket: Ticket) -> dict[str, Any]:
        mentions, total = Mentions(ticket.subject), Erased()

        def begin(call: Call) -> None:
            stored.begin_erasure(call.db, name, ticket.fingerprint, call.now_us, ticket.caller, ticket.reason)
            call.event("compliance.erasure_begun", None, {"id": name, "caller": ticket.caller})

        await context.store(begin)
        tables = await context.snapshot(lambda db, _: stored.tables(db))
        for _ in range(_PASSES):
            passed = Erased()
            for table in tables:
                passed.add(await self._erase_table(context, table, mentions, name, ticket))
            total.add(passed)
            if passed == Erased():
                break
        files = await context.in_thread(lambda _: subjects.erase_files(self._exports, mentions))
        rows = total.as_json() | {"files": files}

        def finish(call: Call) -> None:
            stored.finish_erasure(call.db, name, call.now_us, rows)
            call.event("compliance.erased", None, {"id": name, "rows": rows, "caller": ticket.caller})

        await context.store(finish)
        return {"success": True, "erasure_id": name, **rows, "kept": _kept(self._facts)}

    async def _erase_table(
        self, context: Context, table: Table, mentions: Mentions, name: str, ticket: Ticket
    ) -> Erased:
        done, after, is_end = Erased(), None, False
        while not is_end:
            keys, after = await self._find(context, table, mentions, after)
            is_end = after is None
            for start in range(0, len(keys), subjects.BATCH):
                change = partial(_change, table, keys[start : start + subjects.BATCH], mentions, name, ticket)
                done.add(await context.store(change))
        return done

    async def _find(
        self, context: Context, table: Table, mentions: Mentions, after: Row | None
    ) -> tuple[list[Row], Row | None]:
        return await context.snapshot(lambda db, _: subjects.named(db, table, mentions, after))


def _change(table: Table, keys: list[Row], mentions: Mentions, name: str, ticket: Ticket, call: Call) -> Erased:
    """Erase some rows, with the audit record and the event of that."""
    done = subjects.erase(call.db, table, keys, mentions, name)
    data = {"id": name, **done.as_json()}
    events.add(call.db, call.now_us, "compliance.rows_erased", None, data)
    entry = Entry(
        call.now_us, ticket.caller, "compliance/erase", name, "ok", 0, ticket.request_id, None,
        done.as_json() | {"reason": ticket.reason},
    )  # fmt: skip
    audit.add(call.db, entry)
    return done


def _kept(facts: Facts) -> list[dict[str, str]]:
    """Return what still holds the name, or the rows without it, and why."""
    return [
        {
            "what": "audit, accesses, activities and events, with an id in the place of the name",
            "why": "they are the record of what happened on this machine, which security and HIPAA ask for",
        },
        {"what": "that there was an erasure", "why": "to show that it was done (GDPR article 5(2))"},
        {
            "what": f"backups in {facts.backup_directory}",
            "why": "a backup is never changed; it goes with its time. After a restore, erase again",
        },
        {
            "what": "the journal, recordings of terminals, snapshots of databases that were migrated",
            "why": "they are no part of the database; journald.conf(5) and mcpd.toml(5) say when they go",
        },
    ]


def _query(http: HttpRequest, name: str) -> str | None:
    try:
        values = parse_qs(http.query, max_num_fields=50).get(name)
    except ValueError as exc:
        raise InvalidRequest(f"the query is malformed: {exc}") from exc
    return values[-1] if values else None
