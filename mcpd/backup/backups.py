"""Backups of mcpd: made while the daemons write, proved before they count, pruned, and put back."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mcpd import files
from mcpd.backup import age, archive, proof, retention
from mcpd.backup.agents import FOLDER, States
from mcpd.backup.archive import Backup
from mcpd.backup.retention import Rules
from mcpd.errors import AccessDenied, ConfigError, SourceUnusable, StoreUnavailable, denied, described
from mcpd.store import schema, snapshot, succession
from mcpd.store.foreign import Foreign

_SCRATCH = ".mcpd-backup-"
_STEP_S = 0.05
_NOT_AGE = "is not a backup: age did not write it"


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back, and where the database went that it took the place of; None if there was none."""

    backup: Backup
    replaced: Path | None


@dataclass(frozen=True, slots=True)
class Pruned:
    """The archives that were ``removed``, and the ``unusable`` ones that took no other's place, each with why."""

    removed: list[Path]
    unusable: Mapping[Path, str]


def make(
    database: Path,
    contents: Mapping[str, Sequence[Path]],
    directory: Path,
    *,
    recipient: str = "",
    states: States | None = None,
) -> Backup:
    """Back *database*, *contents* (files by folder of the archive) and agents' *states* up into *directory*.

    Return the backup, proved.
    Once it is proved, it is encrypted to the age *recipient*, if there is one. Raises ``AccessDenied``,
    ``ConfigError``, ``SourceUnusable`` or ``StoreUnavailable``; then there is no new backup.
    """
    with _files_as_errors(directory):
        files.check_access(database)
        if not database.exists():
            raise ConfigError(f"{database}: there is no database to back up")
        if recipient:
            age.check(recipient)
        files.make_directory(directory, database)
        with files.alone(directory, "backup"), _scratch(directory) as scratch:
            at, path = _moment(directory, encrypted=bool(recipient))
            _snapshot(database, scratch / archive.DATABASE)
            settled = _settled(contents, scratch) | _written(states or States(), scratch)
            agents = states.agents if states else ()
            manifest, paths = archive.describe(scratch / archive.DATABASE, settled, at, agents)
            made = scratch / archive.file_name(at)
            archive.write(made, manifest, paths)
            unpacked = scratch / "proof"
            unpacked.mkdir()
            archive.unpack(made, unpacked)
            if recipient:
                age.encrypt(made, scratch / path.name, recipient)
                made = scratch / path.name
                files.sync(made)
            files.own_as(made, database)
            proof.write(made, database)
            proof.path_of(made).replace(proof.path_of(path))
            made.replace(path)  # the last, for with its name it is a backup
            files.sync(directory)
            return Backup(path, path.stat().st_size, manifest)


def _moment(directory: Path, *, encrypted: bool) -> tuple[datetime, Path]:
    """Return this second and the path of its backup; one that has a backup already is waited out."""
    while True:
        at = datetime.now(UTC).replace(microsecond=0)
        path = directory / archive.file_name(at, encrypted=encrypted)
        if not path.exists():
            return at, path
        time.sleep(_STEP_S)


def _snapshot(database: Path, to: Path) -> None:
    source = Foreign(database)
    try:
        source.snapshot(to)
    finally:
        source.close()


def _settled(contents: Mapping[str, Sequence[Path]], scratch: Path) -> dict[str, list[Path]]:
    """Copy *contents* into *scratch*, since recordings grow meanwhile; one that is gone by then is left out."""
    settled: dict[str, list[Path]] = {}
    for folder, paths in contents.items():
        (scratch / folder).mkdir()
        for path in paths:
            copy = scratch / folder / path.name
            try:
                shutil.copyfile(path, copy)
            except FileNotFoundError:
                if folder == "recordings":
                    continue
                raise
            settled.setdefault(folder, []).append(copy)
    return settled


def _written(states: States, scratch: Path) -> dict[str, list[Path]]:
    """Write the files of *states* into *scratch*; return them by folder of the archive."""
    folder = scratch / FOLDER
    folder.mkdir()
    for name, content in states.files().items():
        (folder / name).write_bytes(content)
    return {FOLDER: sorted(folder.iterdir())}


