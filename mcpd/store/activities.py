"""Activities: what agents said that they do, newest last."""

from __future__ import annotations

from mcpd.store.database import Database, Row


def add(db: Database, now_us: int, agent: str, activity: str, category: str, status: str, details: str | None) -> int:
    """Add an activity (*details* as JSON text); return its id."""
    return int(
        db.value(
            "INSERT INTO activities (at_us, agent, activity, category, status, details)"
            " VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
            (now_us, agent, activity, category, status, details),
        )
    )


def recent(db: Database, limit: int) -> list[Row]:
    """Return (id, agent, at_us, activity, category, status) of the newest *limit* activities, newest first."""
    return db.rows(
        "SELECT id, agent, at_us, activity, category, status FROM activities ORDER BY at_us DESC, id DESC LIMIT ?",
        (limit,),
    )


def page(db: Database, agent: str | None, category: str | None, limit: int, offset: int) -> tuple[list[Row], int]:
    """Return *limit* activities from *offset* on, newest first, and how many there are; of one agent or category.

    Each is (id, agent, at_us, activity, category, status, details as JSON text).
    """
    wanted = {"agent": agent, "category": category}
    given = {name: value for name, value in wanted.items() if value is not None}
    where = " AND ".join(f"{name} = ?" for name in given)
    source = f"FROM activities{' WHERE ' if where else ''}{where}"
    rows = db.rows(
        f"SELECT id, agent, at_us, activity, category, status, details {source}"
        " ORDER BY at_us DESC, id DESC LIMIT ? OFFSET ?",
        (*given.values(), limit, offset),
    )
    return rows, int(db.value(f"SELECT count(*) {source}", tuple(given.values())))


def count(db: Database) -> int:
    """Return how many activities there are."""
    return int(db.value("SELECT count(*) FROM activities"))


def count_since(db: Database, since_us: int) -> int:
    """Return how many activities there are since *since_us*."""
    return int(db.value("SELECT count(*) FROM activities WHERE at_us >= ?", (since_us,)))
