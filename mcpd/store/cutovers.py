"""The switches between mcpd and the system before it, and the baselines that they are judged by."""

from __future__ import annotations

from dataclasses import dataclass

from mcpd.store.database import Database

_SELECT = (
    "SELECT id, direction, state, started_us, watch_until_us, finished_us, outage_us, reason, sessions FROM cutovers"
)


@dataclass(frozen=True, slots=True)
class Cutover:
    """One switch: ``direction`` is cutover, rollback or forward; ``outage_us`` how long the port refused callers.

    ``sessions`` is what became of the old system's, a list as JSON; None where nobody looked.
    """

    id: int
    direction: str
    state: str
    started_us: int
    watch_until_us: int | None = None
    finished_us: int | None = None
    outage_us: int | None = None
    reason: str | None = None
    sessions: str | None = None


@dataclass(frozen=True, slots=True)
class Baseline:
    """How long a number of requests took that ``server`` (legacy or mcpd) answered."""

    at_us: int
    server: str
    requests: int
    p50_us: int
    p95_us: int
    max_us: int


def begin(db: Database, direction: str, now_us: int) -> int:
    """Add a switch that begins; return its id."""
    query = "INSERT INTO cutovers (direction, state, started_us) VALUES (?, 'switching', ?) RETURNING id"
    return int(db.value(query, (direction, now_us)))


def change(
    db: Database,
    number: int,
    state: str,
    *,
    watch_until_us: int | None = None,
    finished_us: int | None = None,
    outage_us: int | None = None,
    reason: str | None = None,
) -> None:
    """Note the *state* of the switch *number*, and what else is given."""
    db.execute(
        "UPDATE cutovers SET state = ?, watch_until_us = coalesce(?, watch_until_us),"
        " finished_us = coalesce(?, finished_us), outage_us = coalesce(?, outage_us), reason = coalesce(?, reason)"
        " WHERE id = ?",
        (state, watch_until_us, finished_us, outage_us, reason, number),
    )


def keep(db: Database, switch: Cutover) -> int:
    """Note *switch*, of which *db* has an earlier state or nothing; return its id here."""
    found = db.one(
        "SELECT id FROM cutovers WHERE direction = ? AND started_us = ?", (switch.direction, switch.started_us)
    )
    number = begin(db, switch.direction, switch.started_us) if found is None else int(found[0])
    change(
        db,
        number,
        switch.state,
        watch_until_us=switch.watch_until_us,
        finished_us=switch.finished_us,
        outage_us=switch.outage_us,
        reason=switch.reason,
    )
    return number


def keep_sessions(db: Database, number: int, sessions: str) -> None:
    """Note what became of the *sessions* (JSON) that the switch *number* found."""
    db.execute("UPDATE cutovers SET sessions = ? WHERE id = ?", (sessions, number))


def newest(db: Database, limit: int) -> list[Cutover]:
    """Return the last *limit* switches, newest first."""
    return [Cutover(*row) for row in db.rows(f"{_SELECT} ORDER BY id DESC LIMIT ?", (limit,))]


def supersede(db: Database, number: int, now_us: int) -> list[int]:
    """End the watch of every switch before *number*; return which were watched."""
    query = (
        "UPDATE cutovers SET state = 'superseded', finished_us = ?, reason = 'by switch ' || ?"
        " WHERE state = 'watching' AND id < ? RETURNING id"
    )
    return [int(row[0]) for row in db.rows(query, (now_us, number, number))]


def add_baseline(db: Database, baseline: Baseline) -> None:
    """Keep *baseline*."""
    b = baseline
    db.execute(
        "INSERT INTO baselines (at_us, server, requests, p50_us, p95_us, max_us) VALUES (?, ?, ?, ?, ?, ?)",
        (b.at_us, b.server, b.requests, b.p50_us, b.p95_us, b.max_us),
    )


def baseline(db: Database, server: str) -> Baseline | None:
    """Return the newest baseline of *server*, None if there is none."""
    query = "SELECT at_us, server, requests, p50_us, p95_us, max_us FROM baselines WHERE server = ?"
    row = db.one(f"{query} ORDER BY id DESC LIMIT 1", (server,))
    return None if row is None else Baseline(*row)


def snapshot_of(db: Database, path: str) -> tuple[str, str] | None:
    """Return file and SHA-256 of the newest snapshot of the old database *path* that a migration kept."""
    row = db.one("SELECT snapshot, sha256 FROM migration_sources WHERE path = ? ORDER BY id DESC LIMIT 1", (path,))
    return None if row is None else (str(row[0]), str(row[1]))


def digest_of(db: Database, snapshot: str) -> str | None:
    """Return the SHA-256 that the *snapshot* of a migration had when it was made; None for a file of other origin."""
    row = db.one("SELECT sha256 FROM migration_sources WHERE snapshot = ? ORDER BY id DESC LIMIT 1", (snapshot,))
    return None if row is None else str(row[0])
