"""Snapshots of the database from before another version of mcpd touches it, so that an upgrade can be taken back.

They lie beside the database, on a disk that has to have room for them, uncompressed: one is made while callers wait
for an upgrade, and put back while they wait for its end.
"""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from mcpd import files
from mcpd.errors import SourceUnusable, StoreUnavailable, described
from mcpd.store import schema
from mcpd.store.foreign import Foreign

FOLDER = "upgrades"
_FRESH = timedelta(hours=1)
_ROOM_BYTES = 16 << 20
_SUFFIX = ".json"


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot: of which *version*'s database (a package's; empty if nobody said), before which one, and its rows."""

    path: Path
    made: datetime
    version: str
    before: str
    schema_version: int
    size_bytes: int
    sha256: str
    rows: dict[str, int]


def take(database: Path, version: str, before: str, keep: int) -> Snapshot | None:
    """Take a snapshot of *database*, which the package *version* wrote, before *before* does; *keep* that many.

    Whoever uses the database goes on. Returns None where there is no database yet, or none is to be kept. Raises
    ``SourceUnusable`` for a damaged one, ``StoreUnavailable`` where there is no room or the disk fails.
    """
    if not database.exists() or not keep:
        return None
    try:
        directory = directory_of(database)
        files.make_directory(directory, database)
        with files.alone(directory, "snapshot"):
            _clear(directory)
            _check_room(database, directory)
            made = _take(database, directory, version, before)
            for old in all_of(database)[keep:]:
                _remove(old.path)
            return made
    except OSError as exc:
        raise StoreUnavailable(described(exc)) from exc


def _take(database: Path, directory: Path, version: str, before: str) -> Snapshot:
    at = datetime.now(UTC).replace(microsecond=0)
    name = "".join(c if c.isalnum() or c in ".+~-" else "_" for c in version or "unknown")
    path = files.unused(directory / f"mcp-{name}-{at:%Y%m%dT%H%M%SZ}.db")
    unfinished = files.partial(path)
    source = Foreign(database)
    try:
        source.snapshot(unfinished)
        rows, schema_version = _look(unfinished)
        size_bytes, sha256 = unfinished.stat().st_size, files.sha256(unfinished)
        files.sync(unfinished)
        files.own_as(unfinished, database)
        unfinished.replace(path)
    finally:
        source.close()
        unfinished.unlink(missing_ok=True)
    made = Snapshot(path, at, version, before, schema_version, size_bytes, sha256, rows)
    files.write(path.with_suffix(_SUFFIX), msgspec.json.format(msgspec.json.encode(made, enc_hook=str)), database)
    return made


def _look(path: Path) -> tuple[dict[str, int], int]:
    """Return the rows of each table and the schema of our database *path*, which is whole."""
    found = Foreign(path)
    try:
        found.check_integrity()
        if found.application_id != schema.APPLICATION_ID:
            raise SourceUnusable(f"{path}: was not made by mcpd")
        return {table.name: table.rows for table in found.tables()}, found.user_version
    finally:
        found.close()


def directory_of(database: Path) -> Path:
    """Return where the snapshots of *database* are."""
    return database.parent / FOLDER


def all_of(database: Path) -> list[Snapshot]:
    """Return the snapshots of *database*, newest first; what cannot be read is none."""
    found = []
    for path in directory_of(database).glob(f"*{_SUFFIX}"):
        try:
            snapshot = msgspec.json.decode(path.read_bytes(), type=Snapshot, dec_hook=lambda kind, text: kind(text))
        except (OSError, msgspec.DecodeError):
            continue
        if snapshot.path.exists():
            found.append(snapshot)
    return sorted(found, key=lambda snapshot: (snapshot.made, str(snapshot.path)), reverse=True)


def is_covered(database: Path, schema_version: int) -> bool:
    """Say whether the package's upgrade has just taken a snapshot of *database* with this schema."""
    newest = next(iter(all_of(database)), None)
    if newest is None or newest.schema_version != schema_version:
        return False
    return newest.made > datetime.fromtimestamp(time.time(), UTC) - _FRESH


def verify(snapshot: Snapshot) -> None:
    """Raise ``SourceUnusable`` unless *snapshot* is as it was made."""
    if files.sha256(snapshot.path) != snapshot.sha256:
        raise SourceUnusable(f"{snapshot.path}: is not as it was made: its SHA-256 differs")
    if _look(snapshot.path) != (snapshot.rows, snapshot.schema_version):
        raise SourceUnusable(f"{snapshot.path}: has not the rows or the schema that it had when it was made")


def written_since(snapshot: Snapshot, database: Path) -> dict[str, int]:
    """Return by table how many rows more *database* has than *snapshot*; raises ``SourceUnusable``."""
    found = Foreign(database)
    try:
        now = {table.name: table.rows for table in found.tables()}
    finally:
        found.close()
    return {name: more for name, rows in now.items() if (more := rows - snapshot.rows.get(name, 0)) > 0}


def _check_room(database: Path, directory: Path) -> None:
    needed_bytes = _ROOM_BYTES + sum(
        path.stat().st_size for suffix in ("", "-wal") if (path := Path(f"{database}{suffix}")).exists()
    )
    free_bytes = shutil.disk_usage(directory).free
    if free_bytes < needed_bytes:
        raise StoreUnavailable(
            f"{directory}: a snapshot of the database needs {needed_bytes >> 20} MiB, {free_bytes >> 20} MiB are free;"
            " make room, or set backup.keep_upgrades = 0 to go without"
        )


def _clear(directory: Path) -> None:
    """Remove what a killed run left: files without a name yet, and those that nothing describes."""
    for path in directory.iterdir():
        base = Path(str(path).removesuffix("-journal"))
        if path.name.startswith(files.PARTIAL) or (base.suffix == ".db" and not base.with_suffix(_SUFFIX).exists()):
            path.unlink()


def _remove(path: Path) -> None:
    path.with_suffix(_SUFFIX).unlink(missing_ok=True)
    path.unlink(missing_ok=True)
