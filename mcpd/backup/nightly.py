"""The backup as the configuration asks for it: made, told as an event whether it came about, and old ones removed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mcpd import config
from mcpd.agents import files
from mcpd.backup import agents, backups
from mcpd.backup.agents import States
from mcpd.backup.archive import Backup
from mcpd.backup.backups import Pruned
from mcpd.backup.retention import Rules
from mcpd.config import Config
from mcpd.errors import Error
from mcpd.store import events
from mcpd.store.database import Database, store_errors

FINISHED, FAILED, ALERT = "backup.finished", "backup.failed", "alert.raised"
_EVENT_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Done:
    """The new backup, what was pruned then, and how long both took."""

    backup: Backup
    pruned: Pruned
    duration_s: float


def rules(settings: config.Backup) -> Rules:
    """Return the rules of retention that *settings* give."""
    return Rules(settings.keep_days, settings.keep_weeks, settings.keep_months)


def contents(settings: Config, configuration: Sequence[Path]) -> dict[str, Sequence[Path]]:
    """Return the files that belong into a backup besides the database, by their folder in it."""
    directory = config.ADMIN_FILE.parent
    beside = [path for path in (config.ENVIRONMENT_FILE, directory / "tmux.conf") if path.exists()]
    found: dict[str, Sequence[Path]] = {"config": [*configuration, *beside]}
    found["agents"] = [path for path in sorted((directory / "agents.d").glob("*.toml")) if path.is_file()]
    found["tools"] = sorted(path for path in Path(settings.tools.plugins).glob("*.py") if not path.name.startswith("."))
    if settings.backup.recordings:
        recordings = Path(settings.database.path).parent / "recordings"
        found["recordings"] = sorted(path for path in recordings.glob("*") if path.is_file())
    return found


def states(settings: config.Backup) -> States:
    """Return what the agents of this machine are at, if that is to be kept."""
    return agents.collect(files.load().agents.values()) if settings.screens else States()


def run(settings: Config, configuration: Sequence[Path], directory: Path | None = None) -> Done:
    """Make a backup, with *configuration*'s files, into *directory* or the configured one, then prune that.

    Raises as ``backups.make`` and ``backups.prune`` do, after it told as an event, where the database takes one,
    whether there is a new backup.
    """
    database = Path(settings.database.path).absolute()
    directory = directory or Path(settings.backup.directory)
    started_s = time.monotonic()
    database.with_name(config.BACKUP_REQUEST).unlink(missing_ok=True)  # whoever asked for a backup gets this one
    try:
        kept = contents(settings, configuration)
        made = backups.make(
            database, kept, directory, recipient=settings.backup.recipient, states=states(settings.backup)
        )
    except Error as error:
        with suppress(Error):  # what ended the backup may keep the event from being written too
            _tell(database, FAILED, {"directory": str(directory), "error": error.message})
        raise
    pruned = Pruned([], {})
    try:
        pruned = backups.prune(directory, rules(settings.backup), dry_run=False)
    finally:  # the backup was made, whatever became of older ones
        done = Done(made, pruned, time.monotonic() - started_s)
        _tell(database, FINISHED, _data(done))
    return done


def _data(done: Done) -> dict[str, object]:
    return {
        "path": str(done.backup.path),
        "size_bytes": done.backup.size_bytes,
        "rows": sum(done.backup.manifest.rows.values()),
        "removed": [str(path) for path in done.pruned.removed],
        "duration_s": round(done.duration_s, 3),
    }


def alert(settings: Config, result: str, status: str) -> None:
    """Tell, as an event, that the unit's backup ended badly, with *result* and *status* in systemd's words.

    A run that was killed could not tell that itself, so whoever waits for it learns it here.
    """
    database, directory = Path(settings.database.path).absolute(), Path(settings.backup.directory)
    if result != "exit-code":
        _tell(database, FAILED, {"directory": str(directory), "error": f"it was ended: {result} ({status})"})
    message = f"mcpd-backup failed: {result} ({status}); the newest backup is {_newest(directory)}"
    _tell(database, ALERT, {"source": "backup", "message": message})


def _newest(directory: Path) -> str:
    try:
        return str(next(iter(backups.all_of(directory)), "none"))
    except Error as error:
        return f"not to be found: {error.message}"


def _tell(database: Path, topic: str, data: Mapping[str, object]) -> None:
    if not database.exists():  # to open it would make it
        return
    with store_errors():
        db = Database(str(database), durability="power", busy_timeout_s=_EVENT_TIMEOUT_S)
        try:
            with db.transaction():
                events.add(db, time.time_ns() // 1000, topic, None, data)
        finally:
            db.close()
