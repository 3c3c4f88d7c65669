"""Requests that wait for a person's consent: good for one caller, tool and arguments, for half an hour, and once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mcpd.store.database import Database

TTL_US = 1_800_000_000
KEPT_US = 30 * 86_400_000_000
"""How long one is remembered after it was asked for; what came of it is in the audit too."""

Via = Literal["elicitation", "administrator"]
State = Literal["pending", "approved", "denied", "used"]
_COLUMNS = (
    "id, caller, tool, digest, via, question, arguments, state, created_us, expires_us, decided_us, decided_by, reason"
)
_FORGET_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Approval:
    """One request for approval.

    ``digest`` tells the arguments from others, ``arguments`` is their JSON text; times are µs since the epoch.
    """

    id: str
    caller: str
    tool: str
    digest: str
    via: Via
    question: str
    arguments: str
    state: State
    created_us: int
    expires_us: int
    decided_us: int | None = None
    decided_by: str | None = None
    reason: str | None = None

    def is_open(self, now_us: int) -> bool:
        """Say whether it can be decided."""
        return self.state == "pending" and self.expires_us > now_us


def find(db: Database, approval_id: str) -> Approval | None:
    """Return the request *approval_id*, None if there is none."""
    row = db.one(f"SELECT {_COLUMNS} FROM approvals WHERE id = ?", (approval_id,))  # noqa: S608 - our own column names
    return None if row is None else Approval(*row)


def find_last(db: Database, caller: str, tool: str, digest: str, via: Via, now_us: int) -> Approval | None:
    """Return the request of *caller* to use *tool* with these arguments that waits, or was decided and is not spent.

    The person at a client may be asked again at once; what an administrator denied stays denied until it expires.
    """
    row = db.one(
        f"SELECT {_COLUMNS} FROM approvals WHERE caller = ? AND tool = ? AND digest = ? AND via = ?"  # noqa: S608
        " AND (state IN ('pending', 'approved') OR (state = 'denied' AND via = 'administrator')) AND expires_us > ?"
        " ORDER BY created_us DESC LIMIT 1",
        (caller, tool, digest, via, now_us),
    )
    return None if row is None else Approval(*row)


def count_open(db: Database, caller: str, now_us: int) -> int:
    """Return how many requests of *caller* wait."""
    query = "SELECT count(*) FROM approvals WHERE caller = ? AND state = 'pending' AND expires_us > ?"
    return int(db.value(query, (caller, now_us)))


def count_waiting(db: Database, now_us: int) -> int:
    """Return how many requests wait for an administrator."""
    query = "SELECT count(*) FROM approvals WHERE via = 'administrator' AND state = 'pending' AND expires_us > ?"
    return int(db.value(query, (now_us,)))


def add(db: Database, approval: Approval) -> None:
    """Keep a new request, and forget some that are long over."""
    db.execute(
        "DELETE FROM approvals WHERE id IN (SELECT id FROM approvals WHERE created_us < ? LIMIT ?)",
        (approval.created_us - KEPT_US, _FORGET_AT_ONCE),
    )
    db.execute(
        f"INSERT INTO approvals ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        (
            approval.id, approval.caller, approval.tool, approval.digest, approval.via, approval.question,
            approval.arguments, approval.state, approval.created_us, approval.expires_us, approval.decided_us,
            approval.decided_by, approval.reason,
        ),
    )  # fmt: skip


def decide(db: Database, approval_id: str, state: State, who: str, reason: str | None, now_us: int) -> bool:
    """Take *who*'s decision on a request that waits; say whether it did."""
    rows = db.rows(
        "UPDATE approvals SET state = ?1, decided_by = ?2, reason = ?3, decided_us = ?5"
        " WHERE id = ?4 AND state = 'pending' AND expires_us > ?5 RETURNING id",
        (state, who, reason, approval_id, now_us),
    )
    return bool(rows)


def use(db: Database, approval_id: str, now_us: int) -> bool:
    """Take the approval *approval_id*, which is then spent; say whether it was there."""
    rows = db.rows(
        "UPDATE approvals SET state = 'used' WHERE id = ? AND state = 'approved' AND expires_us > ? RETURNING id",
        (approval_id, now_us),
    )
    return bool(rows)


def newest(db: Database, caller: str | None, limit: int) -> list[Approval]:
    """Return *limit* requests, those of *caller* alone if given, newest first."""
    where, given = ("", ()) if caller is None else ("WHERE caller = ?", (caller,))
    query = f"SELECT {_COLUMNS} FROM approvals {where} ORDER BY created_us DESC, id LIMIT ?"  # noqa: S608
    return [Approval(*row) for row in db.rows(query, (*given, limit))]
