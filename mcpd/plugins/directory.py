"""Plug-in files: read from a directory that nobody but root and ourselves can have changed, then run as modules."""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
from collections.abc import Iterator
from importlib.abc import ExecutionLoader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

from mcpd.plugins.base import Broken


class Untrusted(Broken):
    """Somebody else could have written this, and it would run as the daemon; the message says what to change."""


class PluginFile:
    """The file *name* of the directory open as *directory_fd*; ``path`` is what people call it."""

    def __init__(self, path: Path, directory_fd: int) -> None:
        self.path = path
        self._directory_fd = directory_fd

    def load(self) -> ModuleType:
        """Return the file as a module, run; raises ``Untrusted``, ``OSError`` and whatever it raises itself."""
        name = f"mcpd_plugin_{self.path.stem}"
        loader = _Loader(name, self.path, self._read())
        module = importlib.util.module_from_spec(ModuleSpec(name, loader, origin=str(self.path)))
        sys.modules[name] = module  # types in it are looked up by their module's name
        try:
            loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    def _read(self) -> bytes:
        # What was checked is what is read: the same descriptor, in the directory that was checked.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(self.path.name, flags, dir_fd=self._directory_fd)
        except OSError as exc:
            if self.path.is_symlink():
                raise Untrusted("it is a symbolic link; expected a file") from exc
            raise
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise Untrusted("it is no regular file")
            _check_owner(found)
            with os.fdopen(os.dup(fd), "rb") as file:
                return file.read()
        finally:
            os.close(fd)


class _Loader(ExecutionLoader):
    """Run *source*, without compiled files beside it."""

    def __init__(self, name: str, path: Path, source: bytes) -> None:
        self._name, self._path, self._source = name, path, source

    def get_filename(self, fullname: str) -> str:  # noqa: ARG002 - the interface
        return str(self._path)

    def get_source(self, fullname: str) -> str:  # noqa: ARG002
        return importlib.util.decode_source(self._source)


def files(directory: Path) -> Iterator[PluginFile]:
    """Yield the ``*.py`` files of *directory* by name, none if it is not there; raises ``Untrusted``, ``OSError``."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        _check_owner(os.fstat(fd))
        for name in sorted(os.listdir(fd)):  # noqa: PTH208 - of this descriptor
            if name.endswith(".py") and not name.startswith("."):
                yield PluginFile(directory / name, fd)
    finally:
        os.close(fd)


def _check_owner(found: os.stat_result) -> None:
    if found.st_uid not in (0, os.geteuid()):
        raise Untrusted(f"user {found.st_uid} owns it; expected root, or the user that runs the daemon")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Untrusted(f"others may write it, mode {stat.S_IMODE(found.st_mode):04o}; chmod go-w")
