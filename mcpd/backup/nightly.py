"""The backup as the configuration asks for it: made, told as an event whether it came about, and old ones removed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mcpd import config
from mcpd.backup import backups
from mcpd.backup.archive import Backup
from mcpd.backup.retention import Rules
from mcpd.config import Config
from mcpd.errors import Error
from mcpd.store import events
from mcpd.store.database import Database, store_errors

FINISHED, FAILED, ALERT = "backup.finished", "backup.failed", "alert.raised"
_EVENT_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Done:
    """The new backup, what gave way to it, and how long that took."""

    backup: Backup
    removed: Sequence[Path]
    duration_s: float


def rules(settings: config.Backup) -> Rules:
    """Return the rules of retention that *settings* give."""
    return Rules(settings.keep_days, settings.keep_weeks, settings.keep_months)


def contents(settings: Config, configuration: Sequence[Path]) -> dict[str, Sequence[Path]]:
    """Return the files that belong into a backup besides the database, by their folder in it."""
    found: dict[str, Sequence[Path]] = {"config": configuration}
    found["agents"] = sorted((config.ADMIN_FILE.parent / "agents.d").glob("*.toml"))
    if settings.backup.recordings:
        recordings = Path(settings.database.path).parent / "recordings"
        found["recordings"] = sorted(path for path in recordings.glob("*") if path.is_file())
    return found


def run(settings: Config, configuration: Sequence[Path], directory: Path | None = None) -> Done:
    """Make a backup, with *configuration*'s files, into *directory* or the configured one, then prune that.

    Raises as ``backups.make`` and ``backups.prune`` do, after it told of it as an event, where the database takes one.
    """
    database = Path(settings.database.path).absolute()
    directory = directory or Path(settings.backup.directory)
    started_s = time.monotonic()
    database.with_name(config.BACKUP_REQUEST).unlink(missing_ok=True)  # whoever asked for a backup gets this one
    try:
        made = backups.make(database, contents(settings, configuration), directory, recipient=settings.backup.recipient)
        removed = backups.prune(directory, rules(settings.backup), dry_run=False)
    except Error as error:
        with suppress(Error):  # what ended the backup may keep the event from being written too
            failed = {"directory": str(directory), "error": error.message}
            _tell(database, {FAILED: failed, ALERT: {"source": "backup", "message": error.message}})
        raise
    done = Done(made, removed, time.monotonic() - started_s)
    data = {
        "path": str(made.path),
        "size_bytes": made.size_bytes,
        "rows": sum(made.manifest.rows.values()),
        "removed": [str(path) for path in removed],
        "duration_s": round(done.duration_s, 3),
    }
    _tell(database, {FINISHED: data})
    return done


def _tell(database: Path, told: Mapping[str, Mapping[str, object]]) -> None:
    if not database.exists():  # to open it would make it
        return
    with store_errors():
        db = Database(str(database), durability="power", busy_timeout_s=_EVENT_TIMEOUT_S)
        try:
            with db.transaction():
                for topic, data in told.items():
                    events.add(db, time.time_ns() // 1000, topic, None, data)
        finally:
            db.close()
