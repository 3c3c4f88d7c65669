"""Backups of mcpd: made while the daemons write, proved before they count, pruned, and put back."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mcpd import files
from mcpd.backup import archive, retention
from mcpd.backup.archive import Backup
from mcpd.errors import AccessDenied, ConfigError, SourceUnusable, StoreUnavailable
from mcpd.store import schema, snapshot
from mcpd.store.foreign import Foreign

_SCRATCH = ".mcpd-backup-"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back, and where the database went that it took the place of; None if there was none."""

    backup: Backup
    replaced: Path | None


def make(database: Path, configuration: Sequence[Path], directory: Path) -> Backup:
    """Back *database* and *configuration* up into *directory*; return the backup, proved.

    Raises ``ConfigError``, ``SourceUnusable`` or ``StoreUnavailable``; then there is no new backup.
    """
    if not database.exists():
        raise ConfigError(f"{database}: there is no database to back up")
    with _files_as_errors():
        files.make_directory(directory, database)
        with files.alone(directory, "backup"), _scratch(directory) as scratch:
            at = datetime.now(UTC).replace(microsecond=0)
            path = directory / archive.file_name(at)
            if path.exists():
                raise StoreUnavailable(f"{path} was made this second; try again")
            _snapshot(database, scratch / archive.DATABASE)
            manifest, paths = archive.describe(scratch / archive.DATABASE, configuration, at)
            unproved = scratch / path.name
            archive.write(unproved, manifest, paths)
            proof = scratch / "proof"
            proof.mkdir()
            archive.unpack(unproved, proof)
            files.own_as(unproved, database)
            unproved.replace(path)
            files.sync(directory)
            return Backup(path, path.stat().st_size, manifest)


def _snapshot(database: Path, to: Path) -> None:
    source = Foreign(database)
    try:
        source.snapshot(to)
    finally:
        source.close()


def all_of(directory: Path) -> list[Path]:
    """Return the archives in *directory*, newest first."""
    if not directory.exists():
        return []
    found = [path for path in directory.iterdir() if archive.made_at(path) is not None]
    return sorted(found, key=lambda path: path.name, reverse=True)


def verify(path: Path) -> Backup:
    """Unpack the archive *path* into a scratch directory and compare everything; raises ``SourceUnusable``."""
    with _files_as_errors(), tempfile.TemporaryDirectory(prefix=_SCRATCH) as scratch:
        return archive.unpack(path, Path(scratch))


def prune(directory: Path, *, dry_run: bool) -> list[Path]:
    """Remove the archives in *directory* that no rule of retention keeps; return them.

    One that cannot be read takes no other's place, and stays for somebody to look at.
    """
    made = {at: path for path in all_of(directory) if (at := archive.made_at(path)) is not None and _is_backup(path)}
    surplus = [made[at] for at in retention.choose(made).surplus]
    if not dry_run:
        with _files_as_errors():
            for path in surplus:
                path.unlink()
    return surplus


def _is_backup(path: Path) -> bool:
    try:
        archive.peek(path)
    except SourceUnusable:
        return False
    return True


def restore(path: Path, database: Path) -> Restored:
    """Put the database of the archive *path* in the place of *database*, which is kept under another name.

    Everything that can be wrong is found out before anything is touched. Raises ``SourceUnusable`` for the archive,
    ``StoreUnavailable`` when a daemon uses the database.
    """
    if not os.access(database.parent, os.W_OK):
        raise AccessDenied(f"you may not write {database.parent}; run as root: sudo mcpctl backup restore …")
    with _files_as_errors(), files.alone(database.parent, "restore"), _scratch(database.parent) as scratch:
        backup = archive.unpack(path, scratch)
        newest = schema.migrations()[-1].version
        if backup.manifest.schema_version > newest:
            raise SourceUnusable(
                f"{path}: has schema {backup.manifest.schema_version}, this mcpd knows up to {newest};"
                f" install mcpd {backup.manifest.mcpd_version} first"
            )
        restored = scratch / archive.DATABASE
        files.own_as(restored, database if database.exists() else database.parent)
        replaced = _keep(database) if database.exists() else None
        restored.replace(database)
        files.sync(database.parent)
        return Restored(backup, replaced)


def _keep(database: Path) -> Path:
    """Give *database*, which is about to be replaced, a second name, and make sure that nobody uses it."""
    kept = files.unused(database.with_name(f"{database.name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"))
    log, kept_log = Path(f"{database}-wal"), Path(f"{kept}-wal")
    kept.hardlink_to(database)
    if log.exists():
        kept_log.hardlink_to(log)
    try:
        settled = snapshot.settle(database)
    except BaseException:
        files.remove_database(kept)
        raise
    if settled:
        kept_log.unlink(missing_ok=True)  # all of it is in the database now
    for suffix in ("-wal", "-shm"):  # nor may the log be taken for that of the database to come
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    return kept


@contextmanager
def _scratch(directory: Path) -> Iterator[Path]:
    """Give a scratch directory in *directory*, and remove those that a killed run left; the caller is ``alone``."""
    for leftover in directory.glob(f"{_SCRATCH}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=directory, ignore_cleanup_errors=True) as scratch:
        yield Path(scratch)


@contextmanager
def _files_as_errors() -> Iterator[None]:
    try:
        yield
    except PermissionError as exc:
        raise AccessDenied(f"{exc.filename}: {exc.strerror}; run as root: sudo mcpctl backup …") from exc
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        raise StoreUnavailable(f"{where}{exc.strerror or exc}") from exc
