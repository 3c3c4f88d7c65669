"""Clients and their tokens, requests for consent, and what is written down of slow queries."""

from __future__ import annotations

import dataclasses

import pytest

from mcpd.store import approvals, clients, queries
from mcpd.store.approvals import KEPT_US, TTL_US, Approval
from mcpd.store.clients import Client, Token
from mcpd.store.database import MAX_SLOW, Database, SlowQuery
from mcpd.store.queries import NoQuery

CI = Client("ci", b"salt", b"digest", "read write", 5, "root", None)
ASKED = Approval("1", "agent:a", "delete_component", "d", "administrator", "?", "{}", "pending", 100, 100 + TTL_US)


def token(number: int, client: str = "ci", expires_us: int = 1000) -> Token:
    return Token(f"t{number}", client, "read", number, expires_us, None)


def test_a_client_is_added_found_rotated_and_removed(db: Database) -> None:
    clients.add(db, CI)
    clients.add(db, dataclasses.replace(CI, name="a"))
    assert clients.find(db, "ci") == CI
    assert [client.name for client in clients.listing(db, 9)] == ["a", "ci"]
    clients.add_token(db, token(1))
    clients.rotate(db, "ci", b"s2", b"d2", 9)
    assert clients.find(db, "ci") == dataclasses.replace(CI, salt=b"s2", digest=b"d2", rotated_us=9)
    assert not clients.stands(db, "t1", "ci")
    clients.remove(db, "ci", 10)
    assert clients.find(db, "ci") is None


def test_a_token_stands_for_its_own_client_until_it_is_revoked_or_the_client_gone(db: Database) -> None:
    clients.add(db, CI)
    clients.add(db, dataclasses.replace(CI, name="other"))
    for number in (1, 2, 3):
        clients.add_token(db, token(number))
    assert (clients.stands(db, "t1", "ci"), clients.stands(db, "t1", "other"), clients.stands(db, "t9", "ci")) == (
        True, False, False,
    )  # fmt: skip
    assert clients.count_tokens(db, "ci", 5) == 3
    assert (clients.revoke(db, "t1", 6), clients.revoke(db, "t1", 7), clients.revoke(db, "t2", 1000)) == (
        True, False, False,
    )  # fmt: skip
    assert (clients.stands(db, "t1", "ci"), clients.count_tokens(db, "ci", 7)) == (False, 2)
    assert [(kept.id, kept.revoked_us) for kept in clients.tokens(db, 7, 9)] == [("t3", None), ("t2", None), ("t1", 6)]
    clients.remove(db, "ci", 8)
    assert not clients.stands(db, "t2", "ci")
    clients.add(db, CI)
    assert not clients.stands(db, "t2", "ci"), "a client of the same name has none of its predecessor's"


def test_tokens_whose_time_is_up_are_forgotten(db: Database) -> None:
    for number in range(150):
        clients.add_token(db, token(number, expires_us=200))
    clients.add_token(db, token(500, expires_us=900))
    clients.add_token(db, token(501, expires_us=900))
    assert db.value("SELECT count(*) FROM access_tokens") == 2


def test_consent_is_decided_once_and_used_once(db: Database) -> None:
    approvals.add(db, ASKED)
    found = approvals.find_last(db, "agent:a", "delete_component", "d", "administrator", 101)
    assert found == ASKED
    for other in (("b", "delete_component", "d"), ("agent:a", "x", "d"), ("agent:a", "delete_component", "e")):
        assert approvals.find_last(db, *other, "administrator", 101) is None
    assert approvals.find_last(db, "agent:a", "delete_component", "d", "elicitation", 101) is None
    assert not approvals.use(db, "1", 102)
    assert approvals.decide(db, "1", "approved", "root", "so", 103)
    assert not approvals.decide(db, "1", "denied", "root", None, 104)
    assert approvals.find(db, "1") == dataclasses.replace(
        ASKED, state="approved", decided_us=103, decided_by="root", reason="so"
    )
    assert not approvals.use(db, "1", ASKED.expires_us)
    assert approvals.use(db, "1", 105)
    assert not approvals.use(db, "1", 105)
    assert approvals.find_last(db, "agent:a", "delete_component", "d", "administrator", 106) is None


