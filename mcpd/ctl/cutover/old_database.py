"""The old system's database: whether it may stay, and what takes its place where it may not."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from mcpd import files
from mcpd.config import Legacy
from mcpd.ctl.cutover import old
from mcpd.errors import SourceBusy, SourceDamaged, SourceUnusable, StoreUnavailable, described
from mcpd.legacy import mapping, migration, preflight
from mcpd.store import foreign

State = Literal["whole", "empty", "damaged", "missing"]
_BESIDE = ("-wal", "-shm", "-journal")


def verify(snapshot: Path, sha256: str | None) -> None:
    """Raise unless *snapshot* is a whole database of the old system, and the one that was made if *sha256* tells.

    That is ``SourceUnusable``, and ``UsageError`` where there is no such file.
    """
    preflight.check_file(snapshot)
    found = migration.open_source(snapshot)
    try:
        found.check_integrity()
        if not any(mapping.target(table.name.lower(), table.columns) for table in found.tables()):
            raise SourceUnusable(f"{snapshot}: is no database of the old system: none of its tables is there")
    finally:
        found.close()
    if sha256 is not None and files.sha256(snapshot) != sha256:
        raise SourceUnusable(f"{snapshot}: is not as it was made: its SHA-256 differs")


def look(database: Path) -> State:
    """Return in which state the old *database* is; a transaction that its writer died in does not damage it.

    Raises ``SourceUnusable`` where that cannot be told: damage is only what is known to be.
    """
    if not database.exists():
        return "missing"
    try:
        with _files_as_errors(), _readable(database) as readable:
            found = migration.open_source(readable)
            try:
                found.check_integrity()
                return "whole" if any(table.rows for table in found.tables()) else "empty"
            finally:
                found.close()
    except SourceDamaged:
        return "damaged"
    except SourceBusy as error:
        writers = [f"{each.program} (pid {each.pid})" for each in preflight.writers((database,))[database]]
        by = ", ".join(writers) or "a program that cannot be seen"
        raise SourceBusy(f"{database}: is written by {by}; try again when that is done") from error


@contextmanager
def _readable(database: Path) -> Iterator[Path]:
    """Give for the block what can be read: *database*, or a copy in which a dead writer's transaction is taken back."""
    if not foreign.is_rollback_pending(database):
        yield database
        return
    with tempfile.TemporaryDirectory(prefix=files.PARTIAL, dir=database.parent) as scratch:
        try:
            copy = foreign.roll_back_copy(database, Path(scratch))
        except (SourceDamaged, FileNotFoundError):
            if foreign.is_rollback_pending(database):
                raise
        if not foreign.is_rollback_pending(database):  # somebody did so meanwhile, and the copy has some of each
            raise SourceBusy(f"{database}: is being written")
        yield copy


def restore(snapshot: Path, legacy: Legacy) -> Path | None:
    """Put *snapshot* in the place of the old database; return where that one went, None if there was none.

    At each moment there is a whole file under the database's name, if there was one. Raises ``StoreUnavailable``.
    """
    database = Path(legacy.database)
    with _files_as_errors():
        staged = files.partial(database)
        staged.unlink(missing_ok=True)  # of a run that was killed; it may be another user's, which we may not open
        source = foreign.Foreign(snapshot)
        try:
            source.snapshot(staged)
        finally:
            source.close()
        owner = old.check(legacy).stat()
        os.chown(staged, owner.st_uid, owner.st_gid)
        staged.chmod(0o644)
        files.sync(staged)
        kept = None
        if database.exists():
            kept = files.unused(database.with_name(f"{database.name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"))
            kept.hardlink_to(database)
        _move_beside(database, kept or database.with_name(f"{database.name}.lost"))
        staged.replace(database)
        files.sync(database.parent)
    return kept


def take_back(kept: Path, legacy: Legacy) -> None:
    """Undo ``restore``, which returned *kept*; raises ``StoreUnavailable``."""
    database = Path(legacy.database)
    with _files_as_errors():
        for suffix in _BESIDE:
            Path(f"{database}{suffix}").unlink(missing_ok=True)
        kept.replace(database)
        _move_beside(kept, database)
        files.sync(database.parent)


def _move_beside(database: Path, to: Path) -> None:
    """Let what SQLite keeps beside *database* be beside *to*."""
    for suffix in _BESIDE:
        beside = Path(f"{database}{suffix}")
        if beside.exists():
            beside.replace(f"{to}{suffix}")


@contextmanager
def _files_as_errors() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise StoreUnavailable(described(exc)) from exc
