"""Events, calls and reads are one log: numbered in the order of commits, by every process, and never twice."""

from __future__ import annotations

import threading
from pathlib import Path

import orjson
import pytest

import mcpd
from mcpd.errors import StoreUnavailable
from mcpd.protocol import events as catalogue
from mcpd.store import accesses, audit, events, removal, schema
from mcpd.store.audit import Entry
from mcpd.store.database import Database
from mcpd.store.removal import Policy
from mcpd.store.turn import Turn


def call(db: Database, caller: str = "root", operation: str = "tools/call", arguments: object = None) -> None:
    audit.add(db, Entry(5, caller, operation, "heartbeat", "ok", 7, "r-1", None, arguments))


def read(db: Database, error: str | None = None) -> None:
    accesses.add(db, 6, "agent://a", "agent:a", "s", "r-2", error)


def told(db: Database, seq: int = 0, limit: int = 100) -> list[tuple[int, str]]:
    return [(row[0], row[2]) for row in events.since(db, seq, limit)]


def test_calls_and_reads_are_events_between_the_others(db: Database) -> None:
    with db.transaction():
        events.add(db, 1, "agent.heartbeat", "a", {})
        call(db, arguments={"agent": "a"})
        read(db)
        call(db, operation="terminal.opened")
        call(db, "agent:b", "hooks/Stop", {"agent": "a"})
        events.add(db, 2, "agent.heartbeat", "b", {})
        read(db, "no such resource")
    rows = events.since(db, 0, 100)
    assert [(row[0], row[2], row[3]) for row in rows] == [
        (1, "agent.heartbeat", "a"), (2, "tool.called", "a"), (3, "resource.read", "a"), (5, "tool.called", "b"),
        (6, "agent.heartbeat", "b"), (7, "resource.read", "a"),
    ]  # fmt: skip
    for _, _, topic, _, data in rows:
        catalogue.check(topic, data)
    assert orjson.loads(rows[1][4]) == {
        "tool": "heartbeat", "outcome": "ok", "caller": "root", "duration_us": 7, "request": "r-1", "session": None,
    }  # fmt: skip
    assert orjson.loads(rows[5][4])["error"] == "no such resource"
    assert [number for number, _ in told(db, 2, 2)] == [3, 5]
    assert [row[2] for row in events.since(db, 0, 9, derived=False)] == ["agent.heartbeat"] * 2


@pytest.mark.parametrize("arguments", [None, 3, "agent", [1], {"agent": 7}, {"agent": None}, {"agent": {"a": 1}}])
def test_a_call_that_names_no_agent_is_about_none(db: Database, arguments: object) -> None:
    call(db, arguments=arguments)
    assert events.since(db, 0, 1)[0][3] is None


def test_a_request_that_is_taken_back_leaves_no_number_in_use(db: Database) -> None:
    turn = Turn(db)
    turn.run(lambda: call(db))
    turn.run(lambda: call(db), keep=False)
    turn.run(lambda: call(db))
    turn.commit()
    first, second = told(db)
    assert first[0] == 1 < second[0]
    with pytest.raises(ValueError, match="ours"), db.transaction():
        call(db)
        raise ValueError("ours")
    call(db)
    assert told(db)[-1][0] == second[0] + 1


def test_every_transaction_of_ours_begins_where_numbers_are_given() -> None:
    """A transaction that began otherwise would count on from numbers that another process has used since."""
    found = {
        path.name
        for path in (Path(mcpd.__file__).parent).rglob("*.py")
        if '"BEGIN IMMEDIATE' in path.read_text() or '"COMMIT' in path.read_text()
    }
    assert found == {"sequence.py", "staging.py"}, "staging.py writes a scratch file"


def test_several_connections_never_give_a_number_twice(db: Database, path: str) -> None:
    db.connection.set_busy_timeout(20_000)

    def write(number: int) -> None:
        mine = Database(path, busy_timeout_s=20)
        for turn in range(60):
            with mine.transaction():
                for _ in range(1 + (turn + number) % 3):
                    events.add(mine, 1, "agent.heartbeat", None, {})
                    call(mine)
                    read(mine)
        mine.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    heard: list[int] = []
    reader = Database(path, read_only=True)
    while any(thread.is_alive() for thread in threads) or events.newest(reader) > (heard[-1] if heard else 0):
        rows = events.since(reader, heard[-1] if heard else 0, 50)
        heard += [row[0] for row in rows]
    reader.close()
    assert heard == list(range(1, 3 * 120 * 4 + 1))


