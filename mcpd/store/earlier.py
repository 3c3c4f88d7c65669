"""What staged rows have to do with those that were brought over before. Found out before the database is locked.

A row that was changed in its source since is still that row; a component keeps the name that it was given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from mcpd.store import legacy, staging
from mcpd.store.database import Database, store_errors

WITH_TYPE = "named with its type: a component of another type has that name"
"""Why a component is not called what its row says."""

_TYPE = "CAST(coalesce(json_extract({}, '$.type'), '') AS TEXT)"


def relate(db: Database, paths: Sequence[str]) -> None:
    """Note in the attached stage which rows of *db* its rows change, and name its components.

    *paths* are those of the run's sources, in their order.
    """
    with store_errors():
        db.execute(
            "CREATE TABLE stage.earlier (row INTEGER PRIMARY KEY, id INTEGER UNIQUE, target_table, target_key);"
            "CREATE TABLE stage.returned (id INTEGER PRIMARY KEY)"
        ).fetchall()
        _name_components(db)
        if not legacy.is_empty(db):
            db.execute(
                "INSERT INTO stage.returned SELECT l.id FROM stage.ledger JOIN main.legacy_rows AS l USING (digest)"
            )
            _find_changed(db, paths)


def _find_changed(db: Database, paths: Sequence[str]) -> None:
    """Fill ``stage.earlier``: staged rows of the file, table and key of an earlier one that are the same thing.

    That is of the same name, or made when and by whom the earlier one was. The old programs began anew whenever their
    file was gone, so a number that comes again says nothing by itself.
    """
    db.execute("CREATE TABLE stage.sources (place INTEGER PRIMARY KEY, path)").fetchall()
    for place, path in enumerate(paths):
        db.execute("INSERT INTO stage.sources VALUES (?, ?)", (place, path))
    db.execute("CREATE INDEX stage.ledger_by_key ON ledger (source_key, source_table)").fetchall()
    for table, columns in {**staging.NAMED, **staging.APPENDED}.items():
        if not db.value(f"SELECT EXISTS (SELECT 1 FROM stage.{table})"):  # noqa: S608 - our own names
            continue
        same = f"old.target_key = s.{columns[0]}"
        if table in staging.IDENTITY:
            at, who = staging.IDENTITY[table]
            same = (
                f"(s.{at} <> 0 OR new.source_key GLOB '*[^0-9]*') AND EXISTS (SELECT 1 FROM main.{table} AS ours"  # noqa: S608
                f" WHERE ours.id = old.target_key AND ours.{at} = s.{at} AND ours.{who} = s.{who})"
            )
        db.execute(
            "INSERT INTO stage.earlier SELECT max(row), id, target_table, target_key FROM ("  # noqa: S608 - our own names
            " SELECT new.id AS row, max(old.id) AS id, old.target_table, old.target_key FROM main.legacy_rows AS old"
            " CROSS JOIN stage.ledger AS new ON new.source_key = old.source_key"
            " AND new.source_table = old.source_table AND new.target_table = old.target_table"
            " JOIN main.migration_sources ON migration_sources.id = old.source_id"
            " JOIN stage.sources ON sources.place = new.source AND sources.path = migration_sources.path"
            f" JOIN stage.{table} AS s ON s.row = new.id"
            f" WHERE old.outcome = 'migrated' AND old.target_table = '{table}' AND {same} GROUP BY new.id) GROUP BY id"
        )


def _name_components(db: Database) -> None:
    """Give components of one name and several types names of their own, and each the one that it has had.

    The old system told them apart by both, mcpd by the name.
    """
    db.execute("CREATE INDEX stage.components_by_name ON components (name)").fetchall()
    kind = _TYPE.format("metadata")
    query = (
        f"SELECT name, {kind} AS type, max(updated_us) AS newest_us, max(row) FROM stage.components"  # noqa: S608
        " GROUP BY name, type ORDER BY name, type <> '', newest_us DESC, max(row) DESC"
    )
    found = db.rows(query)
    given = _given(db) if found else {}
    holders = {target: kind for (_, kind), target in given.items()}
    for name, group in groupby(found, key=lambda row: str(row[0])):
        kinds = [str(row[1]) for row in group]
        for each, wanted in _other_names(db, name, kinds, given, holders.get(name)):
            rows = f"name = ? AND {kind} = ?"
            db.execute(
                f"UPDATE stage.ledger SET reason = ? WHERE id IN (SELECT row FROM stage.components WHERE {rows})",  # noqa: S608
                (WITH_TYPE, name, each),
            )
            db.execute(f"UPDATE stage.components SET name = ? WHERE {rows}", (wanted, name, each))  # noqa: S608


def _given(db: Database) -> dict[tuple[str, str], str]:
    """Return what components of earlier runs are called, by the name and type that they had."""
    rows = db.rows(
        f"SELECT CAST(json_extract(row, '$.name') AS TEXT), {_TYPE.format('row')}, target_key, max(id)"  # noqa: S608
        " FROM main.legacy_rows WHERE target_table = 'components' AND outcome = 'migrated' GROUP BY target_key"
    )
    return {(name, kind): target for name, kind, target, _ in rows}


def _other_names(
    db: Database, name: str, kinds: Sequence[str], given: Mapping[tuple[str, str], str], holder: str | None
) -> Iterator[tuple[str, str]]:
    """Yield each of the types *kinds* of which a component *name* is called otherwise, and how.

    *holder* is the type of the one that was given the name as it stands, None if none was.
    """
    if holder is None:  # one that was registered here without a type may be of any
        holder = _type_of(db, name) or None
    for kind in kinds:
        longer = f"{name} ({kind})"
        if (name, kind) in given:
            wanted = given[name, kind]
        elif kind and (holder not in (None, kind) or _type_of(db, longer) == kind):
            wanted = longer
        else:
            wanted, holder = name, kind
        if wanted != name:
            yield kind, wanted


def _type_of(db: Database, name: str) -> str | None:
    row = db.one(f"SELECT {_TYPE.format('metadata')} FROM main.components WHERE name = ?", (name,))  # noqa: S608
    return None if row is None else str(row[0])
