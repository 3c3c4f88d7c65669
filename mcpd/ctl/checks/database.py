"""The database: there, readable, undamaged, of this version's schema, with room to grow."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mcpd.config import LOW_DISK_BYTES
from mcpd.ctl.checks.check import Check, failed, ok, skipped, warning
from mcpd.errors import Error

if TYPE_CHECKING:
    from mcpd.store.database import Database

MIGRATE = "systemctl restart mcpd-migrate.service; mcpctl logs migrate"
RESTORE = "stop mcpd (systemctl stop mcp.target), then restore a backup of the file"
_MIB = 1 << 20
_WAL_WARNING_BYTES = 128 * _MIB  # four times what the checkpoints allow
_DISK_FAILED_BYTES = 64 * _MIB
_INTEGRITY_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found at *path*.

    ``access`` is "missing", "denied" or "open"; ``error`` says why the file could not be read, ``schema_error`` what is
    wrong with its schema, ``damage`` what the integrity check found, empty if nothing and None if it was not finished;
    ``age_s`` is for how long the database has been mcpd's.
    """

    path: str
    access: str
    error: str | None = None
    size_bytes: int = 0
    wal_bytes: int = 0
    free_bytes: int = 0
    schema: int = 0
    newest_schema: int = 0
    schema_error: str | None = None
    damage: str | None = ""
    age_s: float = 0.0


def gather(path: str) -> Facts:
    """Look at the database file; it is opened read-only and never changed."""
    file = Path(path)
    try:
        size_bytes = file.stat().st_size
        readable = os.access(file, os.R_OK)
        wal = Path(f"{path}-wal")
        wal_bytes = wal.stat().st_size if wal.exists() else 0
        free_bytes = shutil.disk_usage(file.parent).free
    except PermissionError:
        return Facts(path, "denied")
    except OSError as exc:
        return Facts(path, "missing", exc.strerror)
    if not readable:
        return Facts(path, "denied")
    return _look_inside(Facts(path, "open", None, size_bytes, wal_bytes, free_bytes))


def _look_inside(facts: Facts) -> Facts:
    from mcpd.store import schema
    from mcpd.store.database import Database, store_errors

    newest = schema.migrations()[-1].version
    try:
        db = Database(facts.path, read_only=True)
    except Error as error:
        return replace(facts, error=error.message)
    try:
        with store_errors():
            try:
                found, wrong = schema.version(db), None
            except Error as error:
                found, wrong = 0, error.message
            age_s = time.time() - schema.made_us(db) / 1e6 if found else 0.0
            damage = _integrity(db)
    except Error as error:
        return replace(facts, error=error.message)
    finally:
        db.close()
    return replace(facts, schema=found, newest_schema=newest, schema_error=wrong, damage=damage, age_s=age_s)


def _integrity(db: Database) -> str | None:
    """Return the first fault that SQLite finds, empty if none, None if the time was not enough to look everywhere."""
    import apsw

    until_s = time.monotonic() + _INTEGRITY_LIMIT_S
    db.connection.set_progress_handler(lambda: time.monotonic() > until_s, 100_000)
    try:
        found = str(db.value("PRAGMA quick_check(1)"))
    except apsw.InterruptError:
        return None
    return "" if found == "ok" else found


def judge(facts: Facts) -> list[Check]:
    """Return the checks of the file, or the one that says why it cannot be looked at."""
    name = "database"
    if facts.access == "denied":
        return [
            skipped(
                name, f"you may not read {facts.path}; root and the user mcpd may", "run as root: sudo mcpctl health"
            )
        ]
    if facts.access == "missing":
        return [failed(name, f"{facts.path}: {facts.error}", MIGRATE)]
    if facts.error is not None:
        return [failed(name, f"{facts.path}: {facts.error}", RESTORE)]
    readable = ok(name, f"{facts.path}, {_size(facts.size_bytes)}")
    return [readable, _judge_integrity(facts), _judge_schema(facts), _judge_wal(facts), _judge_disk(facts)]


def _judge_integrity(facts: Facts) -> Check:
    name = "integrity"
    if facts.damage is None:
        seen = f"not all checked within {_INTEGRITY_LIMIT_S:g} s"
        return warning(name, seen, f"sqlite3 {facts.path} 'PRAGMA quick_check'")
    return failed(name, facts.damage, RESTORE) if facts.damage else ok(name, "no damage found")


def _judge_schema(facts: Facts) -> Check:
    if facts.schema_error is not None:
        return failed("schema", facts.schema_error, "mcpctl config shows which file it is")
    if facts.schema < facts.newest_schema:
        return failed("schema", f"{facts.schema}; this mcpd needs {facts.newest_schema}", MIGRATE)
    return ok("schema", str(facts.schema))


def _judge_wal(facts: Facts) -> Check:
    size = _size(facts.wal_bytes)
    if facts.wal_bytes > _WAL_WARNING_BYTES:
        return warning("WAL", f"{size}, not checkpointed", f"who holds the database? fuser {facts.path}")
    return ok("WAL", size)


def _judge_disk(facts: Facts) -> Check:
    free = f"{_size(facts.free_bytes)} free"
    if facts.free_bytes < _DISK_FAILED_BYTES:
        return failed("disk space", free, f"make room on the file system of {facts.path}")
    if facts.free_bytes < LOW_DISK_BYTES:
        return warning("disk space", free, f"make room on the file system of {facts.path}")
    return ok("disk space", free)


def _size(size_bytes: int) -> str:
    for limit, unit in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size_bytes >= limit:
            return f"{size_bytes / limit:.1f} {unit}"
    return f"{size_bytes} B"
