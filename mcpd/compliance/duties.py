"""What is due by itself: data whose time is over goes, and authorities that should know of a breach are named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mcpd.compliance import breaches, retention
from mcpd.store.database import Database, store_errors

_BUSY_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Done:
    """How many rows of each type of data were deleted, and of how many breaches an authority should know by now."""

    rows: Mapping[str, int]
    overdue: int


def perform(path: str, now_us: int) -> Done:
    """Do what is due at *now_us* in the database at *path*; raises ``StoreUnavailable``."""
    with store_errors():
        db = Database(path, busy_timeout_s=_BUSY_TIMEOUT_S)
        try:
            return Done(retention.enforce(db, now_us), breaches.remind(db, now_us))
        finally:
            db.close()


def summary(done: Done) -> str:
    """Return *done* in words."""
    gone = ", ".join(f"{number} of {name.replace('_', ' ')}" for name, number in done.rows.items() if number)
    overdue = f"; of {done.overdue} breaches an authority should know by now" if done.overdue else ""
    return f"rules of retention deleted {gone or 'nothing'}{overdue}"
