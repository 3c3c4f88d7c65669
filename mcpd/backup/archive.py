"""One backup is one file: a gzipped tar with the database, the configuration and a manifest that says what they are.

It is written under a temporary name, proved by unpacking it and comparing everything with the manifest, and only then
given its name. What is unpacked is trusted in nothing: names, sizes and digests have to be the manifest's.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, BinaryIO, Literal

import msgspec
from msgspec import Meta

from mcpd import __version__, files
from mcpd.backup import age
from mcpd.backup.agents import FOLDER as STATES
from mcpd.backup.agents import State
from mcpd.errors import SourceUnusable, denied
from mcpd.store import schema
from mcpd.store.foreign import Foreign

DATABASE = "mcp.db"
_MANIFEST = "manifest.json"
_MAX_MANIFEST_BYTES = 1 << 20
_MAX_READ_BYTES = 1 << 24
_CHUNK_BYTES = 1 << 20
_COMPRESSION = 3  # twice as fast as gzip's own 6, and a fiftieth larger
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile)

FOLDERS = ("config", "agents", "tools", STATES, "recordings")
_LAST = "recordings"
Name = Annotated[str, Meta(pattern=rf"^(mcp\.db|({'|'.join(FOLDERS)})/[^./\x00][^/\x00]*)$")]


class File(msgspec.Struct, frozen=True):
    """A file of the archive; ``sha256`` in hexadecimal."""

    name: Name
    size_bytes: Annotated[int, Meta(ge=0)]
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What an archive holds; ``rows`` is how many each table of the database has, ``created`` RFC 3339.

    ``agents`` says of each agent what it was at, and of those that could not be seen why.
    """

    format: Literal[1]
    created: datetime
    mcpd_version: str
    schema_version: int
    rows: dict[str, int]
    files: list[File]
    agents: list[State] = []


@dataclass(frozen=True, slots=True)
class Backup:
    """An archive that was looked into."""

    path: Path
    size_bytes: int
    manifest: Manifest


def file_name(at: datetime, *, encrypted: bool = False) -> str:
    """Return the name of the archive made at *at*."""
    return f"mcp_backup_{at.astimezone(UTC):%Y%m%dT%H%M%SZ}.tar.gz{age.SUFFIX if encrypted else ''}"


def made_at(path: Path) -> datetime | None:
    """Return when the archive *path* was made, by its name; None if that is no archive's."""
    try:
        return datetime.strptime(path.name.removesuffix(age.SUFFIX), "mcp_backup_%Y%m%dT%H%M%SZ.tar.gz").replace(
            tzinfo=UTC
        )
    except ValueError:
        return None


def describe(
    snapshot: Path, contents: Mapping[str, Iterable[Path]], at: datetime, agents: Sequence[State] = ()
) -> tuple[Manifest, Mapping[str, Path]]:
    """Return the manifest of the database *snapshot* and of *contents* (files by folder), and all files by name.

    What is small comes first, so that it is read without unpacking the database.
    """
    database = Foreign(snapshot)
    try:
        database.check_integrity()
        rows = {table.name: table.rows for table in database.tables()}
        version = database.user_version
    finally:
        database.close()
    small = (folder for folder in contents if folder != _LAST)
    paths = {f"{folder}/{path.name}": path for folder in small for path in contents[folder]}
    paths[DATABASE] = snapshot
    paths |= {f"{_LAST}/{path.name}": path for path in contents.get(_LAST, ())}
    listed = [File(name, path.stat().st_size, files.sha256(path)) for name, path in paths.items()]
    return Manifest(1, at, __version__, version, rows, listed, list(agents)), paths


def write(to: Path, manifest: Manifest, paths: Mapping[str, Path]) -> None:
    """Write the archive *to* and sync it; raises ``OSError``."""
    with to.open("xb") as raw:
        with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=_COMPRESSION) as archive:
            encoded = msgspec.json.format(msgspec.json.encode(manifest))
            _add(archive, _MANIFEST, len(encoded), io.BytesIO(encoded))
            for file in manifest.files:
                with paths[file.name].open("rb") as content:
                    _add(archive, file.name, file.size_bytes, content)
        raw.flush()
        os.fsync(raw.fileno())


def _add(archive: tarfile.TarFile, name: str, size_bytes: int, content: BinaryIO) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size_bytes, 0o600
    archive.addfile(info, content)


def peek(path: Path) -> Backup:
    """Return what the archive *path* says of itself, without looking at the rest; raises ``SourceUnusable``."""
    with _opened(path) as archive:
        return Backup(path, path.stat().st_size, _manifest(path, archive))


