"""``GET /api/mcp/agent-states``: what terminals show and what agents say of themselves, in one object."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from mcpd.store import terminals
from mcpd.store.database import Database
from mcpd.store.terminals import LiveState
from mcpd.times import rfc3339
from tests.functional.daemon import Daemon
from tests.functional.test_jsonrpc import call
from tests.functional.test_mcpctl import answer, mcpctl
from tests.functional.test_rest import get

PATH = "/api/mcp/agent-states"


@pytest.fixture(scope="module")
def rpc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with three agents, of which mcpd has not heard."""
    daemon = Daemon(tmp_path_factory.mktemp("daemon"))
    described(daemon.directory, "database", "testing", "master")
    daemon.migrate()
    daemon.start()
    yield daemon
    daemon.close()


def described(directory: Path, *names: str) -> None:
    (directory / "agents.d").mkdir()
    for port, name in enumerate(names, 8090):
        (directory / "agents.d" / f"{name}.toml").write_text(f'title = "{name}!"\nport = {port}\nuser = "nobody"\n')


def states(rpc: Daemon) -> Any:
    return get(rpc, PATH).json


def write(rpc: Daemon, sql: str, *values: object) -> None:
    db = Database(str(rpc.database))
    db.execute(sql, values)
    db.close()


def shown(rpc: Daemon, live: LiveState) -> None:
    db = Database(str(rpc.database))
    with db.transaction():
        terminals.save(db, live, live.since_us)
    db.close()


def now_us() -> int:
    return time.time_ns() // 1000


def test_one_that_was_never_heard_of_is_absent(rpc: Daemon) -> None:
    found = states(rpc)["master"]
    assert (found["agent"], found["status"], found["port"], found["connected"]) == ("master", "absent", 8092, False)
    assert (found["lastActivity"], found["last_seen"], found["since"], found["current_task"]) == (None,) * 4


def test_a_heartbeat_connects_an_agent_whose_terminal_is_not_ours(rpc: Daemon) -> None:
    beat = orjson.dumps({"agent_name": "Database Agent", "current_task": "migrating users"})
    assert rpc.request("POST", "/api/mcp/heartbeat", beat).json == {"success": True}
    found = states(rpc)["database"]
    assert (found["status"], found["connected"], found["current_task"]) == ("active", True, "migrating users")
    assert found["lastActivity"] == found["last_seen"] is not None
    assert found["since"] is None


def test_agents_without_a_file_are_among_them(rpc: Daemon) -> None:
    call(rpc, "update_status", {"agent": "claude_code", "status": "busy", "current_task": "reviewing"})
    found = states(rpc)
    assert list(found)[:3] == ["database", "master", "testing"]
    heard = found["claude_code"]
    assert (heard["status"], heard["connected"], heard["current_task"]) == ("busy", True, "reviewing")
    assert (heard["port"], heard["title"], heard["pid"], heard["since"]) == (None,) * 4
    assert "claude_code" in mcpctl("top", "--once", "--url", rpc.url).stdout
    call(rpc, "update_status", {"agent": "claude_code", "status": "offline"})
    assert (states(rpc)["claude_code"]["status"], states(rpc)["claude_code"]["connected"]) == ("offline", False)


def test_what_was_heard_long_ago_does_not_connect(rpc: Daemon) -> None:
    sql = "INSERT INTO agents (name, status, current_task, created_us, last_seen_us) VALUES (?, ?, ?, ?, ?)"
    write(rpc, sql, "old", "actively implementing", "the login", 5, 1_000_000)
    write(rpc, sql, "older", "active", None, 0, 0)
    found = states(rpc)
    assert (found["old"]["status"], found["old"]["current_task"]) == ("actively implementing", "the login")
    assert (found["old"]["last_seen"], found["old"]["connected"]) == (rfc3339(1_000_000), False)
    assert (found["older"]["last_seen"], found["older"]["lastActivity"]) == (None, None)
    assert answer(mcpctl("--json", "top", "--url", rpc.url))["old"]["connected"] is False
    assert "older" not in mcpctl("top", "--once", "--url", rpc.url).stdout


def test_a_terminal_that_runs_goes_before_what_the_agent_says(rpc: Daemon) -> None:
    began_us = now_us()
    shown(rpc, LiveState("testing", "working", began_us, pid=7))
    call(rpc, "update_status", {"agent": "testing", "status": "idle", "current_task": "nothing"})
    found = states(rpc)["testing"]
    assert (found["status"], found["connected"], found["current_task"]) == ("working", True, "nothing")
    assert (found["since"], found["pid"]) == (rfc3339(began_us), 7)
    assert found["lastActivity"] == found["last_seen"] > found["since"]

    ended_us = now_us()
    shown(rpc, LiveState("testing", "exited", ended_us, exit_status=1))
    found = states(rpc)["testing"]
    assert (found["status"], found["connected"], found["exit_status"]) == ("exited", False, 1)
    assert found["lastActivity"] == rfc3339(ended_us) > found["last_seen"]
