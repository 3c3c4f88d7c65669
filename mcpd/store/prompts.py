"""Prompts: templates that a client fills in; what their columns mean is ``mcpd/prompts``'s."""

from __future__ import annotations

from dataclasses import dataclass

from mcpd.store.database import Database

_COLUMNS = "name, title, description, category, arguments, template"


@dataclass(frozen=True, slots=True)
class Row:
    """One stored prompt; ``arguments`` is JSON text."""

    name: str
    title: str | None
    description: str
    category: str
    arguments: str
    template: str


def find(db: Database, name: str) -> Row | None:
    """Return the prompt *name*, None if there is none."""
    row = db.one(f"SELECT {_COLUMNS} FROM prompts WHERE name = ?", (name,))  # noqa: S608 - our own column names
    return None if row is None else Row(*row)


def after(db: Database, name: str, limit: int) -> list[Row]:
    """Return *limit* prompts whose name follows *name*, by name."""
    query = f"SELECT {_COLUMNS} FROM prompts WHERE name > ? ORDER BY name LIMIT ?"  # noqa: S608
    return [Row(*row) for row in db.rows(query, (name, limit))]


def put(db: Database, now_us: int, prompt: Row) -> bool:
    """Store *prompt*, over the one of the same name if there is one; return whether it is new."""
    new = find(db, prompt.name) is None
    db.execute(
        "INSERT INTO prompts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) ON CONFLICT (name) DO UPDATE SET"
        " title = ?2, description = ?3, category = ?4, arguments = ?5, template = ?6, updated_us = ?7",
        (
            prompt.name, prompt.title, prompt.description, prompt.category,
            prompt.arguments, prompt.template, now_us,
        ),
    )  # fmt: skip
    return new


def remove(db: Database, name: str) -> bool:
    """Remove the prompt *name*; return whether there was one."""
    db.execute("DELETE FROM prompts WHERE name = ?", (name,))
    return bool(db.connection.changes())


def count(db: Database) -> int:
    """Return how many prompts there are."""
    return int(db.value("SELECT count(*) FROM prompts"))