def read(path: Path, name: str) -> bytes | None:
    """Return the file *name* of the archive *path*, as its manifest says it is; None if it has none of that name.

    Raises ``SourceUnusable``. What comes behind is not looked at.
    """
    with _opened(path) as archive:
        wanted = next((file for file in _manifest(path, archive).files if file.name == name), None)
        if wanted is None:
            return None
        with _damage(path):
            while (info := archive.next()) is not None:
                if info.name == name and info.isreg() and info.size == wanted.size_bytes <= _MAX_READ_BYTES:
                    content = archive.extractfile(info)
                    assert content is not None
                    data = content.read()
                    if hashlib.sha256(data).hexdigest() == wanted.sha256:
                        return data
                    break
    raise SourceUnusable(f"{path}: is damaged: {name} is not as its manifest says")


def unpack(path: Path, into: Path) -> Backup:
    """Unpack the archive *path* into the empty directory *into* and compare all of it with the manifest.

    Raises ``SourceUnusable`` for whatever is damaged, missing or too much.
    """
    with _opened(path) as archive, _damage(path):
        manifest = _manifest(path, archive)
        for folder in FOLDERS:
            (into / folder).mkdir()
        for file, content in _contents(path, archive, manifest):
            with (into / file.name).open("xb") as out:
                _compare(path, file, content, out.write)
    _check_database(path, into / DATABASE, manifest)
    return Backup(path, path.stat().st_size, manifest)


def check(path: Path) -> None:
    """Compare all that the archive *path* holds with its manifest, and write nothing; raises ``SourceUnusable``.

    The database was in order when the manifest was written, so one with its digest is.
    """
    with _opened(path) as archive, _damage(path):
        for file, content in _contents(path, archive, _manifest(path, archive)):
            _compare(path, file, content, lambda _: None)


def _contents(path: Path, archive: tarfile.TarFile, manifest: Manifest) -> Iterator[tuple[File, IO[bytes]]]:
    """Yield the files behind the manifest, each to be read at once; raises ``SourceUnusable`` unless all are there."""
    wanted = {file.name: file for file in manifest.files}
    while (info := archive.next()) is not None:
        file = wanted.pop(info.name, None)
        if file is None or not info.isreg() or info.size != file.size_bytes:
            raise SourceUnusable(f"{path}: holds {info.name!r}, which is not as its manifest says")
        content = archive.extractfile(info)
        assert content is not None
        yield file, content
    if wanted:
        raise SourceUnusable(f"{path}: lacks {', '.join(wanted)}")


def _compare(path: Path, file: File, content: IO[bytes], write: Callable[[bytes], object]) -> None:
    """Give *content* to *write* and raise ``SourceUnusable`` unless it is what the manifest says of *file*."""
    digest = hashlib.sha256()
    while chunk := content.read(_CHUNK_BYTES):
        digest.update(chunk)
        write(chunk)
    if digest.hexdigest() != file.sha256:
        raise SourceUnusable(f"{path}: is damaged: the digest of {file.name} is not its manifest's")


def _check_database(path: Path, database: Path, manifest: Manifest) -> None:
    found = Foreign(database)
    try:
        found.check_integrity()
        rows = {table.name: table.rows for table in found.tables()}
        ours, version = found.application_id == schema.APPLICATION_ID, found.user_version
    finally:
        found.close()
    if not ours:
        raise SourceUnusable(f"{path}: the database in it was not made by mcpd")
    if (rows, version) != (manifest.rows, manifest.schema_version):
        raise SourceUnusable(f"{path}: the database in it has not the rows or the schema that its manifest says")


def _opened(path: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(path, "r:gz")
    except _DAMAGE as exc:
        raise SourceUnusable(f"{path}: is not a backup: {exc}") from exc
    except PermissionError as exc:
        raise denied(exc) from exc
    except OSError as exc:
        raise SourceUnusable(f"{path}: {exc.strerror or exc}") from exc


def _manifest(path: Path, archive: tarfile.TarFile) -> Manifest:
    with _damage(path):
        info = archive.next()
        if info is None or info.name != _MANIFEST or not info.isreg() or info.size > _MAX_MANIFEST_BYTES:
            raise SourceUnusable(f"{path}: is not a backup: it does not begin with a manifest")
        content = archive.extractfile(info)
        assert content is not None
        encoded = content.read()
    try:
        return msgspec.json.decode(encoded, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise SourceUnusable(f"{path}: its manifest is not one that this mcpd knows: {exc}") from exc


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turn what the block stumbles over in the archive *path* into ``SourceUnusable``."""
    try:
        yield
    except _DAMAGE as exc:
        raise SourceUnusable(f"{path}: is damaged: {exc}") from exc
