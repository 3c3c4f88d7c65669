"""Claims: which agent owns or edits which component or path, and since when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mcpd.store.database import Database

Mode = Literal["own", "edit"]
Kind = Literal["component", "path"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One live claim; ``reason`` is what the agent said, ``component`` the component that a path belongs to."""

    agent: str
    mode: Mode
    kind: Kind
    target: str
    reason: str
    component: str | None
    since_us: int


def hold(db: Database, claim: Claim, until_us: int | None) -> None:
    """Record *claim*, or keep the one that stands with its time of start; it lapses at *until_us* if given."""
    db.execute(
        "INSERT INTO claims (agent, mode, kind, target, reason, component, since_us, until_us)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (agent, mode, kind, target) DO UPDATE SET"
        # A claim that had lapsed begins anew.
        " since_us = CASE WHEN until_us <= ?7 THEN ?7 ELSE since_us END,"
        " reason = ?5, component = ?6, until_us = ?8",
        (
            claim.agent, claim.mode, claim.kind, claim.target, claim.reason,
            claim.component, claim.since_us, until_us,
        ),
    )  # fmt: skip


def release(db: Database, agent: str, kind: Kind, target: str) -> None:
    """End *agent*'s work on *target*."""
    db.execute(
        "DELETE FROM claims WHERE agent = ? AND mode = 'edit' AND kind = ? AND target = ?",
        (agent, kind, target),
    )


def release_work(db: Database, agent: str) -> None:
    """End all of *agent*'s work in progress; what it owns stays."""
    db.execute("DELETE FROM claims WHERE agent = ? AND mode = 'edit'", (agent,))


def release_component(db: Database, component: str) -> None:
    """Forget who owned *component* and the paths registered with it."""
    db.execute(
        "DELETE FROM claims WHERE mode = 'own' AND ((kind = 'component' AND target = ?1) OR component = ?1)",
        (component,),
    )


def live(db: Database, now_us: int, limit: int) -> list[Claim]:
    """Return the claims that stand at *now_us*, oldest first."""
    rows = db.rows(
        "SELECT agent, mode, kind, target, reason, component, since_us FROM claims"
        " WHERE until_us IS NULL OR until_us > ? ORDER BY since_us, id LIMIT ?",
        (now_us, limit),
    )
    return [Claim(*row) for row in rows]


def live_of_agent(db: Database, agent: str, now_us: int, limit: int) -> list[Claim]:
    """Return the claims of *agent* that stand at *now_us*, oldest first."""
    rows = db.rows(
        "SELECT agent, mode, kind, target, reason, component, since_us FROM claims"
        " WHERE agent = ? AND (until_us IS NULL OR until_us > ?) ORDER BY since_us, id LIMIT ?",
        (agent, now_us, limit),
    )
    return [Claim(*row) for row in rows]


def paths_of_component(db: Database, component: str) -> list[str]:
    """Return the paths that *component* was registered with."""
    rows = db.rows("SELECT target FROM claims WHERE mode = 'own' AND kind = 'path' AND component = ?", (component,))
    return [str(row[0]) for row in rows]
