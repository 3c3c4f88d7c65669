"""The core without a socket: one turn's requests share a commit, and neither their faults nor ours spread."""

from __future__ import annotations

import dataclasses
import gc
from typing import Any

import apsw
import orjson
import pytest

from mcpd.access.callers import Caller
from mcpd.config import Config
from mcpd.plugins.base import Plugin
from mcpd.protocol.http import HttpRequest, HttpResponse
from mcpd.protocol.signing import KEY_BYTES
from mcpd.server import work
from mcpd.server.core import Answer, Core, Exchange
from mcpd.store.database import Database
from mcpd.tools.agents import HEARTBEAT

ROOT = Caller("root", True)


@pytest.fixture
def core(db: Database) -> Core:
    return Core(db, Config(), bytes(KEY_BYTES))


def exchange(body: object, path: str = "/jsonrpc", method: str = "POST") -> Exchange:
    headers = {b"host": b"localhost", b"content-type": b"application/json"}
    return Exchange(HttpRequest(method, path, "", headers, orjson.dumps(body), True), ROOT)


def tool(name: str, request_id: int = 1, **arguments: Any) -> Exchange:
    params = {"name": name, "arguments": arguments}
    return exchange({"jsonrpc": "2.0", "id": request_id, "method": "tools/call", "params": params})


def body(answer: Answer) -> Any:
    assert isinstance(answer.response, HttpResponse)
    return orjson.loads(answer.response.body)


def test_answers_come_in_order_after_one_commit(core: Core, db: Database) -> None:
    commits: list[int] = []
    db.connection.set_wal_hook(lambda *_: commits.append(1) or 0)  # type: ignore[func-returns-value]
    answers = core.answer_turn([tool("heartbeat", number, agent="a") for number in range(20)], 7)
    assert [body(answer)["id"] for answer in answers] == list(range(20))
    assert len(commits) == 1
    assert db.value("SELECT count(*) FROM audit") == 20


def test_a_fault_of_ours_takes_back_only_its_own_request(db: Database) -> None:
    def broken(call: Any, arguments: Any) -> Any:
        call.event("half", "a", {})
        raise RuntimeError("the secret detail")

    faulty = dataclasses.replace(HEARTBEAT, name="broken", function=broken)
    core = Core(db, Config(), bytes(KEY_BYTES), Plugin(tools=[faulty]))
    answers = core.answer_turn(
        [tool("heartbeat", agent="a"), tool("broken", agent="a"), tool("heartbeat", agent="b")], 7
    )
    assert [("result" in body(answer), answer.work.fault is None) for answer in answers] == [
        (True, True), (False, False), (True, True),
    ]  # fmt: skip
    assert body(answers[1])["error"] == {"code": -32603, "message": "internal error; the journal has the details"}
    assert [row[0] for row in db.rows("SELECT name FROM agents ORDER BY name")] == ["a", "b"]
    assert db.value("SELECT count(*) FROM events WHERE topic = 'half'") == 0


def test_a_commit_that_fails_is_told_to_all_whom_it_concerns_and_to_nobody_else(core: Core, db: Database) -> None:
    db.connection.set_commit_hook(lambda: True)
    answers = core.answer_turn(
        [
            tool("heartbeat", 3, agent="a"),
            exchange({"jsonrpc": "2.0", "id": 4, "method": "ping"}),
            exchange({}, "/api/mcp/health", "GET"),
        ],
        7,
    )
    db.connection.set_commit_hook(None)
    kept, ping, health = (body(answer) for answer in answers)
    assert kept["id"] == 3
    assert "nothing of this request was kept" in kept["error"]["message"]
    assert (ping["result"], health["status"]) == ({}, "healthy")
    assert db.value("SELECT count(*) FROM agents") == 0
    assert "result" in body(core.answer_turn([tool("heartbeat", agent="a")], 8)[0])


def test_a_dry_run_leaves_its_audit_row_and_nothing_else(core: Core, db: Database) -> None:
    core.answer_turn([tool("heartbeat", agent="a", dry_run=True)], 7)
    assert db.rows("SELECT operation, resource, outcome FROM audit") == [("tools/call", "heartbeat", "dry_run")]
    assert db.value("SELECT count(*) FROM agents") + db.value("SELECT count(*) FROM events") == 0


def test_the_audit_row_and_the_change_are_kept_together(core: Core, db: Database) -> None:
    db.execute("CREATE TRIGGER no_audit BEFORE INSERT ON audit BEGIN SELECT RAISE(FAIL, 'no'); END")
    (answer,) = core.answer_turn([tool("heartbeat", agent="a")], 7)
    assert "nothing of this request was kept" in body(answer)["error"]["message"]
    assert db.value("SELECT count(*) FROM agents") == 0


def test_a_database_that_went_away_is_no_fault_of_the_caller(core: Core, db: Database) -> None:
    db.execute("DROP TABLE agents")
    (status, health) = core.answer_turn(
        [exchange({}, "/api/mcp/status", "GET"), exchange({}, "/api/mcp/health", "GET")], 7
    )
    assert isinstance(status.response, HttpResponse)
    assert isinstance(health.response, HttpResponse)
    assert (status.response.status, health.response.status) == (503, 200)
    with pytest.raises(apsw.SQLError):
        db.execute("SELECT * FROM agents")


def test_what_a_request_needed_is_freed_with_its_answer_whatever_the_answer(core: Core) -> None:
    wrong = [
        exchange({"jsonrpc": "2.0", "id": 1, "method": "no/such"}),
        exchange([], "/mcp"),
        exchange({}, "/nowhere", "GET"),
        tool("heartbeat"),
        tool("no_such_tool"),
        tool("log_activity", agent="a", activity="x", category="task", paths=[".."]),
    ]
    gc.collect()
    gc.disable()  # so that only what nothing refers to is freed
    try:
        for _ in range(50):
            core.answer_turn(wrong, 7)
        assert sum(isinstance(found, work.Work) for found in gc.get_objects()) == 0
    finally:
        gc.enable()
