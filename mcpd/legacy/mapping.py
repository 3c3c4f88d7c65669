"""A row of the old system → a row of ours, or why there is none. Pure.

Tables are told by name and columns by what any version of the old system called them, so every variant, and every
mixture of variants, goes the same way. Nothing is judged here twice: what a row said is kept verbatim beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Literal

import msgspec

from mcpd.legacy import timestamps, values
from mcpd.legacy.rows import Row, Torn
from mcpd.times import NEVER_US

Outcome = Literal["migrated", "kept", "set aside"]


class Fate(msgspec.Struct, frozen=True, gc=False):
    """What becomes of a row: the *values* of its row in *target*, or the *reason* why none; *notes* for the report."""

    outcome: Outcome
    reason: str | None = None
    target: str | None = None
    values: tuple[object, ...] = ()
    notes: tuple[str, ...] = ()


Mapper = Callable[[Row, tzinfo], Fate]


class _Notes:
    """What the report should say of a row, gathered while it is read; *zone* is that of local timestamps."""

    def __init__(self, row: Row, zone: tzinfo) -> None:
        self._row = row
        self._zone = zone
        self.found = ["text that is not valid in its encoding"] if any(map(_is_torn, row.values())) else []

    def time(self, *names: str) -> int | None:
        """Return the time in the first of the columns *names* that holds one."""
        for name in names:
            value = self._row.get(name)
            moment = timestamps.parse(value, self._zone)
            if moment is not None:
                return self._noted(moment)
            if value not in (None, ""):
                self.found.append(f"{name}: not a timestamp")
        return None

    def id_time(self) -> int | None:
        """Return the time in the row's id."""
        moment = timestamps.of_id(self._row.get("id"))
        return None if moment is None else self._noted(moment)

    def json(self, name: str) -> str | None:
        """Return the JSON text of the column *name*."""
        result, valid = values.json_text(self._row.get(name))
        if not valid:
            self.found.append(f"{name}: not JSON")
        return result

    def content(self, *names: str) -> dict[str, object]:
        """Return what the JSON texts of the columns *names* hold, by name; without those that are NULL."""
        result = {}
        for name in names:
            value, valid = values.parsed(self._row.get(name))
            if not valid:
                self.found.append(f"{name}: not JSON")
            if value is not None:
                result[name] = value
        return result

    def done(self, target: str, *row: object) -> Fate:
        """Return the fate of a row that becomes *row* of *target*."""
        return Fate("migrated", None, target, row, tuple(self.found))

    def _noted(self, moment: timestamps.Moment) -> int:
        self.found.append(f"time: {moment.form}")
        return moment.at_us


def fate(table: str, row: Row, zone: tzinfo) -> Fate:
    """Return what becomes of *row* of *table*, its local times being those of *zone*."""
    mapper = _MAPPERS[table][0] if table in _MAPPERS else None
    return KEPT if mapper is None else mapper(row, zone)


def target(table: str, columns: Iterable[str]) -> str | None:
    """Return our table that *table* with *columns* goes to, None if it has no counterpart and is only kept."""
    if table not in _MAPPERS:
        return None
    _, into, needed = _MAPPERS[table]
    return into if any(set(columns) >= set(names) for names in needed) else None


KEPT = Fate("kept", "mcpd has no table for it")


def _activity(row: Row, zone: tzinfo) -> Fate:
    notes = _Notes(row, zone)
    at_us = notes.time("timestamp")
    if at_us is None:
        at_us = notes.id_time()
    if at_us is None:
        return Fate("set aside", "no time: neither 'timestamp' nor 'id' holds one", notes=tuple(notes.found))
    both = row.get("details") is not None and row.get("metadata") is not None
    details = values.dump(notes.content("details", "metadata")) if both else notes.json("details")
    if details is None:
        details = notes.json("metadata")
    return notes.done(
        "activities",
        at_us,
        values.agent(_first(row, "agent", "agent_id")),
        values.text(row.get("activity")) or "",
        values.text(row.get("category")) or "info",
        values.text(row.get("status")) or "completed",
        details,
    )


def _component(row: Row, zone: tzinfo) -> Fate:
    name = values.text(row.get("name"))
    if not name:
        return Fate("set aside", "no name")
    notes = _Notes(row, zone)
    metadata = notes.content("metadata", "dependencies", "interfaces")
    inner = metadata.pop("metadata", None)
    metadata |= inner if isinstance(inner, dict) else {} if inner is None else {"metadata": inner}
    said = {column: values.text(row.get(column)) for column in ("type", "description")}
    metadata |= {column: content for column, content in said.items() if content}
    created_us = notes.time("created_at", "last_updated", "updated_at")
    updated_us = notes.time("updated_at", "last_updated", "created_at")
    return notes.done(
        "components",
        name,
        values.agent(row.get("owner")),
        values.text(row.get("status")) or "active",
        values.whole(row.get("version"), 1),
        values.dump(metadata) if metadata else None,
        NEVER_US if created_us is None else created_us,
        NEVER_US if updated_us is None else updated_us,
    )


