"""What agents' hooks said last."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from mcpd.store.database import Database


@dataclass(frozen=True, slots=True)
class HookState:
    """What an agent does, by its hooks, since when; the client's ``session`` and the ``directory`` it works in."""

    agent: str
    state: str
    session: str | None
    directory: str | None
    since_us: int
    updated_us: int


def find(db: Database, agent: str) -> HookState | None:
    """Return what the hooks of *agent* said last, None if they never said anything."""
    row = db.one(
        "SELECT agent, state, session, directory, since_us, updated_us FROM hook_states WHERE agent = ?", (agent,)
    )
    return None if row is None else HookState(*row)


def states(db: Database, limit: int = 1000) -> list[HookState]:
    """Return what the hooks of each agent said last, the newest first."""
    columns = ", ".join(field.name for field in dataclasses.fields(HookState))
    sql = f"SELECT {columns} FROM hook_states ORDER BY updated_us DESC LIMIT ?"  # noqa: S608 - our own column names
    return [HookState(*row) for row in db.rows(sql, (limit,))]


def put(db: Database, now_us: int, agent: str, state: str, session: str | None, directory: str | None) -> None:
    """Note what *agent* does; the time since when stays while the state does."""
    db.execute(
        "INSERT INTO hook_states (agent, state, session, directory, since_us, updated_us)"
        " VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (agent) DO UPDATE SET"
        " since_us = CASE WHEN state = ?2 THEN since_us ELSE ?5 END,"
        " state = ?2, session = coalesce(?3, session), directory = coalesce(?4, directory), updated_us = ?5",
        (agent, state, session, directory, now_us),
    )