def all_of(directory: Path) -> list[Path]:
    """Return the archives in *directory*, newest first; raises ``AccessDenied``."""
    with _files_as_errors():
        try:
            found = [path for path in directory.iterdir() if archive.made_at(path) is not None]
        except FileNotFoundError:
            return []
    return sorted(found, key=lambda path: path.name, reverse=True)


def verify(path: Path, identity: Path | None = None) -> Backup:
    """Unpack the archive *path* into a scratch directory and compare everything; raises ``SourceUnusable``.

    *identity* is the file with the key of an encrypted one. A backup that had no proof has one then.
    """
    with _files_as_errors(), tempfile.TemporaryDirectory(prefix=_SCRATCH) as scratch:
        found = _unpack(path, Path(scratch), identity)
    if archive.made_at(path) is not None:
        _keep_proof(path)
    return found


def _keep_proof(path: Path) -> None:
    """Write down that *path* holds, unless somebody has; without leave or room to write it holds all the same."""
    with suppress(OSError):
        if proof.of(path) is None:
            proof.write(path, path)


def is_proved(path: Path) -> bool:
    """Say whether the archive *path* was proved and is as it was then; raises ``SourceUnusable`` for a damaged one.

    One in the clear needs no proof of before, it is compared with its manifest; an encrypted one cannot be.
    """
    if proof.check(path) is not None:
        return True
    if path.suffix != age.SUFFIX:
        archive.check(path)
        return True
    if not age.is_encrypted(path):
        raise SourceUnusable(f"{path}: {_NOT_AGE}")
    return False


def look(path: Path, identity: Path | None = None, names: Sequence[str] = ()) -> tuple[Backup, dict[str, bytes]]:
    """Return what the archive *path* says of itself, and those of the small files *names* that it has.

    Raises ``SourceUnusable``; what is not asked for is not checked.
    """
    with _files_as_errors(), tempfile.TemporaryDirectory(prefix=_SCRATCH) as scratch:
        with _readable(path, Path(scratch), identity) as readable:
            manifest = archive.peek(readable).manifest
            found = {name: archive.read(readable, name) for name in names}
        return Backup(path, path.stat().st_size, manifest), {n: data for n, data in found.items() if data is not None}


@contextmanager
def _readable(path: Path, into: Path, identity: Path | None) -> Iterator[Path]:
    """Give for the block an archive that can be read: *path*, or in *into* what the key in *identity* makes of it."""
    if path.suffix != age.SUFFIX:
        yield path
        return
    if not age.is_encrypted(path):
        raise SourceUnusable(f"{path}: {_NOT_AGE}")
    decrypted = into / path.stem
    age.decrypt(path, decrypted, identity)
    try:
        yield decrypted
    except SourceUnusable as error:
        raise SourceUnusable(error.message.replace(str(decrypted), str(path))) from error


def _unpack(path: Path, into: Path, identity: Path | None) -> Backup:
    proof.check(path)
    with _readable(path, into, identity) as readable:
        manifest = archive.unpack(readable, into).manifest
    return Backup(path, path.stat().st_size, manifest)


def prune(directory: Path, rules: Rules, *, dry_run: bool) -> Pruned:
    """Remove the archives in *directory* that no rule of retention keeps, with their proofs.

    What is kept in the place of another is looked at first: only what was proved, and is as it was then, can be. What
    is damaged stays for somebody to look at. Raises ``AccessDenied`` and ``StoreUnavailable``.
    """
    if not all_of(directory):
        return Pruned([], {})
    with _files_as_errors(directory), files.alone(directory, "backup"):
        surplus, unusable = _surplus(directory, rules, keep_proofs=not dry_run)
        if not dry_run:
            for path in surplus:
                path.unlink()
            for path in directory.glob(f"mcp_backup_*{proof.SUFFIX}"):
                if archive.made_at(path.with_suffix("")) and not path.with_suffix("").exists():
                    path.unlink()
            files.sync(directory)
    return Pruned(surplus, unusable)


