"""What each tool does to the database, and what it answers."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from mcpd.errors import Error, ToolFailed
from mcpd.store import audit, events
from mcpd.store.audit import Entry
from mcpd.store.database import Database
from mcpd.tools import registry
from mcpd.tools.registry import TOOLS
from tests.unit.tools.conftest import MINUTE_US, Run

EPOCH_1S = "1970-01-01T00:00:01.000000Z"


def topics(db: Database) -> list[tuple[str, str, Any]]:
    return [(topic, agent, orjson.loads(data)) for _, _, topic, agent, data in events.since(db, 0, 100)]


def work(run: Run, agent: str, at_us: int = 1_000_000, **arguments: Any) -> dict[str, Any]:
    return run("log_activity", at_us, agent=agent, activity=f"{agent} works", category="task", **arguments)


def test_log_activity_keeps_the_row_and_tells_it(run: Run, db: Database) -> None:
    result = work(run, "a", status="started", details={"k": [1]})
    row = db.one(
        "SELECT at_us, agent, activity, category, status, details FROM activities WHERE id = ?", (result["id"],)
    )
    assert row == (1_000_000, "a", "a works", "task", "started", '{"k":[1]}')
    new, (topic, agent, data) = topics(db)
    assert new == ("agent.new", "a", {})
    assert (topic, agent, data["id"]) == ("activity.logged", "a", result["id"])
    assert db.value("SELECT last_seen_us FROM agents WHERE name = 'a'") == 1_000_000


def test_update_status_keeps_what_else_is_known_of_the_agent(run: Run, db: Database) -> None:
    run("heartbeat", agent="a")
    db.execute("UPDATE agents SET capabilities = '[\"x\"]' WHERE name = 'a'")
    result = run("update_status", agent="a", status="busy", current_task="tests")
    assert result == {"agent": "a", "success": True, "previous_status": "active"}
    assert db.one("SELECT status, current_task, capabilities FROM agents") == ("busy", "tests", '["x"]')
    run("update_status", agent="a", status="idle")
    assert db.one("SELECT status, current_task, capabilities FROM agents") == ("idle", None, '["x"]')


def test_heartbeat_makes_an_unknown_agent_known_and_leaves_its_task(run: Run, db: Database) -> None:
    assert run("heartbeat", agent="a") == {"timestamp": EPOCH_1S, "pending_requests": 0, "success": True}
    run("update_status", agent="a", status="busy", current_task="tests")
    run("heartbeat", 5_000_000, agent="a")
    assert db.one("SELECT status, current_task, last_seen_us FROM agents") == ("busy", "tests", 5_000_000)
    assert [topic for topic, _, _ in topics(db)] == ["agent.new", "agent.heartbeat", "agent.status", "agent.heartbeat"]


def test_a_collaboration_request_reaches_the_other_with_its_heartbeat(run: Run, db: Database) -> None:
    result = run("request_collaboration", from_agent="a", to_agent="b", task="help", priority="high")
    assert result == {"request_id": 1, "to_agent_known": False, "success": True}
    assert run("heartbeat", agent="b")["pending_requests"] == 1
    assert run("heartbeat", agent="a")["pending_requests"] == 0
    assert run("request_collaboration", from_agent="a", to_agent="b", task="more")["to_agent_known"] is True
    assert db.one("SELECT agent, activity, category FROM activities") == (
        "a", "Collaboration requested from b", "communication",
    )  # fmt: skip


def test_a_proposed_decision_is_pending(run: Run, db: Database) -> None:
    arguments = {
        "category": "architecture",
        "question": "WAL?",
        "proposed_by": "a",
        "metadata": {"options": ["y", "n"]},
    }
    assert run("propose_decision", **arguments) == {"decision_id": 1, "success": True}
    assert db.one("SELECT category, question, proposed_by, status, metadata FROM decisions") == (
        "architecture", "WAL?", "a", "pending", '{"options":["y","n"]}',
    )  # fmt: skip


def test_components_have_an_owner_a_version_and_a_history(run: Run) -> None:
    assert run("find_component_owner", component="api") == {"success": True, "found": False}
    assert run("register_component", name="api", owner="a") == {"component": "api", "version": 1, "success": True}
    again = run("register_component", 2_000_000, name="api", owner="b", status="deprecated")
    assert (again["version"], again["previous_owner"]) == (2, "a")
    assert run("find_component_owner", component="api") == {
        "success": True, "found": True, "owner": "b", "status": "deprecated", "updated": "1970-01-01T00:00:02.000000Z",
    }  # fmt: skip


def test_a_component_may_be_asked_for_by_its_type(run: Run) -> None:
    for name, owner, kind in (("c", "a", "api"), ("c (test)", "b", "test"), ("free", "x", None)):
        run("register_component", name=name, owner=owner, metadata={"type": kind} if kind else {})
    owners = {kind: run("find_component_owner", component="c", type=kind).get("owner") for kind in ("api", "test", "z")}
    assert owners == {"api": "a", "test": "b", "z": None}
    assert run("find_component_owner", component="free", type="api")["owner"] == "x"


def test_registering_again_keeps_metadata_and_paths_that_are_left_out(run: Run, db: Database) -> None:
    run("register_component", name="api", owner="a", metadata={"k": 1}, paths=["src/api"])
    run("register_component", name="api", owner="b")
    assert db.value("SELECT metadata FROM components") == '{"k":1}'
    assert db.rows("SELECT agent, kind, target FROM claims ORDER BY kind") == [
        ("b", "component", "api"), ("b", "path", "src/api"),
    ]  # fmt: skip
    run("register_component", name="api", owner="b", paths=["lib"])
    assert db.rows("SELECT target FROM claims WHERE kind = 'path'") == [("lib",)]
    run("register_component", name="api", owner="b", status="inactive")
    assert db.rows("SELECT * FROM claims") == []


def test_two_agents_on_one_component_are_in_conflict(run: Run) -> None:
    work(run, "a", component="auth", status="started")
    second = work(run, "b", 2_000_000, component="auth", status="in_progress")
    assert [holder["agent"] for holder in second["conflicts"][0]["holders"]] == ["a"]
    found = run("check_conflicts", agents=["a", "b"])
    assert (found["conflicts"], found["count"]) == (True, 1)
    (item,) = found["items"]
    assert (item["kind"], item["target"]) == ("component", "auth")
    assert [(h["agent"], h["mode"], h["since"], h["reason"]) for h in item["holders"]] == [
        ("a", "edit", EPOCH_1S, "a works"), ("b", "edit", "1970-01-01T00:00:02.000000Z", "b works"),
    ]  # fmt: skip
    assert run("check_conflicts", agents=["a", "c"]) == {"conflicts": False, "count": 0, "success": True}


def test_overlapping_paths_are_a_conflict_and_neighbours_are_not(run: Run) -> None:
    work(run, "a", paths=["src/api/"], status="started")
    work(run, "b", paths=["./src/api/users.py", "src/apiary.py"], status="started")
    (item,) = run("check_conflicts", agents=["a", "b"])["items"]
    assert (item["kind"], sorted(h["target"] for h in item["holders"])) == ("path", ["src/api", "src/api/users.py"])


def test_working_in_what_another_owns_is_a_conflict(run: Run) -> None:
    run("register_component", name="auth", owner="a", paths=["src/auth/**"])
    work(run, "b", paths=["src/auth/token.py"], status="started")
    (item,) = run("check_conflicts", agents=["a", "b"])["items"]
    assert {(h["agent"], h["mode"]) for h in item["holders"]} == {("a", "own"), ("b", "edit")}
    assert item["holders"][0]["reason"] == "owns component auth"


def test_editing_a_component_means_editing_its_paths(run: Run) -> None:
    run("register_component", name="auth", owner="a", paths=["src/auth"])
    work(run, "b", component="auth", status="started")
    work(run, "c", paths=["src/auth/x.py"], status="started")
    found = run("check_conflicts", agents=["b", "c"])["items"]
    assert [(item["kind"], item["target"]) for item in found] == [("path", "src/auth")]
    owner_and_editor = run("check_conflicts", agents=["a", "b"])["items"]
    assert [item["kind"] for item in owner_and_editor] == ["component"]


def test_a_plan_is_checked_against_every_agent(run: Run) -> None:
    run("register_component", name="auth", owner="a", paths=["src/auth"])
    work(run, "b", paths=["docs/*.md"], status="started")
    planned = run("check_conflicts", agents=["me", "nobody"], component="auth", paths=["docs/README.md"])
    assert {(item["kind"], item["holders"][0]["agent"]) for item in planned["items"]} == {
        ("component", "a"), ("path", "a"), ("path", "b"),
    }  # fmt: skip
    assert run("check_conflicts", agents=["a", "x"], component="auth")["count"] == 0
    assert run("check_conflicts", agents=["me", "x"], paths=["elsewhere"])["count"] == 0


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_finished_work_is_no_conflict(run: Run, status: str) -> None:
    for agent in ("a", "b"):
        work(run, agent, paths=["x"], component="c", status="started")
    assert run("check_conflicts", agents=["a", "b"])["count"] == 2
    work(run, "a", paths=["x"], component="c", status=status)
    assert run("check_conflicts", agents=["a", "b"])["count"] == 0


def test_an_agent_that_goes_offline_gives_up_its_work_but_not_what_it_owns(run: Run, db: Database) -> None:
    work(run, "a", paths=["x"], status="started")
    run("register_component", name="c", owner="a")
    run("update_status", agent="a", status="offline")
    assert db.rows("SELECT mode, target FROM claims") == [("own", "c")]


def test_work_that_is_not_reported_again_lapses(run: Run) -> None:
    for agent in ("a", "b"):
        work(run, agent, paths=["x"], status="started")
    assert run("check_conflicts", 10 * MINUTE_US, agents=["a", "b"])["count"] == 1
    work(run, "a", 10 * MINUTE_US, paths=["x"], status="in_progress")
    assert run("check_conflicts", 12 * MINUTE_US, agents=["a", "b"])["count"] == 0
    work(run, "b", 12 * MINUTE_US, paths=["x"], status="started")
    (item,) = run("check_conflicts", 12 * MINUTE_US, agents=["a", "b"])["items"]
    since = {holder["agent"]: holder["since"] for holder in item["holders"]}
    assert since == {"a": EPOCH_1S, "b": "1970-01-01T00:12:00.000000Z"}


@pytest.mark.parametrize(
    "wrong",
    ["../up", "a/../..", "/", ".", "a\nb", "a\0b", "**/..", "/".join("a" * 65), "a" * 256, "*a" * 9],
    ids=range(10),
)
def test_a_path_that_leads_nowhere_is_refused(run: Run, wrong: str) -> None:
    with pytest.raises(ToolFailed):
        work(run, "a", paths=[wrong], status="started")


def test_a_crowd_of_claims_is_answered_in_bounds(run: Run) -> None:
    for number in range(60):
        work(run, f"agent-{number}", paths=["src/**/*.py"], status="started")
    found = run("check_conflicts", agents=[f"agent-{number}" for number in range(60)])
    assert (found["conflicts"], found["count"]) == (True, 100)


def test_a_dry_run_says_what_would_be(run: Run) -> None:
    result = run("update_status", agent="a", status="busy", dry_run=True)
    assert (result["success"], result["dry_run"]) == (True, True)
    assert result["message"].startswith('Would execute update_status with params: {"agent":"a","status":"busy"')


@pytest.mark.parametrize("name", TOOLS)
def test_every_tool_names_a_missing_and_an_unknown_argument(run: Run, name: str) -> None:
    schema = TOOLS[name].input_schema
    for wrong, words in (({}, schema["required"][0]), ({"zzz": 1}, "zzz"), ({"agent": []}, "")):
        with pytest.raises(Error) as refused:
            run(name, **wrong)
        assert words in refused.value.message


@pytest.mark.parametrize("tool", TOOLS.values(), ids=lambda tool: tool.name)
def test_every_tool_is_told_in_full_and_within_the_limits_of_mcp(tool: Any) -> None:
    listing = registry.listing(tool)
    assert 1 <= len(listing["name"]) <= 64
    assert listing["description"][-1] == "."
    assert set(listing["inputSchema"]["required"]) <= listing["inputSchema"]["properties"].keys()
    assert listing["inputSchema"]["additionalProperties"] is False
    assert listing["outputSchema"]["properties"].keys() >= {"success", "dry_run", "message"}


def test_the_list_of_tools_stays_small_enough_for_an_agents_context() -> None:
    assert len(orjson.dumps([registry.listing(tool) for tool in TOOLS.values()])) < 11_400


def test_large_arguments_are_audited_by_their_hash(db: Database) -> None:
    for arguments in ({"a": 1}, {"a": "x" * 10_000}):
        audit.add(db, Entry(1, "root", "tools/call", "t", "ok", 2, "id", None, arguments))
    small, large = (orjson.loads(row[0]) for row in db.rows("SELECT details FROM audit ORDER BY id"))
    assert small == {"a": 1}
    assert (large["size_bytes"], len(large["sha256"])) == (10_008, 64)
