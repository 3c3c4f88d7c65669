"""Somebody else's SQLite file: opened read-only and trusted in nothing, copied, checked, and read row by row.

Every fault leaves as ``SourceUnusable``, or a kind of it, with the file's name and what can be done.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from mcpd import files
from mcpd.errors import SourceBusy, SourceDamaged, SourceUnusable, StoreUnavailable

Value = int | float | str | bytes | None
_BUSY_TIMEOUT_MS = 10_000
_TYPES_AT_ONCE = 100  # columns in one expression; SQLite takes expressions to a depth of 1000
_ENCODINGS = {"UTF-8": "utf-8", "UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table as the file declares it: *columns* in lower case, *key* those of its primary key, number of *rows*."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    rows: int


class Foreign:
    """A read-only connection to the database at *path*, which is not changed by anything done here."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with source_errors(path):
            self._connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
            self._connection.set_busy_timeout(_BUSY_TIMEOUT_MS)
            self._connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
            self._connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
            self._connection.execute("PRAGMA cell_size_check = ON")
            self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
            self.journal_mode = str(self._pragma("journal_mode"))
            self.encoding = _ENCODINGS[str(self._pragma("encoding"))]
            self.user_version = int(str(self._pragma("user_version")))
            self.application_id = int(str(self._pragma("application_id")))

    def _pragma(self, name: str) -> object:
        return self._connection.execute(f"PRAGMA {name}").fetchall()[0][0]

    def snapshot(self, to: Path) -> None:
        """Copy the database as it is at one moment to the new file *to*, by SQLite's backup API, and sync it."""
        with source_errors(self.path, to):
            copy = apsw.Connection(str(to))
            try:
                # All pages in one step: in several, a busy writer could make it begin again for ever.
                with copy.backup("main", self._connection, "main") as backup:
                    backup.step(-1)
                copy.execute("PRAGMA journal_mode = DELETE")
            finally:
                copy.close()

    def check_integrity(self) -> None:
        """Raise ``SourceDamaged`` unless SQLite finds the whole file in order."""
        with source_errors(self.path):
            found = str(self._connection.execute("PRAGMA integrity_check(1)").fetchall()[0][0])
        if found != "ok":
            raise SourceDamaged(f"{self.path}: is damaged: {found.splitlines()[-1]}; {_RECOVER}")

    def tables(self) -> list[Table]:
        """Return the tables that hold rows, by name; SQLite's own and virtual ones do not."""
        with source_errors(self.path):
            names: list[Any] = self._connection.execute(
                "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'shadow')"
                " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
            ).fetchall()
            return [self._table(name) for (name,) in names]

    def _table(self, name: str) -> Table:
        columns: list[Any] = self._connection.execute(
            "SELECT lower(name), pk FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid", (name,)
        ).fetchall()
        rows: Any = self._connection.execute(f"SELECT count(*) FROM {_quoted(name)}").fetchall()[0][0]  # noqa: S608
        names = tuple(column for column, _ in columns)
        key = tuple(column for column, place in sorted(columns, key=lambda pair: pair[1]) if place)
        return Table(name, names, key or tuple(n for n in ("id",) if n in names), rows)

    def rows(self, table: Table) -> Iterator[list[Value | tuple[bytes]]]:
        """Yield the values of each row of *table*; text that is not valid in its encoding as a tuple of its bytes.

        Text is fetched as bytes, since one bad character must not end the reading of all.
        """
        columns = [_quoted(name) for name in table.columns]
        kinds = [f"substr(typeof({column}), 1, 1)" for column in columns]
        words = [" || ".join(kinds[i : i + _TYPES_AT_ONCE]) for i in range(0, len(kinds), _TYPES_AT_ONCE)]
        shown = [
            f"CASE typeof({column}) WHEN 'text' THEN CAST({column} AS BLOB) ELSE {column} END" for column in columns
        ]
        query = f"SELECT {', '.join([*words, *shown])} FROM {_quoted(table.name)}"  # noqa: S608 - quoted names
        with source_errors(self.path):
            for found in self._connection.cursor().execute(query):
                kind = "".join(found[: len(words)])
                yield [
                    self._text(value) if letter == "t" else value
                    for letter, value in zip(kind, found[len(words) :], strict=True)
                ]

    def _text(self, raw: bytes) -> str | tuple[bytes]:
        try:
            return raw.decode(self.encoding)
        except UnicodeDecodeError:
            return (raw,)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def is_rollback_pending(path: Path) -> bool:
    """Say whether a writer of *path* died in a transaction, so that it cannot be read before that is rolled back."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        finally:
            connection.close()
    except apsw.Error as exc:
        return _code(exc) == apsw.SQLITE_READONLY_ROLLBACK
    return False


def roll_back_copy(path: Path, directory: Path) -> Path:
    """Copy *path* and its journal into *directory* and roll back there; return the copy. The original stays."""
    copy = directory / path.name
    with source_errors(path):
        for suffix in ("", "-journal"):
            shutil.copyfile(f"{path}{suffix}", f"{copy}{suffix}")
        connection = apsw.Connection(str(copy), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        finally:
            connection.close()
    return copy


@contextmanager
def source_errors(path: Path, copy: Path | None = None) -> Iterator[None]:
    """Turn SQLite's errors about *path* in the block into ``SourceUnusable``, ``StoreUnavailable`` if a *copy* failed.

    Raises ``AccessDenied`` where this user may not read it.
    """
    try:
        yield
    except apsw.Error as exc:
        if isinstance(exc, apsw.FullError) or _code(exc) in _WRITE_FAULTS:  # only copies are ever written
            what = f"{path}: a copy" if copy is None else f"{copy}: the copy of {path}"
            raise StoreUnavailable(f"{what} cannot be written: the disk is full or failing") from exc
        if isinstance(exc, apsw.CantOpenError):
            files.check_access(path)
        unknown = (SourceUnusable, f"cannot be read: {exc}")
        error, reason = next((answer for kind, answer in _REASONS if isinstance(exc, kind)), unknown)
        raise error(f"{path}: {reason}") from exc
    except UnicodeDecodeError as exc:
        raise SourceUnusable(f"{path}: a table or column has a name that is not valid text; {_RECOVER}") from exc


_RECOVER = "sqlite3 FILE .recover saves what can still be read into a new one"
_REASONS: tuple[tuple[type[apsw.Error], tuple[type[SourceUnusable], str]], ...] = (
    (apsw.NotADBError, (SourceDamaged, "is not an SQLite database, or an encrypted one")),
    (apsw.CorruptError, (SourceDamaged, f"is damaged; {_RECOVER}")),
    (apsw.BusyError, (SourceBusy, "is locked by a program that writes it; stop that, or try again")),
    (apsw.CantOpenError, (SourceUnusable, "cannot be opened; look at its permissions and those of its directory")),
    (apsw.IOError, (SourceUnusable, "cannot be read: its disk may be failing")),
)
_WRITE_FAULTS = (apsw.SQLITE_IOERR_WRITE, apsw.SQLITE_IOERR_FSYNC, apsw.SQLITE_IOERR_DIR_FSYNC)


def _code(exc: apsw.Error) -> int:
    """Return SQLite's extended result code, 0 for an error of apsw's own."""
    return int(getattr(exc, "extendedresult", 0))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def sqlite_version() -> str:
    """Return the version of the SQLite library that reads."""
    return str(apsw.sqlite_lib_version())