def test_a_listener_s_old_number_is_right_after_the_upgrade(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = schema.migrations()
    monkeypatch.setattr(schema, "migrations", lambda: [step for step in steps if step.version < 9])
    db = Database(path)
    schema.migrate(db, 1)
    for number in range(1, 5):
        db.execute("INSERT INTO events (at_us, topic, agent, data) VALUES (?, 'agent.new', 'a', '{}')", (number,))
    db.execute("DELETE FROM events WHERE seq IN (1, 4)")
    for _ in range(9):
        db.execute(
            "INSERT INTO audit (at_us, caller, operation, resource, outcome, duration_us, request_id, details)"
            " VALUES (1, 'root', 'tools/call', 'heartbeat', 'ok', 1, 'r', '{}')"
        )
    db.execute(
        "INSERT INTO resource_access_log (at_us, uri, caller, request_id, success, error)"
        " VALUES (1, 'u', 'c', 'r', 0, 'e')"
    )
    monkeypatch.undo()
    assert next(step.name for step in schema.migrate(db, 2)) == "events"
    assert told(db) == [(2, "agent.new"), (3, "agent.new")], "what came before is no call of now"
    assert (events.newest(db), events.removed_to(db)) == (9, 1)
    call(db)
    read(db)
    events.add(db, 3, "agent.new", "b", {})
    assert told(db, 4) == told(db, 9) == [(10, "tool.called"), (11, "resource.read"), (12, "agent.new")]
    assert db.rows("SELECT timestamp, error_message FROM resource_access_log WHERE id = 1") == [(0, "e")]
    assert db.value("SELECT count(*) FROM audit") == 10
    db.close()


def removed(db: Database, before_us: int, count: int, now_us: int = 0) -> dict[str, int]:
    return removal.remove(db, Policy(before_us, count), now_us, 1000, lambda: None)


def test_retention_keeps_what_is_young_and_so_many(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "BATCH", 4)
    for at_us in range(10):
        events.add(db, at_us, "agent.heartbeat", None, {})
        call(db)
    assert removed(db, 0, 100)["events"] == 0
    assert removed(db, 0, 11)["events"] == 5
    assert (told(db)[0][0], events.removed_to(db)) == (10, 9)
    assert removed(db, 8, 100)["events"] == 3
    assert [row[1] for row in events.since(db, 0, 99, derived=False)] == [8, 9]
    assert db.value("SELECT count(*) FROM audit") == 10, "the audit has rules of its own"
    assert removed(db, 100, 100)["events"] == 2
    assert told(db) == []
    assert (events.newest(db), events.removed_to(db)) == (20, 20)
    events.add(db, 200, "agent.heartbeat", None, {})
    assert told(db) == [(21, "agent.heartbeat")]


def test_a_clock_that_was_wrong_for_a_while_costs_no_young_event(db: Database) -> None:
    for at_us in (1, 2, 900, 3, 901):
        events.add(db, at_us, "agent.heartbeat", None, {})
    removed(db, 500, 100)
    assert [row[1] for row in events.since(db, 0, 9)] == [900, 3, 901]


def test_the_number_of_a_time(db: Database) -> None:
    assert events.number_at(db, 5) == 0
    for at_us in range(10, 20):
        events.add(db, at_us, "agent.heartbeat", None, {})
        call(db, operation="terminal.opened")
    first = {at_us: next(iter(events.since(db, events.number_at(db, at_us), 1)), None) for at_us in (0, 10, 15, 19, 20)}
    assert [row and row[1] for row in first.values()] == [10, 10, 15, 19, None]


def test_what_has_expired_goes_in_batches(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "BATCH", 2)
    db.execute("INSERT INTO ended_sessions VALUES ('old', 1), ('new', 5000)")
    for number in range(5):
        db.execute("INSERT INTO session_subscriptions VALUES (?, 'u', 1)", (f"s{number}",))
        db.execute(
            "INSERT INTO claims (agent, mode, kind, target, reason, since_us, until_us)"
            " VALUES (?, 'edit', 'path', 'p', 'r', 1, 10)",
            (f"a{number % 2}{number}",),
        )
        db.execute("INSERT INTO idempotent_results VALUES ('c', ?, x'', '{}', 'r', 5)", (str(number),))
    assert removed(db, 0, 100, 4000) == {
        "events": 0, "claims": 5, "calls": 0, "sessions": 6, "idempotent_results": 5
    }  # fmt: skip
    assert db.rows("SELECT nonce FROM ended_sessions") == [("new",)]
    lapsed = [orjson.loads(row[4]) for row in events.since(db, 0, 99)]
    assert [event["cause"] for event in lapsed] == ["lapsed"] * 5
    removal.optimize(db)


def test_a_writer_that_waits_gets_its_turn_between_two_batches(db: Database, path: str) -> None:
    other = Database(path, busy_timeout_s=0)
    for at_us in range(3 * removal.BATCH):
        events.add(db, at_us, "agent.heartbeat", None, {})
    turns = []

    def write() -> None:
        with other.transaction():
            turns.append(events.removed_to(other))

    removal.remove(db, Policy(10**6, 10**6), 0, 0, write)
    assert turns[:3] == [500, 1000, 1500]
    with pytest.raises(StoreUnavailable), db.transaction():
        write()
    other.close()
