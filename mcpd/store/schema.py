"""The schema's versions: numbered SQL files, forward only, each applied together with the record of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mcpd.errors import ConfigError
from mcpd.store.database import Database

APPLICATION_ID = 0x6D637064  # "mcpd" in the file's header, so that a foreign database is never taken for ours
_FILES = Path(__file__).with_name("migrations")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: its number, its name and the SQL that makes it."""

    version: int
    name: str
    sql: str


def migrations() -> list[Migration]:
    """Return the steps that this version of mcpd ships, in order."""
    found = []
    for path in sorted(_FILES.glob("*.sql")):
        match = re.fullmatch(r"(\d{3})_(\w+)", path.stem)
        assert match is not None, f"{path.name} is not named NNN_name.sql"
        found.append(Migration(int(match[1]), match[2], path.read_text(encoding="utf-8")))
    return found


def version(db: Database) -> int:
    """Return the schema version of *db*, 0 for an empty file.

    Raises ``ConfigError`` when the file holds somebody else's tables or a newer mcpd's.
    """
    current = int(db.value("PRAGMA user_version"))
    tables = db.value("SELECT count(*) FROM sqlite_schema")
    if tables and db.value("PRAGMA application_id") != APPLICATION_ID:
        raise ConfigError("the database file was not made by mcpd; expected one of its own or none")
    newest = migrations()[-1].version
    if current > newest:
        raise ConfigError(f"the database has schema {current}, this mcpd knows up to {newest}; install the newer mcpd")
    return current


def migrate(db: Database, now_us: int) -> list[Migration]:
    """Bring *db* up to the newest schema at *now_us*; return the steps that were taken.

    Each step, its record and the version number commit together: an interrupted migration leaves the last whole step.
    """
    current = version(db)
    wanted = [step for step in migrations() if step.version > current]
    for step in wanted:
        with db.transaction():
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(step.sql)
            db.execute("INSERT INTO schema_migrations VALUES (?, ?, ?)", (step.version, step.name, now_us))
            db.execute(f"PRAGMA user_version = {step.version}")
    return wanted


def made_us(db: Database) -> int:
    """Return when the first step of *db*, which has a version, was taken."""
    return int(db.value("SELECT min(applied_us) FROM schema_migrations"))


def check(db: Database) -> None:
    """Raise ``ConfigError`` unless *db* has exactly the schema that this mcpd works on."""
    current, newest = version(db), migrations()[-1].version
    if current != newest:
        raise ConfigError(f"the database has schema {current}, this mcpd needs {newest}; run mcpd-migrate")


def statements(db: Database) -> list[tuple[str, str, str]]:
    """Return (kind, name, SQL) of every table, index, view and trigger, as SQLite keeps them."""
    rows = db.rows("SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY type, name")
    return [(kind, name, sql) for kind, name, sql in rows if not name.startswith("sqlite_")]
