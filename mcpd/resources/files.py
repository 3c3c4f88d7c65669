"""Files under the configured roots, and nothing else: how a ``file:`` URI becomes a file, or a refusal.

A path is resolved first, links and all; what comes out must lie in a root and have no forbidden name in it. Then it is
opened name by name from the root without following any link, so that a link planted in between is refused too.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from urllib.parse import unquote_to_bytes

from mcpd.errors import ConfigError, ResourceDenied, ResourceNotFound

SCHEME = "file://"
FORBIDDEN = (
    ".git", ".env", "id_rsa", "id_ed25519", ".ssh", "*.pem", "*.key", "*secret*", "*token*", "*password*",
    "*credential*",
)  # fmt: skip
"""Names of files and directories that are never served, in any case of letters."""

_MAX_ENTRIES = 10_000  # of a directory that are looked at for a completion
_HEX = frozenset(b"0123456789abcdefABCDEF")


class Files:
    """The files under *roots* (absolute paths of directories) up to *max_bytes* each."""

    def __init__(self, roots: Sequence[str], max_bytes: int) -> None:
        for root in roots:
            if not root.startswith("/") or not os.path.normpath(root).strip("/"):
                raise ConfigError(
                    f"key 'resources.roots': expected absolute paths of project directories, got {root!r}"
                )
        self._roots = [Path(root) for root in roots]
        self._max_bytes = max_bytes

    def read(self, uri: str) -> bytes:
        """Return what the file that *uri* names holds; raises ``ResourceNotFound``, ``ResourceDenied``."""
        root, names = self._locate(uri, path_of(uri))
        with _opened(uri, root, names) as fd:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise denied(uri, "not_a_file", "is not a regular file")
            if status.st_size > self._max_bytes:
                raise self._too_large(uri)
            with os.fdopen(os.dup(fd), "rb") as file:
                data = file.read(self._max_bytes + 1)
        if len(data) > self._max_bytes:
            raise self._too_large(uri)  # it grew, or its size is not told, as in /proc
        return data

    def exists(self, uri: str) -> bool:
        """Say whether *uri* names a file that would be served."""
        try:
            root, names = self._locate(uri, path_of(uri))
            with _opened(uri, root, names) as fd:
                return stat.S_ISREG(os.fstat(fd).st_mode)
        except (ResourceNotFound, ResourceDenied):
            return False

    def beginning(self, prefix: str) -> list[str]:
        """Return the paths in the first root that begin with *prefix*, down to the next slash; directories end in one.

        What would be refused is not named.
        """
        folder, _, start = prefix.rpartition("/")
        uri = SCHEME + prefix
        try:
            if prefix.startswith("/") or not self._roots:
                return []
            root, names = self._locate(uri, folder) if folder else (_resolved(uri, self._roots[0]), ())
            with _opened(uri, root, names) as fd, os.scandir(fd) as entries:
                found = [
                    f"{folder}/{entry.name}".lstrip("/") + "/" * entry.is_dir(follow_symlinks=False)
                    for entry in islice(entries, _MAX_ENTRIES)
                    if entry.name.startswith(start)
                    and not is_forbidden(entry.name)
                    and (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False))
                    and entry.name.isprintable()
                ]
        except (ResourceNotFound, ResourceDenied, NotADirectoryError):
            return []
        return sorted(found)

    def _locate(self, uri: str, path: str) -> tuple[Path, tuple[str, ...]]:
        """Return the root in which *path* lies, without links, and the names from there to the file."""
        names = [name for name in path.split("/") if name not in ("", ".")]
        if ".." in names:
            raise denied(uri, "path_traversal_attempt", "leads above its start")
        _refuse_forbidden(uri, names)
        for root in self._roots if path.startswith("/") else self._roots[:1]:
            base = _resolved(uri, root)
            start = Path("/") if path.startswith("/") else base
            if path.startswith("/") and not any(Path(path).is_relative_to(top) for top in (root, base)):
                continue
            target = _resolved(uri, start.joinpath(*names))
            if not target.is_relative_to(base):
                raise denied(uri, "outside_root", "leads out of the project")
            inside = target.relative_to(base).parts
            _refuse_forbidden(uri, inside)
            return base, inside
        if path.startswith("/"):
            raise denied(uri, "outside_root", "is not under a configured root")
        raise not_found(uri)

    def _too_large(self, uri: str) -> ResourceDenied:
        return denied(uri, "too_large", f"is larger than {self._max_bytes} bytes")


def path_of(uri: str) -> str:
    """Return the path that a ``file:`` *uri* names: relative to the first root, or absolute behind a third slash.

    It is percent-decoded once (RFC 3986 section 2.1); raises ``ResourceDenied`` for what is no URI.
    """
    encoded = uri[len(SCHEME) :]
    if "?" in encoded or "#" in encoded:
        raise denied(uri, "malformed", "has a query or fragment; write %3F or %23 for these characters in a name")
    raw = encoded.encode()
    for part in raw.split(b"%")[1:]:
        if len(part) < 2 or not _HEX.issuperset(part[:2]):
            raise denied(uri, "malformed", "has a '%' without two hexadecimal digits")
    try:
        path = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError as exc:
        raise denied(uri, "malformed", "is not UTF-8") from exc
    if not path.isprintable():
        raise denied(uri, "malformed", "holds a control character")
    if not path.strip("/"):
        raise not_found(uri)
    return path


def is_forbidden(name: str) -> bool:
    """Say whether a file or directory called *name* is never served."""
    return any(fnmatchcase(name.lower(), pattern) for pattern in FORBIDDEN)


def not_found(uri: str) -> ResourceNotFound:
    """Return the error for a resource that does not exist."""
    return ResourceNotFound(f"resource {uri[:200]!r} not found", {"uri": uri})


def denied(uri: str, reason: str, words: str) -> ResourceDenied:
    """Return the error for a resource that is not served: *reason* for programs, *words* for people."""
    return ResourceDenied(f"resource {uri[:200]!r} is not served: it {words}", {"uri": uri, "reason": reason})


def _refuse_forbidden(uri: str, names: Sequence[str]) -> None:
    for name in names:
        if is_forbidden(name):
            raise denied(uri, "forbidden_name", f"has {name!r} in its path, which may hold a secret")


def _resolved(uri: str, path: Path) -> Path:
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError) as exc:  # RuntimeError: a loop of links, before Python 3.13
        raise _refusal(uri, exc) from exc


@contextmanager
def _opened(uri: str, root: Path, names: Sequence[str]) -> Iterator[int]:
    """Open *names* below *root*, each without following a link; never waits for a FIFO's writer."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(root, flags | os.O_DIRECTORY)
        for position, name in enumerate(names, 1):
            folder, last = fd, position == len(names)
            try:
                fd = os.open(name, flags | (os.O_NONBLOCK if last else os.O_DIRECTORY), dir_fd=folder)
            finally:
                os.close(folder)
    except OSError as exc:
        raise _refusal(uri, exc) from exc
    try:
        yield fd
    finally:
        os.close(fd)


def _refusal(uri: str, exc: Exception) -> ResourceNotFound | ResourceDenied:
    number = exc.errno if isinstance(exc, OSError) else errno.ELOOP
    if number in (errno.EACCES, errno.EPERM):
        return denied(uri, "unreadable", "cannot be read by mcpd")
    if number == errno.ELOOP:
        return denied(uri, "link", "goes in circles, or became a link while it was opened")
    return not_found(uri)