def test_requests_for_consent_are_counted_while_they_wait_and_forgotten_in_the_end(db: Database) -> None:
    approvals.add(db, ASKED)
    approvals.add(db, dataclasses.replace(ASKED, id="2", via="elicitation"))
    assert (approvals.count_open(db, "agent:a", 101), approvals.count_waiting(db, 101)) == (2, 1)
    assert (approvals.count_open(db, "agent:a", ASKED.expires_us), approvals.count_waiting(db, ASKED.expires_us)) == (
        0, 0,
    )  # fmt: skip
    assert not approvals.decide(db, "1", "approved", "root", None, ASKED.expires_us)
    late_us = 101 + KEPT_US
    approvals.add(db, dataclasses.replace(ASKED, id="3", caller="b", created_us=late_us))
    assert [kept.id for kept in approvals.newest(db, None, 9)] == ["3"]
    assert approvals.newest(db, "agent:a", 9) == []


def test_a_query_is_slow_from_the_threshold_on(path: str, db: Database) -> None:
    slow = Database(path, slow_query_s=1e-9)
    assert slow.value("SELECT count(*) FROM agents") == 0
    assert slow.one("SELECT name FROM agents") is None
    with slow.snapshot() as reader:
        reader.rows("SELECT 1 UNION SELECT 2")
    assert [(query.sql, query.rows) for query in slow.slow][-3:] == [
        ("SELECT count(*) FROM agents", 1), ("SELECT name FROM agents", 0), ("SELECT 1 UNION SELECT 2", 2),
    ]  # fmt: skip
    assert all(query.duration_ns > 0 for query in slow.slow)
    for _ in range(2 * MAX_SLOW):
        slow.rows("SELECT 1")
    assert len(slow.slow) == MAX_SLOW
    slow.close()
    db.rows("SELECT 1")
    assert not db.slow


def test_what_is_written_down_of_slow_queries_is_bounded(db: Database) -> None:
    for number in range(12):
        db.slow.extend([SlowQuery(f"SELECT  {number}\n", 10**9 * (number + 1), 1)] * 100)
        queries.keep(db, 5_000_000)
    assert not db.slow
    assert db.value("SELECT count(*) FROM query_performance") == queries.KEPT
    slowest = queries.slowest(db, 0, 2)
    assert [(text, mean_s, count) for _, text, mean_s, _, count, _ in slowest] == [
        ("SELECT 11", 12.0, 100), ("SELECT 10", 11.0, 100),
    ]  # fmt: skip
    assert queries.slowest(db, 6_000_000, 2) == []


@pytest.mark.parametrize("text", ["SELECT name FROM agents WHERE name = 'a'", "WITH x AS (SELECT 1) SELECT * FROM x;"])
def test_a_plan_is_told_without_running_the_query(db: Database, text: str) -> None:
    assert queries.plan(db, text)


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO agents SELECT 1", "SELECT 1; SELECT 2", "SELECT 1; DROP TABLE agents", "PRAGMA user_version = 5",
        "ATTACH '/tmp/x' AS y", "VACUUM", "VACUUM INTO '/tmp/x'", "BEGIN", "ROLLBACK", "SELECT ?1", "", ";", "x",
        "CREATE TABLE x (y)", "SELECT '\0'", "ANALYZE", "REINDEX",
    ],
)  # fmt: skip
def test_what_does_not_only_read_gets_no_plan(db: Database, text: str) -> None:
    before = db.value("SELECT count(*) FROM sqlite_schema")
    with pytest.raises(NoQuery):
        queries.plan(db, text)
    assert db.value("SELECT count(*) FROM sqlite_schema") == before
