"""What lists looked like when the daemon last started, so that clients are told of real changes alone."""

from __future__ import annotations

from mcpd.store.database import Database


def changed(db: Database, name: str, digest: str) -> bool:
    """Note that the list *name* has *digest*; say whether it was known with another one."""
    row = db.one("SELECT digest FROM known_lists WHERE name = ?", (name,))
    if row is None or row[0] != digest:
        db.execute("INSERT OR REPLACE INTO known_lists VALUES (?, ?)", (name, digest))
    return row is not None and row[0] != digest
