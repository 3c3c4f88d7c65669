"""Prompts, the log of reads, and the names that lists and completion go through."""

from __future__ import annotations

from mcpd.prompts import base
from mcpd.store import accesses, agents, claims, components, names, prompts, schema
from mcpd.store.claims import Claim
from mcpd.store.database import Database
from mcpd.store.prompts import Row


def test_the_seeded_prompts_are_right_and_are_kept_as_they_are_written(db: Database) -> None:
    rows = prompts.after(db, "", 100)
    assert (len(rows), prompts.count(db)) == (6, 6)
    for row in rows:
        prompt = base.of_row(row)
        base.check(prompt)
        assert base.of_row(prompt.row()) == prompt
        assert base.read(row.name, {"name": row.name, "description": "d", "template": "t"}).name == row.name


def test_a_prompt_is_put_found_replaced_and_removed(db: Database) -> None:
    row = Row("x", None, "d", "c", "[]", "t")
    assert prompts.find(db, "x") is None
    assert prompts.put(db, 5, row) is True
    assert prompts.put(db, 6, Row("x", "X", "d", "c", "[]", "u")) is False
    assert prompts.find(db, "x") == Row("x", "X", "d", "c", "[]", "u")
    assert db.one("SELECT created_us, updated_us FROM prompts WHERE name = 'x'") == (5, 6)
    assert [found.name for found in prompts.after(db, "run_tests", 9)] == ["x"]
    assert prompts.remove(db, "x") is True
    assert prompts.remove(db, "x") is False


def test_an_access_is_logged_in_the_columns_that_the_old_tools_select(db: Database) -> None:
    accesses.add(db, 7_500_000, "a://" + "x" * 3000, "alice", None, "r-1", None)
    accesses.add(db, 8_000_000, "b://y", "bob", "s", "r-2", "why not")
    columns = "length(uri), session_id, timestamp, success, error_message, error, caller, request_id"
    assert db.rows(f"SELECT {columns} FROM resource_access_log ORDER BY id") == [
        (2048, None, 7, 1, None, None, "alice", "r-1"),
        (5, "s", 8, 0, "why not", "why not", "bob", "r-2"),
    ]


def test_names_go_on_and_begin(db: Database) -> None:
    for name in ("b", "a", "ab", "a%", "A", "é"):
        agents.touch(db, name, 1)
    components.register(db, 1, "api", "a", "active", None)
    assert names.after(db, "agents", "", 3) == ["A", "a", "a%"]
    assert names.after(db, "agents", "a%", 3) == ["ab", "b", "é"]
    assert names.beginning(db, "agents", "a", 2) == (["a", "a%"], 3)
    assert names.beginning(db, "agents", "a%", 2) == (["a%"], 1)
    assert names.beginning(db, "agents", "", 9)[1] == names.count(db, "agents") == 6
    assert names.beginning(db, "components", "x", 9) == ([], 0)


def test_what_is_known_of_an_agent(db: Database) -> None:
    agents.set_status(db, "a", "busy", "t", 5)
    agents.touch(db, "a", 9)
    assert agents.find(db, "a") == agents.Agent("a", "busy", "t", None, None, 5, 9)
    assert agents.find(db, "b") is None
    for agent, until in (("a", None), ("a", 20), ("b", None)):
        claims.take(db, 1, [Claim(agent, "edit", "path", f"p{until}", "r", None, 1)], until)
    assert [claim.target for claim in claims.live_of_agent(db, "a", 10, 9)] == ["pNone", "p20"]
    assert [claim.target for claim in claims.live_of_agent(db, "a", 20, 9)] == ["pNone"]


def test_the_statements_of_the_schema_make_it_again(db: Database) -> None:
    again = Database(":memory:")
    for kind in ("table", "index", "view", "trigger"):
        for _, _, sql in (found for found in schema.statements(db) if found[0] == kind):
            again.execute(sql)
    assert schema.statements(again) == schema.statements(db)
    again.close()
