"""Keys in the core: the result and the change are kept together, and a request without a key pays nothing."""

from __future__ import annotations

import orjson
import pytest

from mcpd.access.callers import Caller
from mcpd.config import Config
from mcpd.protocol.http import HttpRequest, HttpResponse
from mcpd.protocol.signing import KEY_BYTES
from mcpd.server.core import Answer, Core, Exchange
from mcpd.store.database import Database

LOG = {"agent": "a", "activity": "x", "category": "task"}


@pytest.fixture
def core(db: Database) -> Core:
    return Core(db, Config(), bytes(KEY_BYTES))


def call(key: bytes | None, caller: str = "root", **arguments: object) -> Exchange:
    params = {"name": "log_activity", "arguments": LOG | arguments}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {b"host": b"localhost", b"content-type": b"application/json"}
    headers |= {b"idempotency-key": key} if key is not None else {}
    return Exchange(HttpRequest("POST", "/jsonrpc", "", headers, orjson.dumps(message), True), Caller(caller, True))


def body(answer: Answer) -> dict[str, object]:
    assert isinstance(answer.response, HttpResponse)
    decoded: dict[str, object] = orjson.loads(answer.response.body)
    return decoded


def count(db: Database, table: str) -> int:
    return int(db.value(f"SELECT count(*) FROM {table}"))


def test_a_result_that_cannot_be_kept_takes_its_change_back_and_no_other(core: Core, db: Database) -> None:
    db.execute("CREATE TRIGGER no BEFORE INSERT ON idempotent_results BEGIN SELECT RAISE(FAIL, 'no'); END")
    kept, lost, later = core.answer_turn([call(None), call(b"k"), call(None)], 7)
    assert ("result" in body(kept), "error" in body(lost), "result" in body(later)) == (True, True, True)
    assert count(db, "activities") == 2


def test_the_same_key_twice_in_one_turn_is_done_once(core: Core, db: Database) -> None:
    first, second = core.answer_turn([call(b"k"), call(b"k")], 7)
    assert body(first) == body(second)
    assert count(db, "activities") == 1


def test_a_key_is_its_caller_s_own(core: Core, db: Database) -> None:
    core.answer_turn([call(b"k"), call(b"k", caller="alice")], 7)
    assert count(db, "activities") == 2


def test_a_dry_run_with_a_key_is_kept_apart_from_the_run(core: Core, db: Database) -> None:
    dry, real = core.answer_turn([call(b"k", dry_run=True), call(b"k")], 7)
    assert "Would execute" in str(body(dry))
    assert "before" in str(body(real)["error"])
    assert count(db, "activities") == 0


def test_a_request_without_a_key_asks_for_none(core: Core, db: Database) -> None:
    said: list[str] = []
    db.connection.set_exec_trace(lambda _cursor, sql, _bindings: said.append(sql) or True)  # type: ignore[func-returns-value]
    core.answer_turn([call(None)], 7)
    db.connection.set_exec_trace(None)
    assert any("INSERT INTO activities" in sql for sql in said)
    assert not [sql for sql in said if "idempotent" in sql or "hook_states" in sql]
