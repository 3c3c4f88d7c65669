"""Claims: which agent owns or edits which component or path, and since when. Each change is an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mcpd.store import events
from mcpd.store.database import Database, Row

Mode = Literal["own", "edit"]
Kind = Literal["component", "path"]
Target = tuple[Kind, str]
_ENDED = "RETURNING agent, mode, kind, target"


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


def take(db: Database, now_us: int, taken: Sequence[Claim], until_us: int | None) -> None:
    """Record *taken*, of one agent and mode, until *until_us* if given; those that are new are an event."""
    new = [claim for claim in taken if _hold(db, claim, until_us)]
    _tell_taken(db, now_us, new, until_us)


def release(db: Database, now_us: int, agent: str, targets: Sequence[Target]) -> None:
    """End *agent*'s work on *targets*."""
    ended: list[Row] = []
    for kind, target in targets:
        ended += db.rows(
            f"DELETE FROM claims WHERE agent = ? AND mode = 'edit' AND kind = ? AND target = ? {_ENDED}",  # noqa: S608
            (agent, kind, target),
        )
    _tell_released(db, now_us, ended, "done")


def release_work(db: Database, now_us: int, agent: str) -> None:
    """End all of *agent*'s work in progress, since it goes; what it owns stays."""
    ended = db.rows(f"DELETE FROM claims WHERE agent = ? AND mode = 'edit' {_ENDED}", (agent,))  # noqa: S608
    _tell_released(db, now_us, ended, "offline")


def own(db: Database, now_us: int, component: str, owner: str | None, paths: Sequence[str]) -> None:
    """Have *owner*, nobody if None, own *component* and *paths*, instead of who owned it and what belonged to it."""
    held: list[Claim] = []
    if owner is not None:
        reason = f"owns component {component}"
        held = [Claim(owner, "own", "component", component, reason, None, now_us)]
        held += [Claim(owner, "own", "path", path, reason, component, now_us) for path in paths]
    kept = {(claim.agent, claim.mode, claim.kind, claim.target) for claim in held}
    before = db.rows(
        "SELECT agent, mode, kind, target FROM claims"
        " WHERE mode = 'own' AND ((kind = 'component' AND target = ?1) OR component = ?1)",
        (component,),
    )
    ended = [row for row in before if row not in kept]
    for row in ended:
        db.execute("DELETE FROM claims WHERE agent = ? AND mode = ? AND kind = ? AND target = ?", row)
    _tell_released(db, now_us, ended, "registered")
    take(db, now_us, held, None)


def lapse(db: Database, now_us: int, limit: int) -> int:
    """Remove *limit* claims whose time was up by *now_us*; return how many."""
    old = "SELECT id FROM claims WHERE until_us <= ? LIMIT ?"
    ended = db.rows(f"DELETE FROM claims WHERE id IN ({old}) {_ENDED}", (now_us, limit))  # noqa: S608
    _tell_released(db, now_us, ended, "lapsed")
    return len(ended)


def _hold(db: Database, claim: Claim, until_us: int | None) -> bool:
    """Record *claim*, or keep the one that stands with its time of start; return whether none stood."""
    known = db.one(
        "SELECT until_us FROM claims WHERE agent = ? AND mode = ? AND kind = ? AND target = ?",
        (claim.agent, claim.mode, claim.kind, claim.target),
    )
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
    return known is None or (known[0] is not None and known[0] <= claim.since_us)


def _tell_taken(db: Database, now_us: int, new: Sequence[Claim], until_us: int | None) -> None:
    if new:
        targets = [{"kind": claim.kind, "target": claim.target} for claim in new]
        data = {"mode": new[0].mode, "targets": targets, "reason": new[0].reason, "until_us": until_us}
        events.add(db, now_us, "claim.taken", new[0].agent, data)


def _tell_released(db: Database, now_us: int, ended: Sequence[Row], cause: str) -> None:
    """Tell of *ended* (agent, mode, kind, target), an event for each agent and mode."""
    for agent, mode in dict.fromkeys((row[0], row[1]) for row in ended):
        targets = [{"kind": row[2], "target": row[3]} for row in ended if (row[0], row[1]) == (agent, mode)]
        events.add(db, now_us, "claim.released", agent, {"mode": mode, "targets": targets, "cause": cause})


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
