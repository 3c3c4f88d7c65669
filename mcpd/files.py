"""Files beside the database: written whole or not at all, owned as it is, by one program at a time."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mcpd.errors import ConfigError, StoreUnavailable, denied

PARTIAL = ".mcpd-partial-"
"""How the names of files begin that are not finished."""


@contextmanager
def alone(directory: Path, purpose: str) -> Iterator[None]:
    """Keep others that do the same out of *directory*, by a lock on it that ends with the process.

    Raises ``ConfigError`` where there is no such directory, ``AccessDenied`` where it may not be read, and
    ``StoreUnavailable`` naming the *purpose* where it is held.
    """
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError as exc:
        raise denied(exc) from exc
    except OSError as exc:
        raise ConfigError(f"{directory}: {exc.strerror}; mcpctl config shows what is configured") from exc
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise StoreUnavailable(f"another {purpose} is at work; try again when it has ended") from exc
        yield
    finally:
        os.close(descriptor)


def is_locked(directory: Path) -> bool:
    """Say whether somebody is ``alone`` in *directory*."""
    try:
        with alone(directory, ""):
            return False
    except StoreUnavailable:
        return True


def check_access(path: Path, mode: int = os.R_OK) -> None:
    """Raise ``AccessDenied`` where *path* is there and this user may not use it, in the *mode* of ``os.access``.

    It is not opened: to close a database's file would end the locks that this process has on it.
    """
    try:
        path.stat()
    except PermissionError as exc:
        raise denied(exc) from exc
    except OSError:
        return
    if not os.access(path, mode):
        raise denied(PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path)))


def make_directory(path: Path, like: Path) -> None:
    """Make the directory *path*, unless it is there, for the owner of *like*."""
    if not path.is_dir():
        path.mkdir(mode=0o750)
        own_as(path, like)


def own_as(path: Path, like: Path) -> None:
    """Give *path* to the owner of *like*, which only root can; others may not read it."""
    path.chmod(0o750 if path.is_dir() else 0o640)
    if os.geteuid() == 0:
        owner = like.stat()
        with suppress(PermissionError):  # where root may not give files away, as on NFS
            os.chown(path, owner.st_uid, owner.st_gid)


def partial(path: Path) -> Path:
    """Return the name that *path* has until it is finished."""
    return path.with_name(f"{PARTIAL}{path.name}")


def write(path: Path, content: bytes, like: Path) -> None:
    """Write the file *path*, whole or not at all, for the owner of *like*."""
    _write(path, content, lambda unfinished: own_as(unfinished, like))


def rewrite(path: Path, content: bytes, like: Path) -> None:
    """Write the file *path*, or the one that it links to, whole or not at all, with the mode of *like* if any."""
    mode = like.stat().st_mode & 0o7777 if like.exists() else None
    _write(path.resolve(), content, lambda unfinished: None if mode is None else unfinished.chmod(mode))


def _write(path: Path, content: bytes, prepare: Callable[[Path], None]) -> None:
    unfinished = partial(path)
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    prepare(unfinished)
    unfinished.replace(path)
    sync(path.parent)


def secret(path: Path, size: int) -> bytes:
    """Return what the file *path* holds; if there is none it is made, of *size* random bytes that its owner may read.

    Several processes that make it at once agree on one.
    """
    if not path.exists():
        descriptor, name = tempfile.mkstemp(prefix=PARTIAL, dir=path.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secrets.token_bytes(size))
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(name, path)
        finally:
            Path(name).unlink()
        sync(path.parent)
    return path.read_bytes()


def remove_database(path: Path) -> None:
    """Remove the database *path*, if it is there, and what SQLite keeps beside it."""
    for suffix in ("", "-journal", "-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


def unused(path: Path) -> Path:
    """Return *path*, or if it is taken a name like it that is not."""
    number, result = 1, path
    while result.exists() or partial(result).exists():
        number += 1
        result = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return result


def sha256(path: Path) -> str:
    """Return the SHA-256 of the file *path* in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """Make what was written to the file *path*, or renamed in the directory, survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