def _decision(row: Row, zone: tzinfo) -> Fate:
    question = values.text(_first(row, "question", "decision"))
    if not question:
        return Fate("set aside", "no question: neither 'question' nor 'decision' holds text")
    notes = _Notes(row, zone)
    metadata = notes.content(
        "metadata", "options", "votes", "consensus_required", "approved_by", "confidence", "alternatives"
    )
    created_us = notes.time("created_at", "timestamp")
    status = values.text(row.get("status")) or "pending"
    return notes.done(
        "decisions",
        values.text(row.get("category")) or "general",
        question,
        values.agent(_first(row, "proposer", "proposed_by")),
        "pending" if status == "proposed" else status,
        values.dump(metadata) if metadata else None,
        NEVER_US if created_us is None else created_us,
        notes.time("resolved_at", "approved_at"),
    )


def _agent(row: Row, zone: tzinfo) -> Fate:
    name = values.agent(_first(row, "agent", "name", "id"))
    if name == values.UNKNOWN and _first(row, "agent", "name", "id") != values.UNKNOWN:
        return Fate("set aside", "no name")
    notes = _Notes(row, zone)
    metadata = notes.json("metadata")
    if metadata is None and row.get("tasks_completed") is not None:
        metadata = values.dump(notes.content("tasks_completed"))
    seen_us = notes.time("last_seen", "last_heartbeat", "updated_at")
    seen_us = NEVER_US if seen_us is None else seen_us
    created_us = notes.time("created_at")
    return notes.done(
        "agents",
        name,
        values.text(row.get("status")) or "offline",
        values.text(row.get("current_task")) or None,
        notes.json("capabilities"),
        metadata,
        seen_us if created_us is None else created_us,
        seen_us,
    )


def _conflict(row: Row, zone: tzinfo) -> Fate:
    notes = _Notes(row, zone)
    listed = notes.content("agents").get("agents")
    if listed is None:
        listed = [name for name in (row.get("agent1"), row.get("agent2")) if name is not None]
    agents = [values.agent(str(name)) for name in (listed if isinstance(listed, list) else [listed])]
    created_us = notes.time("created_at", "timestamp")
    return notes.done(
        "conflicts",
        values.dump(agents),
        values.text(row.get("component")),
        values.text(_first(row, "issue", "conflict_type")) or "",
        values.text(row.get("severity")) or "medium",
        int(row.get("resolved") not in (None, 0, "", "0")),
        values.text(row.get("resolution")),
        NEVER_US if created_us is None else created_us,
        notes.time("resolved_at"),
    )


_PRIORITIES = ((8, "critical"), (6, "high"), (3, "medium"))


def _collaboration(row: Row, zone: tzinfo) -> Fate:
    task = values.text(row.get("task"))
    if not task:
        return Fate("set aside", "no task")
    notes = _Notes(row, zone)
    created_us = notes.time("created_at")
    return notes.done(
        "collaboration_requests",
        values.agent(row.get("from_agent")),
        values.agent(row.get("to_agent")),
        task,
        _priority(row.get("priority")),
        values.text(row.get("status")) or "pending",
        NEVER_US if created_us is None else created_us,
    )


def _priority(value: object) -> str:
    """Return our word for the old system's number from 1 to 10, which was 5 unless somebody said otherwise."""
    if isinstance(value, str) and value in ("low", "medium", "high", "critical"):
        return value
    number = value if isinstance(value, int | float) else 5
    return next((word for above, word in _PRIORITIES if number > above), "low")


def _consent(row: Row, _zone: tzinfo) -> Fate:
    consent_id, subject, purpose = (values.text(row.get(name)) for name in ("id", "user_id", "purpose"))
    if not (consent_id and subject and purpose):
        return Fate("set aside", "no id, user_id or purpose")
    notes = _Notes(row, UTC)  # this part of the old system wrote UTC
    granted_us = notes.time("granted_at")
    if granted_us is None:
        return Fate("set aside", "no time: 'granted_at' holds none", notes=tuple(notes.found))
    withdrawn_us = notes.time("withdrawn_at")
    return notes.done(
        "subject_consents",
        consent_id,
        subject,
        purpose,
        granted_us,
        notes.time("expires_at"),
        withdrawn_us,
        values.text(row.get("version")) or "1.0",
        _with_metadata(notes, "ip_address"),
        max(granted_us, withdrawn_us or 0),
    )