def _surplus(directory: Path, rules: Rules, *, keep_proofs: bool) -> tuple[list[Path], dict[Path, str]]:
    """Return which archives may go, newest first, and which that would stay for them cannot, with the reason."""
    made = {at: path for path in all_of(directory) if (at := archive.made_at(path)) is not None}
    proved: set[datetime] = set()
    unproved: set[datetime] = set()
    unusable: dict[Path, str] = {}
    candidates = set(made)
    while True:
        choice = retention.choose(candidates, rules)
        new = choice.kept.keys() - proved
        if not new or not (choice.surplus or unproved):
            break
        for at in new:
            try:
                (proved if is_proved(made[at]) else unproved).add(at)
            except (SourceUnusable, AccessDenied) as error:
                unusable[made[at]] = error.message
            except OSError as exc:
                unusable[made[at]] = f"{made[at]}: cannot be read: {exc.strerror or exc}"
            if keep_proofs and at in proved:
                _keep_proof(made[at])
        candidates -= new - proved
    # What nobody can prove takes no other's place, but goes when its own is taken.
    surplus = set(choice.surplus) | {at for at in unproved if at in retention.choose({*candidates, at}, rules).surplus}
    return [made[at] for at in sorted(surplus, reverse=True)], unusable


def restore(path: Path, database: Path, identity: Path | None = None) -> Restored:
    """Put the database of the archive *path* in the place of *database*, which is kept under another name.

    Everything that can be wrong is found out before anything is touched. Raises ``SourceUnusable`` for the archive,
    ``StoreUnavailable`` when a daemon uses the database.
    """
    if not os.access(database.parent, os.W_OK):
        raise AccessDenied(f"you may not write {database.parent}; run as root: sudo mcpctl backup restore …")
    with _files_as_errors(), files.alone(database.parent, "restore"), _scratch(database.parent) as scratch:
        backup = _unpack(path, scratch, identity)
        newest = schema.migrations()[-1].version
        if backup.manifest.schema_version > newest:
            raise SourceUnusable(
                f"{path}: has schema {backup.manifest.schema_version}, this mcpd knows up to {newest};"
                f" install mcpd {backup.manifest.mcpd_version} first"
            )
        restored = scratch / archive.DATABASE
        return Restored(backup, put(restored, database))


def put(restored: Path, database: Path) -> Path | None:
    """Put the file *restored* in the place of *database*; return under which name that is kept, None without one.

    Events go on with numbers that were never given. Raises ``StoreUnavailable`` when somebody uses the database, or
    where there is no room; then nothing has changed.
    """
    there = database.exists()
    files.own_as(restored, database if there else database.parent)
    replaced, last = _keep(database) if there else (None, None)
    try:
        succession.go_on(restored, last, replaced)
    except BaseException:
        if replaced is not None:
            take_back(replaced, database)
        raise
    restored.replace(database)
    files.sync(database.parent)
    return replaced


def take_back(kept: Path, database: Path) -> None:
    """Undo ``put``, which returned *kept*, before anybody used the database."""
    for suffix in ("-wal", ""):
        if (path := Path(f"{kept}{suffix}")).exists():
            path.replace(f"{database}{suffix}")
    kept.unlink(missing_ok=True)  # two names of one file are not made one by renaming
    files.sync(database.parent)


def _keep(database: Path) -> tuple[Path, int | None]:
    """Give *database*, which is about to be replaced, a second name, and make sure that nobody uses it.

    Return that name, and its last number if it can be read.
    """
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
    last = succession.last_number(database) if settled else None
    for suffix in ("-wal", "-shm"):  # nor may the log be taken for that of the database to come
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    return kept, last


@contextmanager
def _scratch(directory: Path) -> Iterator[Path]:
    """Give a scratch directory in *directory*, and remove those that a killed run left; the caller is ``alone``."""
    for leftover in directory.glob(f"{_SCRATCH}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=directory, ignore_cleanup_errors=True) as scratch:
        yield Path(scratch)


@contextmanager
def _files_as_errors(directory: Path | None = None) -> Iterator[None]:
    """Turn faults of files into errors; one that does not say of which is of *directory*'s."""
    try:
        yield
    except PermissionError as exc:
        raise denied(exc) from exc
    except OSError as exc:
        where = f"{directory}: " if directory and not exc.filename else ""
        raise StoreUnavailable(f"{where}{described(exc)}") from exc
