"""What is kept of the agents' work as the old system's REST clients read it, with the names of all its versions."""

from __future__ import annotations

from typing import Any

import orjson
from msgspec import UNSET

from mcpd.store import activities, audit, claims, components, conflicts
from mcpd.store.database import Database
from mcpd.times import rfc3339, stated
from mcpd.tools import conflicts as meetings
from mcpd.tools.claims import MAX_CLAIMS
from mcpd.tools.conflicts import Conflict

Item = dict[str, Any]

_GATHERED = ("type", "description", "dependencies", "interfaces")
"""What components of the old system had of their own; kept in the metadata."""


def activity_items(
    db: Database, agent: str | None, category: str | None, limit: int, offset: int
) -> tuple[list[Item], int]:
    """Return activities, newest first, and how many there are."""
    rows, total = activities.page(db, agent, category, limit, offset)
    return [_activity(*row) for row in rows], total


def _activity(
    number: int, agent: str, at_us: int, activity: str, category: str, status: str, details: str | None
) -> Item:
    return {
        "id": number,
        "timestamp": rfc3339(at_us),
        "agent": agent,
        "activity": activity,
        "action": activity,
        "category": category,
        "type": category,
        "status": status,
        "details": _json(details),
    }


def component_items(db: Database, limit: int) -> list[Item]:
    """Return the components by name; an id is a name."""
    return [
        {
            "id": component.name,
            "name": component.name,
            "owner": component.owner,
            "status": component.status,
            "version": component.version,
            **{name: metadata.get(name) for name in _GATHERED},
            "metadata": metadata or None,
            "created_at": stated(component.created_us),
            "updated_at": stated(component.updated_us),
            "last_updated": stated(component.updated_us),
        }
        for component in components.listing(db, limit)
        for metadata in [_object(component.metadata)]
    ]


def conflict_items(db: Database, now_us: int, limit: int) -> list[Item]:
    """Return the conflicts of the claims that stand, and then those recorded before and not resolved."""
    found = [_met(conflict) for conflict in _standing(db, now_us)]
    for recorded in conflicts.unresolved(db, limit):
        agents = _json(recorded.agents)
        shown = _conflict(recorded.id, agents, recorded.component, "recorded", recorded.severity, recorded.issue)
        found.append(shown | {"created_at": stated(recorded.created_us), "resolution": recorded.resolution})
    return found[:limit]


def count_conflicts(db: Database, now_us: int) -> int:
    """Return how many ``conflict_items`` there are, claims counted up to ``MAX_CONFLICTS``."""
    return len(_standing(db, now_us)) + conflicts.count_unresolved(db)


def _standing(db: Database, now_us: int) -> list[Conflict]:
    standing = claims.live(db, now_us, MAX_CLAIMS)
    return meetings.between(standing, {claim.agent for claim in standing})


def _met(conflict: Conflict) -> Item:
    holders = conflict.holders
    component = conflict.target if conflict.kind == "component" else None
    issue = f"{' and '.join(holder.agent for holder in holders)} hold {conflict.kind} {conflict.target}"
    kind = "ownership" if any(holder.mode == "own" for holder in holders) else "edit"
    shown = _conflict(None, [holder.agent for holder in holders], component, kind, "high", issue)
    known = [holder.since for holder in holders if holder.since is not UNSET]
    return shown | {"created_at": max(known, default=None), "resolution": None}


def _conflict(number: int | None, agents: Any, component: str | None, kind: str, severity: str, issue: str) -> Item:
    named = agents if isinstance(agents, list) else []
    return {
        "id": number,
        "agents": named,
        "agent1": named[0] if named else None,
        "agent2": named[1] if len(named) > 1 else None,
        "component": component,
        "conflict_type": kind,
        "severity": severity,
        "issue": issue,
        "resolved": False,
        "resolved_at": None,
    }


def audit_items(db: Database, session_id: str | None, limit: int, offset: int) -> list[Item]:
    """Return audit records, newest first."""
    return [_record(*row) for row in audit.newest(db, session_id, limit, offset)]


def _record(
    number: int, at_us: int, session_id: str | None, caller: str, operation: str, resource: str | None, outcome: str,
    request_id: str, details: str | None,
) -> Item:  # fmt: skip
    return {
        "id": number,
        "timestamp": rfc3339(at_us),
        "session_id": session_id,
        "user_id": caller,
        "operation": operation,
        "resource": resource,
        "result": outcome,
        "ip_address": None,  # callers are users of this machine
        "request_id": request_id,
        "details": _json(details),
    }


def _json(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


def _object(text: str | None) -> dict[str, Any]:
    value = _json(text)
    return value if isinstance(value, dict) else {}
