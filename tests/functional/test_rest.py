"""The REST endpoints that only read: the keys of every version, held to their own OpenAPI schemas."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
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
    assert security["security"]["dangerous_operations"] == ["delete_component", "stop_agent", "restart_agent"]
    policies = security["policies"]
    assert (policies["token_expiry_hours"], policies["consent_expiry_minutes"]) == (24, 30)
    assert policies["rate_limit_per_minute"] == 1000
    assert ".git" in security["policies"]["path_blacklist"]
    assert get(rpc, "/api/mcp/ws-config").json["polling_interval"] == 10000


def test_response_times_are_those_of_the_audit(rpc: Daemon) -> None:
    figures = get(rpc, "/api/mcp/performance/metrics").json
    assert figures["request_count"] == 27
    assert 0 < figures["avg_response_time"] <= figures["p99_response_time"] < 1
    assert (figures["error_rate"], figures["cpu_usage"]) == (0, None)
    assert 0 < figures["cache_hit_rate"] <= 1
    report = get(rpc, "/api/mcp/performance/report").json
    times = report["metrics"]["response_time"]
    assert times["minimum"] <= times["average"] <= times["maximum"]
    assert report["recommendations"] == []


def test_slow_queries_are_those_that_took_long(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path, "slow_query_s = 0.000001\n")
    daemon.migrate()
    daemon.start()
    try:
        get(daemon, "/api/mcp/status")  # what only reads has its queries written down with the next change
        call(daemon, "check_conflicts", {"agents": ["a", "b"]})
        found = get(daemon, "/api/mcp/performance/slow-queries").json["slow_queries"]
        assert any("FROM claims" in query["query"] for query in found)
        assert all(0 < query["avg_time"] <= query["max_time"] for query in found)
        assert [query["avg_time"] for query in found] == sorted((query["avg_time"] for query in found), reverse=True)
        report = get(daemon, "/api/mcp/performance/report").json
        assert len(report["slow_queries"]) == 5
        db = Database(str(daemon.database), read_only=True)
        slowest = db.rows("SELECT * FROM query_performance ORDER BY execution_time DESC LIMIT 10")  # as in the guide
        db.close()
        assert len(slowest) == 10
    finally:
        daemon.close()


def test_nothing_is_slow_by_itself(rpc: Daemon) -> None:
    assert get(rpc, "/api/mcp/performance/slow-queries").json["slow_queries"] == []


def test_the_caches_are_counted_and_kept_for_who_reads_the_table(rpc: Daemon) -> None:
    for _ in range(2):
        pages, statements = get(rpc, "/api/mcp/performance/cache-stats").json["caches"]
    assert (pages["cache_type"], statements["cache_type"]) == ("pages", "statements")
    assert min(pages["hits"], statements["hits"], pages["memory_usage"]) > 0
    db = Database(str(rpc.database), read_only=True)
    assert db.value("SELECT count(*) FROM cache_stats") == 2  # once a minute at most
    db.close()


@pytest.mark.parametrize(
    ("query", "suggestion"),
    [
        ("SELECT * FROM audit", "no WHERE: every row is read"),
        ("select id from audit where caller like '%x'", "LIKE with a leading wildcard cannot use an index"),
        ("SELECT id FROM audit ORDER BY id", "ORDER BY without LIMIT sorts everything"),
        ("SELECT 1", None),
    ],
)
def test_a_query_is_judged_and_not_run(rpc: Daemon, query: str, suggestion: str | None) -> None:
    [found] = rpc.post("/api/mcp/performance/analyze", {"query": query}).json["queries"]
    assert found["plan"]
    assert suggestion in found["suggestions"] if suggestion else not found["suggestions"]


@pytest.mark.parametrize(
    "query",
    [
        "DROP TABLE audit", "SELECT 1; DROP TABLE audit", "DELETE FROM audit", "ATTACH '/tmp/x.db' AS x", "",
        "nonsense", "PRAGMA writable_schema = 1", "SELECT ?", "SELECT 1; SELECT 2", "VACUUM INTO '/tmp/x.db'", 5, [],
        "x" * 9000, "SELECT '\0'",
    ],
)  # fmt: skip
def test_what_is_no_query_is_refused(rpc: Daemon, query: Any) -> None:
    reply = rpc.post("/api/mcp/performance/analyze", {"query": query})
    assert (reply.status, reply.json["error"][:6]) == (400, "query:")
    assert get(rpc, "/api/mcp/audit").json["count"] > 0


def test_without_a_query_the_slow_ones_are_judged(rpc: Daemon) -> None:
    for body in (b"", b"{}"):
        assert rpc.post("/api/mcp/performance/analyze", body).json["queries"] == []


OLD_TABLES = {
    "capabilities": "session_id, client_info, negotiated_capabilities, created_at, last_used",
    "resources": "uri, name, type, description, last_accessed, access_count",
    "prompts": "name, description, category, arguments, template",
    "resource_access_log": "id, uri, session_id, timestamp, success, error_message",
    "sessions": "id, client_id, started_at, ended_at, capabilities, metadata",
    "tool_executions": "id, session_id, tool_name, parameters, result, executed_at, execution_time, success,"
    " error_message, idempotency_key",
    "audit_log": "id, timestamp, session_id, user_id, operation, resource, result, ip_address, request_id, details,"
    " event_type, level, message, metadata",
    "idempotency_cache": "key, result, created_at, expires_at",
    "performance_metrics": "id, timestamp, metric_type, value, metadata",
    "query_performance": "id, query_hash, query_text, execution_time, row_count, timestamp",
    "cache_stats": "id, timestamp, cache_type, hits, misses, hit_rate, memory_usage",
    "oauth_tokens": "token_id, session_id, user_id, scopes, issued_at, expires_at, revoked",
    "consent_decisions": "id, session_id, operation, resource, decision, timestamp, expires_at, reason",
    "path_access_log": "id, timestamp, path, normalized_path, access_type, allowed, reason, session_id",
    "agent_states": "agent, last_seen, status, current_task, capabilities, metadata",
    "activities": "id, agent, timestamp, activity, category, metadata, status, details",
    "components": "id, name, type, owner, description, dependencies, interfaces, created_at, updated_at, version,"
    " status, last_updated, metadata",
    "decisions": "id, proposer, decision, options, votes, status, consensus_required, created_at, resolved_at,"
    " category, question, proposed_by, approved_by, timestamp, metadata",
    "conflicts": "id, agents, issue, resolved, resolution, timestamp, agent1, agent2, component, conflict_type,"
    " severity, created_at, detected_at, resolved_at",
}
"""The tables of the old system that its guide and its tools read, with the columns that they select."""


@pytest.mark.parametrize("table", OLD_TABLES)
def test_the_tables_that_the_guide_reads_are_there(rpc: Daemon, table: str) -> None:
    db = Database(str(rpc.database), read_only=True)
    rows = db.rows(f"SELECT {OLD_TABLES[table]} FROM {table}")
    if table == "audit_log":
        assert db.one("SELECT operation, result, session_id FROM audit_log ORDER BY id LIMIT 1") == (
            "tools/call", "success", "s",
        )  # fmt: skip
    db.close()
    assert rows or table not in ("audit_log", "tool_executions", "sessions", "capabilities", "performance_metrics")


def test_times_of_the_tables_are_what_the_old_tools_compare_with_now(rpc: Daemon) -> None:
    db = Database(str(rpc.database), read_only=True)
    active = "SELECT agent FROM agent_states WHERE {} > datetime('now', '-5 minutes') ORDER BY agent"
    for seen in ("last_seen", "datetime(last_seen)"):
        assert db.rows(active.format(seen)) == [("agent-0",), ("agent-1",), ("database",), ("testing",)]
    assert db.value("SELECT count(*) FROM agent_states WHERE last_seen > datetime('now', '+1 minute')") == 0
    newest = db.one("SELECT activity, timestamp, at_us FROM activities ORDER BY timestamp DESC, id DESC LIMIT 1")
    assert newest is not None
    at = datetime.fromisoformat(f"{newest[1]}+00:00")
    assert (newest[0], abs(at.timestamp() - newest[2] / 1e6) <= 0.001) == ("x", True)
    assert db.one("SELECT name, type, dependencies FROM components") == ("users", "database", '["auth"]')
    assert db.one("SELECT agent1, agent2, conflict_type, resolved_at FROM conflicts WHERE resolved = 0") == (
        "old-a", "old-b", "both edit", None,
    )  # fmt: skip
    db.close()


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
