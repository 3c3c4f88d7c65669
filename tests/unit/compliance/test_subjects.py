"""Erasure: whatever table a name stands in, and however it stands there, it is in none of them afterwards."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcpd.compliance import subjects
from mcpd.compliance.mentions import Mentions
from mcpd.compliance.subjects import Erased
from mcpd.errors import InvalidRequest
from mcpd.store import schema
from mcpd.store import subjects as store
from mcpd.store.database import Database

NAMES = st.builds(lambda tail: f"Zqx{tail}", st.text("ab-.' \"\\é检\t%_{[", max_size=6)).map(str.strip)
OTHERS = ("bob", "Zq", "a name, and more")
# What a CHECK of the schema lets into a column, where it does not let everything in.
CHOICES = re.compile(r'"?(\w+)"?\s+TEXT[^,]*?CHECK \(\s*\1 IN \(\s*\'(\w+)\'')


def erase(db: Database, name: str) -> Erased:
    mentions, total = Mentions(name), Erased()
    for table in store.tables(db):
        after = None
        while True:
            keys, after = subjects.named(db, table, mentions, after)
            with db.transaction():
                total.add(subjects.erase(db, table, keys, mentions, "erased-0"))
            if after is None:
                break
    return total


def fill(db: Database, name: str, how: str) -> int:
    """Put a row with *name* in every text of it into every table; return how many tables took one."""
    texts = {
        "bare": name, "caller": f"agent:{name}", "session": f"claude-{name}", "prose": f"{name}, and {name} said so",
        "json": json.dumps({"who": name, name: [name]}), "escaped": json.dumps([{"n": json.dumps(name)}]),
    }  # fmt: skip
    taken = 0
    for number, table in enumerate(store.tables(db)):
        sql = db.value("SELECT sql FROM sqlite_schema WHERE name = ?", (table.name,))
        choices = dict(CHOICES.findall(sql))
        columns = db.rows('SELECT name, type, "notnull" FROM pragma_table_xinfo(?) WHERE hidden = 0', (table.name,))
        row: dict[str, Any] = {}
        for column, kind, _ in columns:
            is_json = f"json_valid({column})" in sql
            text = texts[how] if not is_json or how in ("json", "escaped") else json.dumps(texts[how])
            row[column] = (
                choices.get(column, text) if kind in ("TEXT", "ANY") else b"" if kind == "BLOB" else number % 2
            )
        names = ", ".join(f'"{column}"' for column in row)
        marks = ", ".join("?" * len(row))
        db.execute("PRAGMA foreign_keys = OFF")
        db.execute(f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})', tuple(row.values()))
        taken += 1
    return taken


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(NAMES.filter(lambda name: len(name) > 1), st.sampled_from(["caller", "session", "prose", "json", "escaped"]))
def test_after_an_erasure_no_table_has_the_name(tmp_path: Path, name: str, how: str) -> None:
    db = Database(":memory:")
    schema.migrate(db, 1)
    assert fill(db, name, how) >= 20
    before = {table.name: db.value(f'SELECT count(*) FROM "{table.name}"') for table in store.tables(db)}
    done = erase(db, name)
    for (table,) in db.rows("SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE '%VIRTUAL%'"):
        for row in db.rows(f'SELECT * FROM "{table}"'):
            assert "Zqx" not in str(row), table
    for table, number in before.items():
        gone = done.deleted.get(table, 0)
        assert db.value(f'SELECT count(*) FROM "{table}"') == number - gone, "nothing goes but what is counted"
    assert set(done.deleted) | set(done.anonymised) <= set(before)
    assert erase(db, name) == Erased()
    db.close()


def test_others_are_left_as_they_were(db: Database) -> None:
    for name in OTHERS:
        db.execute("INSERT INTO agents VALUES (?, 'idle', ?, NULL, ?, 1, 1)", (name, name, json.dumps({"by": name})))
    before = db.rows("SELECT * FROM agents")
    assert erase(db, "Zqx") == Erased()
    assert db.rows("SELECT * FROM agents") == before


def test_words_of_ours_stay_whoever_is_called_so(db: Database) -> None:
    db.execute(
        "INSERT INTO audit (at_us, caller, operation, outcome, duration_us, request_id) VALUES (1, 'ok','x','ok',1,'r')"
    )
    erase(db, "ok")
    assert db.rows("SELECT caller, outcome FROM audit") == [("erased-0", "ok")]


def test_a_row_that_is_the_subject_s_alone_goes_and_what_others_need_stays(db: Database) -> None:
    db.execute(
        "INSERT INTO agents VALUES ('ada', 'x', NULL, NULL, NULL, 1, 1), ('bob', 'idle', 'for ada', NULL, NULL, 1, 2)"
    )
    db.execute("INSERT INTO activities VALUES (1, 1, 'ada', 'x', 'task', 'completed', NULL)")
    done = erase(db, "ada")
    assert (done.deleted, done.anonymised) == ({"agents": 1}, {"activities": 1, "agents": 1})
    assert db.rows("SELECT name, current_task FROM agents") == [("bob", "for erased-0")]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
def test_the_parts_of_an_export_are_the_whole(db: Database, limit: int) -> None:
    fill(db, "ada lovelace", "prose")
    fill_number = sum(1 for table in store.tables(db) if table.texts)
    found: list[tuple[str, str]] = []
    place = None
    while True:
        page = subjects.export(db, "ada lovelace", place, limit)
        number = [(table, json.dumps(row)) for table, rows in page.rows.items() for row in rows]
        assert len(number) <= limit
        found += number
        if page.place is None:
            break
        place = subjects.read_place(subjects.write_place(page.place))
    assert len(found) == len(set(found))
    assert fill_number - 1 <= len(found) <= fill_number  # a table may have columns of our words alone


@pytest.mark.parametrize("text", ["", "x", "e30=", "WzFd", "WyJhIixbXV0=", "é"])
def test_a_place_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="parameter 'after'"):
        subjects.read_place(text)


@pytest.mark.parametrize("name", ["", "x", "17", " ada", "ada ", "--", "root", "Unknown"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest):
        subjects.check(name)
