"""Terminals: the live state of each agent, and who has its terminal open. One process writes both."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from mcpd.store import audit, events
from mcpd.store.audit import Entry
from mcpd.store.database import Database


@dataclass(frozen=True, slots=True)
class LiveState:
    """What *agent* does ``since_us``; sizes in bytes, ``cpu_us`` the processor time of all its processes so far."""

    agent: str
    state: str
    since_us: int
    pid: int | None = None
    exit_status: int | None = None
    cpu_us: int | None = None
    memory_bytes: int | None = None
    tasks: int | None = None
    io_read_bytes: int | None = None
    io_write_bytes: int | None = None
    last_line: str | None = None


@dataclass(frozen=True, slots=True)
class Viewer:
    """A terminal that *caller* has open since ``opened_us``."""

    id: str
    agent: str
    caller: str
    opened_us: int


_COLUMNS = ", ".join(field.name for field in dataclasses.fields(LiveState))
_MARKS = ", ".join("?" for _ in dataclasses.fields(LiveState))


def save(db: Database, live: LiveState, now_us: int) -> None:
    """Keep *live*; when it differs in its state from what was known, an event ``agent.state`` tells."""
    known = db.one("SELECT state FROM terminal_states WHERE agent = ?", (live.agent,))
    db.execute(
        f"INSERT OR REPLACE INTO terminal_states ({_COLUMNS}, updated_us) VALUES ({_MARKS}, ?)",  # noqa: S608
        (*dataclasses.astuple(live), now_us),
    )
    before = "absent" if known is None else known[0]
    if before != live.state:
        data = {"state": live.state, "before": before, "exit_status": live.exit_status, "last_line": live.last_line}
        events.add(db, now_us, "agent.state", live.agent, data)


def states(db: Database, limit: int = 1000) -> list[LiveState]:
    """Return what is known of each agent, by name."""
    rows = db.rows(f"SELECT {_COLUMNS} FROM terminal_states ORDER BY agent LIMIT ?", (limit,))  # noqa: S608
    return [LiveState(*row) for row in rows]


def find(db: Database, agent: str) -> LiveState | None:
    """Return what is known of *agent*, None if it never ran."""
    row = db.one(f"SELECT {_COLUMNS} FROM terminal_states WHERE agent = ?", (agent,))  # noqa: S608
    return None if row is None else LiveState(*row)


def opened(db: Database, viewer: Viewer) -> None:
    """Record that *viewer* came: row, audit and event."""
    db.execute("INSERT OR REPLACE INTO terminal_viewers VALUES (?, ?, ?, ?)", dataclasses.astuple(viewer))
    _note(db, viewer, "opened", viewer.opened_us)


def closed(db: Database, viewer: Viewer, now_us: int) -> None:
    """Record that *viewer* went, and how long it was there."""
    db.execute("DELETE FROM terminal_viewers WHERE id = ?", (viewer.id,))
    _note(db, viewer, "closed", now_us)


def viewers(db: Database, limit: int = 10_000) -> list[Viewer]:
    """Return who has a terminal open, the longest first."""
    sql = "SELECT id, agent, caller, opened_us FROM terminal_viewers ORDER BY opened_us, id LIMIT ?"
    return [Viewer(*row) for row in db.rows(sql, (limit,))]


def _note(db: Database, viewer: Viewer, what: str, now_us: int) -> None:
    duration_us = now_us - viewer.opened_us
    operation = f"terminal.{what}"
    entry = Entry(now_us, viewer.caller, operation, viewer.agent, "ok", duration_us, viewer.id, None, {})
    audit.add(db, entry)
    data: dict[str, object] = {"caller": viewer.caller, "viewer": viewer.id}
    if what == "closed":
        data["duration_us"] = duration_us
    events.add(db, now_us, operation, viewer.agent, data)
