"""Random damage to a source: either all of it is migrated, or the target is untouched and the error says why."""

from __future__ import annotations

import random
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcpd.errors import Error, SourceUnusable
from mcpd.legacy import migration, preflight
from mcpd.store import schema
from mcpd.store.database import Database
from tests.unit.legacy import old
from tests.unit.legacy.conftest import dump, job

Damage = Callable[[Path, random.Random], None]


def flip_bytes(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(chance.randrange(1, 20)):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def cut(path: Path, chance: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content))])


def zero_a_page(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    page = chance.randrange(len(content) // 4096)
    content[page * 4096 : (page + 1) * 4096] = bytes(4096)
    path.write_bytes(content)


def odd_values(path: Path, chance: random.Random) -> None:
    odd = ["NULL", "x'ff00'", "9e999", "-9223372036854775808", "CAST(x'c328' AS TEXT)", "''", "char(0)", "'{\"a\":'"]
    alter(path, chance, lambda table, column: f"UPDATE OR IGNORE {table} SET {column} = {chance.choice(odd)}")


def drop_columns(path: Path, chance: random.Random) -> None:
    alter(path, chance, lambda table, column: f"ALTER TABLE {table} DROP COLUMN {column}")


def rename_columns(path: Path, chance: random.Random) -> None:
    alter(path, chance, lambda table, column: f'ALTER TABLE {table} RENAME COLUMN {column} TO "{column.upper()} Ω"')


def drop_tables(path: Path, chance: random.Random) -> None:
    alter(path, chance, lambda table, _: f"DROP TABLE IF EXISTS {table}")


def alter(path: Path, chance: random.Random, statement: Callable[[str, str], str]) -> None:
    """Run *statement* on some columns; what SQLite will not do to one is not done."""
    db = sqlite3.connect(path)
    names = [row[0] for row in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    for table in (name for name in names if not name.startswith("sqlite_")):
        columns = [row[0] for row in db.execute("SELECT name FROM pragma_table_info(?)", (table,))]
        for column in chance.sample(columns, min(2, len(columns))):
            try:
                db.execute(statement(table, column))
            except sqlite3.Error:
                continue
    db.commit()
    db.close()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    variant=st.sampled_from(sorted(old.VARIANTS)),
    damages=st.lists(
        st.sampled_from([odd_values, drop_columns, rename_columns, drop_tables, zero_a_page, cut, flip_bytes]),
        min_size=1,
        max_size=3,
    ),
    seed=st.integers(0, 1 << 32),
)
def test_damage_is_migrated_whole_or_not_at_all(variant: str, damages: list[Damage], seed: int) -> None:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as directory:
        source = old.make(Path(directory) / "old.db", variant, rows=chance.randrange(1, 60), seed=seed)
        for damage in damages:
            try:
                damage(source, chance)
            except (sqlite3.Error, ValueError):
                continue  # too damaged to be damaged further
        state = Path(directory) / "state"
        state.mkdir()
        check(source, state / "mcp.db")


def check(source: Path, target: Path) -> None:
    db = Database(str(target))
    schema.migrate(db, 1)
    db.close()
    before, content = dump(target), source.read_bytes()
    work = job(target, source)
    try:
        preflight.plan(work)
        report = migration.run(work, lambda *_: None)
    except Error as error:
        assert isinstance(error, SourceUnusable), error.message
        assert str(source) in error.message
        assert dump(target) == before
        assert list(target.parent.glob(".mcpd-*")) == list((target.parent / "legacy").glob("*")) == []
    else:
        rows = old.read(source)
        assert {table.table: table.rows for table in report.sources[0].tables} == {
            name.lower(): len(found) for name, found in rows.items()
        }
        assert migration.run(work, lambda *_: None).run is None
    assert source.read_bytes() == content
