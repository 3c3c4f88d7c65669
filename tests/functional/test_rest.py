"""The REST endpoints that only read: the keys of every version, held to their own OpenAPI schemas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from mcpd.server import openapi
from mcpd.server.performance import quantile
from mcpd.server.records_endpoint import HANDLERS
from mcpd.store.database import Database
from tests.functional.daemon import Daemon, Reply
from tests.functional.test_jsonrpc import ask, call


@pytest.fixture(scope="module")
def rpc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with some work in it, some of it from the old system."""
    daemon = Daemon(tmp_path_factory.mktemp("daemon"))
    daemon.migrate()
    db = Database(str(daemon.database))
    db.execute(
        "INSERT INTO conflicts (agents, component, issue, severity, resolved, created_us) VALUES"
        " ('[\"old-a\",\"old-b\"]', 'auth', 'both edit', 'high', 0, 5), ('[]', NULL, 'done with', 'low', 1, 6)"
    )
    db.close()
    daemon.start()
    for number in range(25):
        given = {"agent": f"agent-{number % 2}", "activity": f"work {number}", "category": "task"}
        call(daemon, "log_activity", given | ({"category": "error"} if number == 7 else {}), {"X-Session-ID": "s"})
    component = {"agent": "database", "name": "users", "type": "database", "dependencies": ["auth"]}
    call(daemon, "register_component", component)
    editing = {"agent": "testing", "activity": "x", "category": "task", "status": "started", "component": "users"}
    call(daemon, "log_activity", editing)
    yield daemon
    daemon.close()


def get(rpc: Daemon, path: str) -> Reply:
    """Read; every answer must be what the API's description says of it."""
    reply = rpc.request("GET", path)
    if reply.status == 200:
        document = openapi.document({path.partition("?")[0]: ["GET"]})
        (operation,) = document["paths"].values()
        schema = operation["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        jsonschema.validate(reply.json, schema | {"components": document["components"]})
    return reply


def test_activities_come_in_parts(rpc: Daemon) -> None:
    first = get(rpc, "/api/mcp/activities").json
    assert (len(first["activities"]), first["total"], first["limit"], first["has_more"]) == (20, 26, 20, True)
    newest = first["activities"][1]
    assert (newest["action"], newest["activity"], newest["type"], newest["category"]) == (
        "work 24", "work 24", "task", "task",
    )  # fmt: skip
    rest = get(rpc, "/api/mcp/activities?limit=50&offset=20&_t=123").json
    assert [item["activity"] for item in rest["activities"]] == [f"work {n}" for n in (5, 4, 3, 2, 1, 0)]
    assert rest["has_more"] is False
    of_one = get(rpc, "/api/mcp/activities?agent=agent-1&category=error").json
    assert [item["activity"] for item in of_one["activities"]] == ["work 7"]
    assert get(rpc, "/api/mcp/activities?limit=99999").json["limit"] == 1000


def test_components_have_the_keys_of_all_versions(rpc: Daemon) -> None:
    [component] = get(rpc, "/api/mcp/components").json
    assert (component["name"], component["owner"], component["type"]) == ("users", "database", "database")
    assert (component["dependencies"], component["version"]) == (["auth"], 1)


def test_conflicts_are_those_that_stand_and_those_recorded(rpc: Daemon) -> None:
    live, recorded = get(rpc, "/api/mcp/conflicts").json
    assert (live["agents"], live["component"], live["conflict_type"]) == (["database", "testing"], "users", "ownership")
    assert (recorded["agent1"], recorded["agent2"], recorded["issue"]) == ("old-a", "old-b", "both edit")


def test_the_audit_tells_who_did_what(rpc: Daemon) -> None:
    logs = get(rpc, "/api/mcp/audit?limit=2").json
    assert (logs["count"], logs["limit"], [entry["resource"] for entry in logs["logs"]]) == (
        2, 2, ["log_activity", "register_component"],
    )  # fmt: skip
    assert logs["logs"][0]["details"]["agent"] == "testing"
    assert get(rpc, "/api/mcp/audit?session_id=s").json["count"] == 25
    assert get(rpc, "/api/mcp/audit?session_id=none").json["logs"] == []


def test_nothing_is_claimed_that_is_not_done(rpc: Daemon) -> None:
    security = get(rpc, "/api/mcp/security").json
    assert security["policies"]["rate_limit_per_minute"] is None
    assert ".git" in security["policies"]["path_blacklist"]
    assert get(rpc, "/api/mcp/ws-config").json["polling_interval"] == 10000


def test_response_times_are_those_of_the_audit(rpc: Daemon) -> None:
    figures = get(rpc, "/api/mcp/performance/metrics").json
    assert figures["request_count"] == 27
    assert 0 < figures["avg_response_time"] <= figures["p99_response_time"] < 1
    assert (figures["error_rate"], figures["cpu_usage"]) == (0, None)
    report = get(rpc, "/api/mcp/performance/report").json
    times = report["metrics"]["response_time"]
    assert times["minimum"] <= times["average"] <= times["maximum"]
    assert report["recommendations"] == []


def test_quantiles_are_of_the_nearest_rank() -> None:
    ordered = [float(n) for n in range(1, 101)]
    assert (quantile(ordered, 0.95), quantile(ordered, 0.99), quantile([3.0], 0.95)) == (95.0, 99.0, 3.0)
    assert quantile([], 0.5) is None


def test_the_status_has_what_clients_of_every_version_read(rpc: Daemon) -> None:
    status = get(rpc, "/api/mcp/status").json
    first = {"activities", "components", "agent_states", "stats", "server_running", "tmux_sessions", "timestamp"}
    second = {"status", "mcp_version", "capabilities", "agents", "activities", "system_stats"}
    compliant = {"version", "protocol", "transports", "websocket_clients", "compliance"}
    assert first | second | compliant <= set(status)
    assert {
        "recent_activities", "total_activities", "total_components", "active_agents", "conflicts_detected",
        "tools_available", "resources_available", "prompts_available", "activities_total", "agents_online",
    } <= set(status["stats"])  # fmt: skip
    assert (status["stats"]["conflicts_detected"], status["websocket_clients"]) == (2, None)
    assert status["system_stats"]["prompts_available"] == status["stats"]["prompts_available"] == 6
    features = ask(rpc, "capabilities").json["result"]
    assert len(features["supports"]) + len(features["features"]) == 7


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "%D9%A3", "%20", "9" * 30])
def test_a_number_that_is_none_is_refused(rpc: Daemon, value: str) -> None:
    reply = get(rpc, f"/api/mcp/activities?offset={value}")
    assert reply.status == 400
    assert reply.json["error"].startswith("parameter 'offset': expected a whole number")


@pytest.mark.parametrize("path", HANDLERS)
def test_a_malformed_query_breaks_nothing(rpc: Daemon, path: str) -> None:
    for query in ("%", "%ff=%00", "=", "&&&", "a=" * 2000, "&".join(f"a{n}=1" for n in range(60)), "agent=%00%f0"):
        reply: Any = rpc.request("GET", f"{path}?{query}")
        assert reply.status in (200, 400), (query, reply.body)
