"""The database as one file that nobody uses, which is the condition for putting another in its place."""

from __future__ import annotations

from pathlib import Path

import apsw

from mcpd.errors import StoreUnavailable
from mcpd.store.database import store_errors


def settle(path: Path) -> bool:
    """Move the write-ahead log of the database at *path* into it; raises ``StoreUnavailable`` while others use it.

    Return False where the database is too damaged for that; what becomes of its log then is SQLite's choice.
    """
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            # SQLite leaves the WAL mode only for the last connection, and then the log is gone.
            with store_errors():
                connection.execute("PRAGMA journal_mode = DELETE").fetchall()
        finally:
            connection.close()
    except StoreUnavailable as error:
        if isinstance(error.__cause__, apsw.BusyError | apsw.LockedError):
            raise StoreUnavailable(f"{path} is in use; systemctl stop mcp.target, then try again") from error
        return False
    except apsw.Error:
        return False
    return True
