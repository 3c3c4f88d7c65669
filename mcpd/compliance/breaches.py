"""Breaches: recorded, with the time until which an authority must be told, and followed until they are closed."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
import orjson
from msgspec import Meta

from mcpd.errors import InvalidRequest
from mcpd.store import audit, breaches, events
from mcpd.store.audit import Entry
from mcpd.store.breaches import Breach, Told
from mcpd.store.database import Database
from mcpd.times import rfc3339, stated

Severity = Literal["low", "medium", "high", "critical"]
_Words = Annotated[str, Meta(min_length=1, max_length=4096)]
_HOUR_US = 3_600_000_000
_GRACE_US = 60_000_000  # between the clock of who reports and ours


@dataclass(frozen=True, slots=True)
class Duty:
    """Whom a law has told of a breach, within how many *hours* of its discovery, and when it asks for that."""

    told: Told
    regulation: str
    authority: str
    hours: int
    applies: str


DUTIES = (
    Duty("gdpr", "GDPR", "Data Protection Authority", 72, "where it puts people in the EU at risk (article 33)"),
    Duty(
        "hipaa", "HIPAA", "HHS Office for Civil Rights", 60 * 24,
        "where it is health information, of 500 people or more; of fewer, within 60 days of the year's end (164.408)",
    ),
)  # fmt: skip
"""What follows from a breach of high or critical severity."""


class Report(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A breach to be recorded, detected now unless *detected_at* (RFC 3339) says otherwise."""

    severity: Severity
    affected_records: Annotated[int, Meta(ge=0, le=1 << 53)]
    data_types: Annotated[list[Annotated[str, Meta(min_length=1, max_length=256)]], Meta(min_length=1, max_length=100)]
    description: _Words | None = None
    detected_at: datetime | None = None


class Progress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of a breach: who was told now, what was done about it, and whether that is all."""

    told: Told | None = None
    containment: _Words | None = None
    closed: bool | None = None


def record(db: Database, now_us: int, caller: str, report: Report) -> Breach:
    """Record the breach; raises ``InvalidRequest`` for a time without offset or to come."""
    detected_us = now_us if report.detected_at is None else _moment(report.detected_at, now_us)
    breach = Breach(
        f"breach_{secrets.token_hex(16)}", detected_us, report.severity, report.affected_records,
        orjson.dumps(report.data_types).decode(), report.description, None, None, None, None, None, None, caller, None,
        now_us,
    )  # fmt: skip
    breaches.add(db, breach)
    data = {"id": breach.id, "severity": breach.severity, "caller": caller, "deadlines": deadlines(breach, now_us)}
    events.add(db, now_us, "compliance.breach_recorded", None, data)
    return breach


def follow(db: Database, now_us: int, caller: str, breach_id: str, progress: Progress) -> Breach:
    """Write down the *progress* of a breach; raises ``InvalidRequest``, 404 where there is none."""
    breach = breaches.find(db, breach_id)
    if breach is None:
        raise InvalidRequest(f"there is no breach {breach_id[:80]!r}", http_status=404)
    if progress == Progress():
        raise InvalidRequest("expected one of told, containment and closed")
    if progress.closed is False:
        raise InvalidRequest("closed: expected true; a breach that is closed stays so")
    changes: dict[str, Any] = {"changed_us": now_us}
    if progress.told is not None and getattr(breach, f"{progress.told}_told_us") is None:
        changes[f"{progress.told}_told_us"] = now_us
    if progress.containment is not None:
        changes["containment"] = progress.containment
    if progress.closed and breach.closed_us is None:
        changes["closed_us"] = now_us
    breach = breach._replace(**changes)
    breaches.update(db, breach)
    data = {"id": breach_id, "caller": caller, "told": progress.told, "closed": breach.closed_us is not None}
    events.add(db, now_us, "compliance.breach_changed", None, data)
    return breach


def deadlines(breach: Breach, now_us: int) -> list[dict[str, Any]]:
    """Return whom to tell of *breach* until when, none if it is of low or medium severity."""
    if breach.severity not in ("high", "critical"):
        return []
    found = []
    for duty in DUTIES:
        due_us = breach.detected_us + duty.hours * _HOUR_US
        told_us: int | None = getattr(breach, f"{duty.told}_told_us")
        found.append(
            {
                "regulation": duty.regulation,
                "authority": duty.authority,
                "deadline_hours": duty.hours,
                "due": rfc3339(due_us),
                "applies": duty.applies,
                "told": stated(told_us),
                "overdue": told_us is None and due_us < now_us,
            }
        )
    return found


def remind(db: Database, now_us: int, caller: str = "mcpd") -> int:
    """Tell by an event, once each, of which breaches an authority should know by now; return of how many.

    *db* must not be in a transaction.
    """
    with db.transaction():
        found = [breach for breach in breaches.untold(db) if breach.reminded_us is None and _is_overdue(breach, now_us)]
        for breach in found:
            breaches.update(db, breach._replace(reminded_us=now_us))
            data = {"id": breach.id, "severity": breach.severity, "deadlines": deadlines(breach, now_us)}
            events.add(db, now_us, "compliance.breach_overdue", None, data)
            run_id = f"overdue-{breach.id}"
            audit.add(db, Entry(now_us, caller, "compliance/breach.remind", breach.id, "ok", 0, run_id, None, data))
    return len(found)


def _is_overdue(breach: Breach, now_us: int) -> bool:
    return any(due["overdue"] for due in deadlines(breach, now_us))


def count_overdue(db: Database, now_us: int, regulation: str) -> int:
    """Return of how many breaches the authority of *regulation* should have been told by now, and was not."""
    due = (entry for breach in breaches.untold(db) for entry in deadlines(breach, now_us))
    return sum(entry["overdue"] for entry in due if entry["regulation"] == regulation)


def shown(breach: Breach, now_us: int) -> dict[str, Any]:
    """Return *breach* as clients see it."""
    return {
        "id": breach.id,
        "detected_at": rfc3339(breach.detected_us),
        "severity": breach.severity,
        "affected_records": breach.affected_records,
        "data_types": orjson.loads(breach.data_types),
        "description": breach.description,
        "containment": breach.containment,
        "subjects_told": stated(breach.subjects_told_us),
        "closed": stated(breach.closed_us),
        "deadlines": deadlines(breach, now_us),
        "recorded_by": breach.recorded_by,
    }


def _moment(detected: datetime, now_us: int) -> int:
    if detected.tzinfo is None:
        raise InvalidRequest("detected_at: expected a time with its offset, as in 2026-07-28T12:00:00Z")
    at_us = int(detected.timestamp() * 1_000_000)
    if not 0 <= at_us <= now_us + _GRACE_US:
        raise InvalidRequest("detected_at: expected a time that has come")
    return at_us
