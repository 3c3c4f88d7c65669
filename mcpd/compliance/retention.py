"""Data whose time is over is deleted: not by a promise, but by ``enforce``, which a timer or an operator runs."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import Any

from mcpd.compliance.classes import LABELS
from mcpd.store import audit, events, retention
from mcpd.store.audit import Entry
from mcpd.store.database import Database, store_errors
from mcpd.store.retention import DAY_US, OWN
from mcpd.times import rfc3339, stated

BATCH = 500
PAUSE_S = 0.01


def enforce(
    db: Database,
    now_us: int,
    *,
    caller: str = "mcpd",
    dry_run: bool = False,
    batch: int = BATCH,
    pause_s: float = PAUSE_S,
    stopped: Callable[[], bool] = lambda: False,
) -> dict[str, int]:
    """Delete what the rules say at *now_us*; return how many rows of each type went, or with *dry_run* would go.

    *batch* rows go in a transaction, with its audit record and event, and behind each is a pause, so that nobody waits
    long for the database; *db* must not be in a transaction. *stopped* says that it shall end early; the next run goes
    on. Raises ``StoreUnavailable``.
    """
    deleted: dict[str, int] = {}
    run_id = f"retention-{secrets.token_hex(4)}"
    with store_errors():
        for data_type, before_us in _limits(db, now_us):
            if dry_run:
                deleted[data_type] = retention.count_due(db, data_type, before_us)
                continue
            deleted[data_type] = 0
            while not stopped() and (numbers := retention.due(db, data_type, before_us, batch)):
                deleted[data_type] += _delete(db, now_us, caller, run_id, (data_type, before_us), numbers)
                time.sleep(pause_s)
    if not dry_run and not stopped():
        with db.transaction():
            retention.add_run(db, now_us, deleted)
            events.add(db, now_us, "retention.enforced", None, {"rows": deleted, "caller": caller})
            _audit(db, now_us, caller, run_id, None, {"rows": deleted})
    return deleted


def _delete(db: Database, now_us: int, caller: str, run_id: str, rule: tuple[str, int], numbers: list[int]) -> int:
    data_type, before_us = rule
    with db.transaction():
        gone = retention.delete(db, data_type, before_us, numbers)
        data = {"data_type": data_type, "rows": gone, "before": rfc3339(max(0, before_us))}
        events.add(db, now_us, "retention.deleted", None, data)
        _audit(db, now_us, caller, run_id, data_type, data)
    return gone


def _audit(db: Database, now_us: int, caller: str, run_id: str, resource: str | None, details: object) -> None:
    audit.add(db, Entry(now_us, caller, "compliance/retention", resource, "ok", 0, run_id, None, details))


def _limits(db: Database, now_us: int) -> list[tuple[str, int]]:
    """Return the types of data that go, each with the moment before which; records have their own word first."""
    rules = [(rule.data_type, now_us - rule.days * DAY_US) for rule in retention.rules(db) if rule.days]
    return [(OWN, now_us), *rules]


def count_due(db: Database, now_us: int) -> int:
    """Return how many rows should be gone by now."""
    return sum(retention.count_due(db, data_type, before_us) for data_type, before_us in _limits(db, now_us))


def policies(db: Database) -> list[dict[str, Any]]:
    """Return the rules as clients see them."""
    return [
        {
            "type": LABELS.get(rule.data_type, rule.data_type),
            "retention_days": rule.days,
            "classification": rule.classification,
            "deletion_method": "delete" if rule.days else None,
            "legal_requirement": rule.reason,
            "updated_at": rfc3339(rule.updated_us),
        }
        for rule in retention.rules(db)
    ]


def set_days(db: Database, now_us: int, caller: str, data_type: str, days: int) -> bool:
    """Set how many days data of *data_type* is kept, 0 for ever; return False if there is no such type."""
    if not retention.set_days(db, data_type.lower(), days, now_us):
        return False
    data = {"data_type": data_type.lower(), "days": days, "caller": caller}
    events.add(db, now_us, "retention.changed", None, data)
    return True


def enforced_at(db: Database) -> str | None:
    """Return when the rules were last enforced."""
    return stated(retention.last_run_us(db))