def _processing(row: Row, _zone: tzinfo) -> Fate:
    notes = _Notes(row, UTC)
    record_id, at_us = values.text(row.get("id")), notes.time("timestamp")
    if not record_id or at_us is None:
        return Fate("set aside", "no id, or no time in 'timestamp'", notes=tuple(notes.found))
    days = row.get("retention_period")
    return notes.done(
        "processing_records",
        record_id,
        values.text(row.get("data_type")) or values.UNKNOWN,
        (values.text(row.get("classification")) or "internal").lower(),
        values.text(row.get("purpose")) or values.UNKNOWN,
        values.text(row.get("legal_basis")),
        values.text(row.get("data_subject_id")),
        days if isinstance(days, int) and 0 <= days <= _MAX_DAYS else None,
        _flag(row.get("encryption_used")),
        _flag(row.get("third_party_shared")),
        _with_metadata(notes),
        at_us,
    )


def _access(row: Row, _zone: tzinfo) -> Fate:
    notes = _Notes(row, UTC)
    access_id, at_us = values.text(row.get("id")), notes.time("timestamp")
    resource = values.text(row.get("resource_accessed")) or values.UNKNOWN
    if resource.partition("?")[0] in _PROBES:
        return Fate("set aside", "a health probe, which the old system took for an access to health information")
    if not access_id or at_us is None:
        return Fate("set aside", "no id, or no time in 'timestamp'", notes=tuple(notes.found))
    return notes.done(
        "sensitive_accesses",
        access_id,
        values.text(row.get("user_id")) or values.UNKNOWN,
        values.text(row.get("patient_id")),
        resource,
        values.text(row.get("action")) or values.UNKNOWN,
        "phi",
        values.text(row.get("reason")),
        _flag(row.get("emergency_override")) or 0,
        _with_metadata(notes),
        at_us,
    )


def _breach(row: Row, _zone: tzinfo) -> Fate:
    notes = _Notes(row, UTC)
    breach_id, detected_us = values.text(row.get("id")), notes.time("detected_at")
    if not breach_id or detected_us is None:
        return Fate("set aside", "no id, or no time in 'detected_at'", notes=tuple(notes.found))
    reported_us = notes.time("reported_at")
    told_us = reported_us if _flag(row.get("regulatory_reported")) else None
    kinds = notes.content("data_types_affected").get("data_types_affected")
    records = row.get("affected_records")
    return notes.done(
        "breaches",
        breach_id,
        detected_us,
        values.text(row.get("severity")) or values.UNKNOWN,
        records if isinstance(records, int) and records >= 0 else 0,
        values.dump(kinds if isinstance(kinds, list) else [] if kinds is None else [kinds]),
        values.text(row.get("containment_actions")),
        told_us,
        told_us,
        reported_us if _flag(row.get("notification_sent")) else None,
        _with_metadata(notes),
        max(detected_us, reported_us or 0),
    )


def _with_metadata(notes: _Notes, *others: str) -> str | None:
    """Return the metadata of a row, and what its columns *others* hold, as JSON text."""
    found = notes.content("metadata", *others)
    inner = found.pop("metadata", None)
    found |= inner if isinstance(inner, dict) else {} if inner is None else {"metadata": inner}
    return values.dump(found) if found else None


def _flag(value: object) -> int | None:
    return None if value is None else int(value not in (0, "", "0", "false"))


_MAX_DAYS = 36_500
_PROBES = frozenset(("/health", "/api/health", "/api/mcp/health"))


def _first(row: Row, *names: str) -> object:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _is_torn(value: object) -> bool:
    return isinstance(value, Torn)


_Shapes = Sequence[tuple[str, ...]]
_MAPPERS: Mapping[str, tuple[Mapper, str, _Shapes]] = {
    "activities": (_activity, "activities", [("activity",)]),
    "activity_logs": (_activity, "activities", [("activity",)]),
    "agent_states": (_agent, "agents", [("agent",)]),
    "agents": (_agent, "agents", [("name",), ("id", "status")]),
    "heartbeat": (_agent, "agents", [("agent",)]),
    "components": (_component, "components", [("name",)]),
    "decisions": (_decision, "decisions", [("decision",), ("question",)]),
    "conflicts": (_conflict, "conflicts", [("agents",), ("agent1", "agent2")]),
    "collaboration_requests": (_collaboration, "collaboration_requests", [("task",)]),
    "consent_records": (_consent, "subject_consents", [("id", "user_id", "purpose")]),
    "data_processing_records": (_processing, "processing_records", [("id", "timestamp", "data_type")]),
    "hipaa_access_logs": (_access, "sensitive_accesses", [("id", "timestamp", "resource_accessed")]),
    "breach_records": (_breach, "breaches", [("id", "detected_at")]),
}
"""Old table → its mapper, our table, and the columns of which one set must be there for it to be that table at all."""
