"""The settings that the server was last started with, so that a change of them is told."""

from __future__ import annotations

from collections.abc import Mapping

from mcpd.store.database import Database


def replace(db: Database, values: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    """Keep *values* (JSON text by name); return what differs from those kept before, as (before, after).

    A name that one of the two does not have is None there. The first time nothing differs.
    """
    known: dict[str, str] = dict(db.rows("SELECT name, value FROM known_settings"))
    if known == values:
        return {}
    db.execute("DELETE FROM known_settings")
    for name, value in values.items():
        db.execute("INSERT INTO known_settings VALUES (?, ?)", (name, value))
    names = sorted({*known, *values}) if known else []
    pairs = {name: (known.get(name), values.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
