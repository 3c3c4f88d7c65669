"""Prompts as clients get them, as REST and mcpctl change them, and the completion of their arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from mcpd.store.database import Database
from tests.functional.daemon import Daemon, Reply
from tests.functional.mcp import ALL, MODERN, call, in_revision, modern
from tests.functional.test_mcpctl import answer, at, mcpctl, refused

SIX = ["analyze_code", "analyze_performance", "debug_agent", "deploy_system", "generate_test", "run_tests"]
GREET: dict[str, Any] = {
    "title": "Greet",
    "description": "Greet somebody",
    "category": "test",
    "arguments": [{"name": "who", "required": True, "source": "agents"}, {"name": "where", "source": "paths"}],
    "template": "Hello, {who}{?, in {where}}! {{}}",
}


def get(rpc: Daemon, name: Any, arguments: Any = None) -> Any:
    return modern(rpc, "prompts/get", {"name": name} | ({} if arguments is None else {"arguments": arguments})).json


def text(rpc: Daemon, name: str, **arguments: str) -> str:
    [message] = get(rpc, name, arguments)["result"]["messages"]
    assert (message["role"], message["content"]["type"]) == ("user", "text")
    found: str = message["content"]["text"]
    return found


def put(rpc: Daemon, name: str, body: object) -> Reply:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return rpc.request("PUT", f"/api/mcp/prompts/{name}", data)


def ask(rpc: Daemon, method: str, params: dict[str, Any] | None = None) -> Any:
    return rpc.post("/jsonrpc", {"jsonrpc": "2.0", "id": 5, "method": method, "params": params or {}}).json


# --- MCP


@pytest.mark.parametrize("version", ALL)
def test_every_revision_lists_and_gets_the_six(shared_rpc: Daemon, version: str) -> None:
    result = in_revision(shared_rpc, version, "prompts/list")["result"]
    assert [prompt["name"] for prompt in result["prompts"]] == SIX
    titled = version not in ("2025-03-26", "2024-11-05")
    for prompt in result["prompts"]:
        assert prompt["description"]
        assert ("title" in prompt) is titled
        assert all(argument.keys() == {"name", "description", "required"} for argument in prompt["arguments"])
    assert ("ttlMs" in result) is (version == MODERN)
    params = {"name": "deploy_system", "arguments": {"environment": "staging"}}
    result = in_revision(shared_rpc, version, "prompts/get", params)["result"]
    assert result["messages"][0]["content"]["text"] == "Deploy multi-agent system to staging environment"
    assert result["description"] == "Deploy the multi-agent system"
    assert "ttlMs" not in result
    error = in_revision(shared_rpc, version, "prompts/get", {"name": "no_such"})["error"]
    assert error["code"] == -32602


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        (
            "deploy_system",
            {"environment": "production", "version": "v2.0.0"},
            "Deploy multi-agent system to production environment, version v2.0.0",
        ),
        (
            "deploy_system",
            {"environment": "{version}", "version": ""},
            "Deploy multi-agent system to {version} environment",
        ),
        ("run_tests", {"suite": "unit"}, "Run unit test suite"),
        ("run_tests", {"suite": "unit", "verbose": "true"}, "Run unit test suite (verbose: true)"),
        ("analyze_performance", {"component": "api"}, "Analyze performance of api"),
        ("analyze_performance", {"component": "api", "duration": "1h"}, "Analyze performance of api over 1h"),
        ("debug_agent", {"agent_name": "bob"}, "Debug the bob agent"),
        ("analyze_code", {"code": "if x: {y}\n"}, "Analyze the following code:\nif x: {y}\n"),
        ("generate_test", {"component": "api"}, "Generate tests for:\napi"),
    ],
)
def test_arguments_go_in_and_missing_ones_leave_nothing(
    shared_rpc: Daemon, name: str, arguments: dict[str, str], expected: str
) -> None:
    assert text(shared_rpc, name, **arguments) == expected


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("no_such", {}, "unknown prompt 'no_such'"),
        (7, {}, '"name"'),
        (None, {}, '"name"'),
        ("", {}, "unknown prompt ''"),
        ("deploy_system", None, "'environment': is missing; it is required"),
        ("deploy_system", {}, "'environment': is missing; it is required"),
        ("deploy_system", {"environment": ""}, "'environment': is empty"),
        ("deploy_system", {"environment": 7}, "'environment': expected a string, got int"),
        ("deploy_system", {"environment": None}, "'environment': expected a string, got NoneType"),
        ("deploy_system", {"environment": "x", "colour": "red"}, "'colour'; expected environment, version"),
        ("run_tests", {"suite": "unit", "verbose": True}, "'verbose': expected a string, got bool"),
        ("run_tests", {"suite": "unit", "verbose": "yes"}, "'verbose': expected \"true\" or \"false\", got 'yes'"),
        ("run_tests", ["unit"], "expected an object, got list"),
        ("run_tests", "unit", "expected an object, got str"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(shared_rpc: Daemon, name: Any, arguments: Any, words: str) -> None:
    error = get(shared_rpc, name, arguments)["error"]
    assert error["code"] == -32602
    assert words in error["message"]


def test_a_long_list_of_prompts_comes_in_pages(rpc: Daemon) -> None:
    names = [f"p{number:03}" for number in range(120)]
    for name in names:
        assert put(rpc, name, {"description": "d", "template": "t"}).status == 201
    first = modern(rpc, "prompts/list").json["result"]
    second = modern(rpc, "prompts/list", {"cursor": first["nextCursor"]}).json["result"]
    assert [prompt["name"] for prompt in first["prompts"] + second["prompts"]] == SIX[:-1] + names + SIX[-1:]
    assert len(first["prompts"]) == 100
    assert "nextCursor" not in second


# --- completion


def complete(rpc: Daemon, ref: Any, argument: Any, **more: Any) -> Any:
    return modern(rpc, "completion/complete", {"ref": ref, "argument": argument, **more}).json


def values(rpc: Daemon, prompt: str, name: str, value: str) -> list[str]:
    ref = {"type": "ref/prompt", "name": prompt}
    found = complete(rpc, ref, {"name": name, "value": value}, context={"arguments": {"x": "y"}})["result"][
        "completion"
    ]
    assert found["total"] == len(found["values"])
    assert found["hasMore"] is False
    result: list[str] = found["values"]
    return result


def test_arguments_are_completed_from_their_source(rpc: Daemon) -> None:
    call(rpc, "register_component", name="api", owner="alice")
    call(rpc, "heartbeat", agent="albert")
    assert values(rpc, "deploy_system", "environment", "") == ["production", "staging", "development"]
    assert values(rpc, "deploy_system", "environment", "s") == ["staging"]
    assert values(rpc, "deploy_system", "version", "") == []
    assert values(rpc, "run_tests", "verbose", "t") == ["true"]
    assert values(rpc, "debug_agent", "agent_name", "al") == ["albert", "alice"]
    assert values(rpc, "debug_agent", "agent_name", "ali") == ["alice"]
    assert values(rpc, "debug_agent", "agent_name", "_l") == []
    assert values(rpc, "analyze_performance", "component", "") == ["api"]


def test_at_most_a_hundred_values_and_how_many_there_are(rpc: Daemon) -> None:
    for number in range(130):
        call(rpc, "heartbeat", agent=f"a{number:03}")
    ref = {"type": "ref/prompt", "name": "debug_agent"}
    found = complete(rpc, ref, {"name": "agent_name", "value": "a"})["result"]["completion"]
    assert found["values"] == [f"a{number:03}" for number in range(100)]
    assert (found["total"], found["hasMore"]) == (130, True)


def test_paths_complete_an_argument_that_says_so(tmp_path: Path) -> None:
    root, folder = tmp_path / "project", tmp_path / "daemon"
    (root / "src").mkdir(parents=True)
    folder.mkdir()
    daemon = Daemon(folder, f'[resources]\nroots = ["{root}"]\n')
    daemon.migrate()
    daemon.start()
    assert put(daemon, "greet", GREET).status == 201
    assert values(daemon, "greet", "where", "s") == ["src/"]
    daemon.close()


@pytest.mark.parametrize(
    ("ref", "argument", "words"),
    [
        (None, {"name": "a", "value": ""}, '"ref"'),
        ("run_tests", {"name": "a", "value": ""}, '"ref"'),
        ({"type": "ref/tool", "name": "x"}, {"name": "a", "value": ""}, '"ref"'),
        ({"type": ["ref/prompt"]}, {"name": "a", "value": ""}, '"ref"'),
        ({"type": "ref/prompt"}, {"name": "a", "value": ""}, '"name"'),
        ({"type": "ref/resource"}, {"name": "a", "value": ""}, "URI template"),
        ({"type": "ref/prompt", "name": "no_such"}, {"name": "a", "value": ""}, "unknown prompt"),
        ({"type": "ref/prompt", "name": "run_tests"}, {"name": "a", "value": ""}, "unknown argument 'a'"),
        ({"type": "ref/prompt", "name": "run_tests"}, None, '"argument"'),
        ({"type": "ref/prompt", "name": "run_tests"}, {"name": "suite"}, "expected strings"),
        ({"type": "ref/prompt", "name": "run_tests"}, {"name": "suite", "value": 7}, "expected strings"),
        ({"type": "ref/prompt", "name": "run_tests"}, {"name": "suite", "value": "x" * 3000}, "2048 characters"),
    ],
)
def test_what_cannot_be_completed_is_refused(shared_rpc: Daemon, ref: Any, argument: Any, words: str) -> None:
    error = complete(shared_rpc, ref, argument)["error"]
    assert error["code"] == -32602
    assert words in error["message"]


# --- REST


def test_a_prompt_is_made_replaced_and_removed_with_audit_and_event(rpc: Daemon) -> None:
    made = put(rpc, "greet", GREET)
    assert (made.status, made.json["name"], made.json["template"]) == (201, "greet", GREET["template"])
    assert rpc.request("GET", "/api/mcp/prompts/greet").json == made.json
    assert text(rpc, "greet", who="you", where="{who}") == "Hello, you, in {who}! {}"
    assert put(rpc, "greet", made.json | {"template": "Hi {who}{? of {where}}"}).status == 200
    assert text(rpc, "greet", who="you") == "Hi you"
    assert put(rpc, "greet", b"{").status == 400
    assert rpc.request("DELETE", "/api/mcp/prompts/greet").json == {"name": "greet", "removed": True}
    assert rpc.request("DELETE", "/api/mcp/prompts/greet").status == 404
    assert rpc.request("GET", "/api/mcp/prompts/greet").status == 404
    assert get(rpc, "greet")["error"]["code"] == -32602
    db = Database(str(rpc.database), read_only=True)
    audited = db.rows("SELECT operation, resource, outcome FROM audit ORDER BY id")
    events = db.rows("SELECT topic, json_extract(data, '$.prompt'), json_extract(data, '$.change') FROM events")
    db.close()
    assert audited == [
        ("prompts/set", "greet", "ok"), ("prompts/set", "greet", "ok"), ("prompts/set", "greet", "refused"),
        ("prompts/remove", "greet", "ok"), ("prompts/remove", "greet", "refused"),
    ]  # fmt: skip
    assert events == [("prompts.changed", "greet", change) for change in ("set", "set", "removed")]


def test_what_was_changed_outlives_a_restart_and_an_upgrade(rpc: Daemon) -> None:
    put(rpc, "greet", GREET)
    rpc.request("DELETE", "/api/mcp/prompts/run_tests")
    rpc.stop()
    rpc.migrate()
    rpc.start()
    listed = [prompt["name"] for prompt in modern(rpc, "prompts/list").json["result"]["prompts"]]
    assert listed == [*SIX[:4], "generate_test", "greet"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"template": "Hello, {who}{?, in {where}} {other}"}, "'other' is in the template, but not declared"),
        ({"template": "Hello, {who}"}, "'where' is declared, but not in the template"),
        ({"template": "Hello, {who} {where}"}, "'where' is optional, so its placeholder must stand in a part"),
        ({"template": "Hello, {who}{? {where}}{? {who}}"}, "no optional argument in it"),
        ({"template": "Hello, {who}{? {where}"}, "character 13: an optional part without its '}'"),
        ({"template": "{?a {?b}} {who} {where}"}, "character 5: an optional part inside another one"),
        ({"template": "{who} } {? {where}}"}, "character 7: '}' that closes nothing"),
        ({"template": "{who} { x } {? {where}}"}, "character 7: '{' that begins neither"),
        ({"template": ""}, "template"),
        ({"template": 7}, "template"),
        ({"template": None}, "template"),
        ({"template": "x" * 20000}, "template"),
        ({"description": ""}, "description"),
        ({"arguments": GREET["arguments"][:1] * 2}, "'who' is declared twice"),
        ({"arguments": [{"name": "not a name"}]}, "arguments[0].name"),
        ({"arguments": [{"name": "who", "source": "stars"}]}, "arguments[0].source"),
        ({"arguments": [{"name": "who", "colour": 1}]}, "colour"),
        ({"arguments": {}}, "arguments"),
        ({"colour": "red"}, "colour"),
        ({"name": "other"}, "is called 'other' inside"),
    ],
)
def test_a_prompt_that_is_wrong_is_refused_precisely(shared_rpc: Daemon, change: dict[str, Any], words: str) -> None:
    reply = put(shared_rpc, "greet", GREET | change)
    assert reply.status == 400
    assert words in reply.json["error"]
    assert shared_rpc.request("GET", "/api/mcp/prompts/greet").status == 404


@pytest.mark.parametrize("name", ["a%20b", "%2e%2e%2f", "x" * 65, "%ff", "{name}", "%7Bname%7D", "", "a%0a"])
def test_a_name_that_is_none_is_refused(shared_rpc: Daemon, name: str) -> None:
    assert put(shared_rpc, name, GREET).status == 400
    assert shared_rpc.request("GET", f"/api/mcp/prompts/{name}").status == 404


def test_what_is_no_object_is_refused(shared_rpc: Daemon) -> None:
    for body in (b"", b"[]", b"7", b"\xff", b'"x"'):
        assert put(shared_rpc, "greet", body).status == 400
    reply = shared_rpc.request("POST", "/api/mcp/prompts/greet", b"{}")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, PUT, DELETE")
    for path in ("/api/mcp/prompts/a/b", "/api/mcp/status/x", "/api/mcp/nothing"):
        assert shared_rpc.request("GET", path).status == 404


# --- the older dialect


def test_the_dialect_lists_and_executes(shared_rpc: Daemon) -> None:
    listed = ask(shared_rpc, "prompts/list")["result"]
    assert [prompt["name"] for prompt in listed] == SIX
    assert shared_rpc.request("GET", "/api/mcp/prompts").json == {"prompts": listed}
    tests = listed[-1]
    assert tests["arguments"] == [
        {"name": "suite", "type": "string", "required": True},
        {"name": "verbose", "type": "boolean", "required": False},
    ]
    assert tests["template"].startswith("Run {suite} test suite")
    done = ask(shared_rpc, "prompts/execute", {"name": "run_tests", "arguments": {"suite": "all", "verbose": True}})
    assert done["result"].keys() == {"prompt", "result", "executed_at"}
    assert (done["result"]["prompt"], done["result"]["result"]) == ("run_tests", "Run all test suite (verbose: true)")
    assert done["result"]["executed_at"].endswith("Z")


@pytest.mark.parametrize(
    "params", [{}, {"name": "no_such"}, {"name": "run_tests"}, {"name": "run_tests", "arguments": {"suite": {}}}]
)
def test_the_dialect_refuses_what_does_not_fit(shared_rpc: Daemon, params: dict[str, Any]) -> None:
    assert ask(shared_rpc, "prompts/execute", params)["error"]["code"] == -32602


# --- mcpctl prompt


def test_mcpctl_manages_prompts(rpc: Daemon, tmp_path: Path) -> None:
    listed = mcpctl(*at(rpc), "prompt", "list")
    assert listed.returncode == 0
    [line] = [line for line in listed.stdout.splitlines() if line.startswith("run_tests")]
    assert "suite [verbose]" in line
    assert [prompt["name"] for prompt in answer(mcpctl(*at(rpc), "--json", "prompt", "list"))] == SIX
    shown = answer(mcpctl(*at(rpc), "prompt", "show", "run_tests", "--json"))
    changed = tmp_path / "changed.json"
    changed.write_text(orjson.dumps(shown | {"template": "Test {suite}{? with {verbose}}\x1b"}).decode())
    done = mcpctl(*at(rpc), "prompt", "set", "run_tests", str(changed))
    assert (done.returncode, done.stdout) == (0, "run_tests: set\n")
    assert text(rpc, "run_tests", suite="all") == "Test all\x1b"
    assert "Test {suite}{? with {verbose}}\\x1b\n" in mcpctl(*at(rpc), "prompt", "show", "run_tests").stdout
    assert answer(mcpctl(*at(rpc), "--json", "prompt", "set", "greet", "-", text=orjson.dumps(GREET).decode()))["name"]
    assert mcpctl(*at(rpc), "prompt", "remove", "greet").stdout == "greet: removed\n"


def test_mcpctl_prompt_says_what_is_wrong(rpc: Daemon, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    refused(mcpctl(*at(rpc), "prompt", "set", "x", str(bad)), 64, "is not JSON")
    refused(mcpctl(*at(rpc), "prompt", "set", "x", str(tmp_path / "none")), 64, "cannot be read")
    bad.write_text(orjson.dumps(GREET | {"template": "{who}"}).decode())
    refused(mcpctl(*at(rpc), "--json", "prompt", "set", "x", str(bad)), 1, "'where' is declared")
    refused(mcpctl(*at(rpc), "prompt", "show", "no/such"), 1, "unknown prompt 'no/such'")
    refused(mcpctl(*at(rpc), "prompt", "remove", "none"), 1, "unknown prompt")
    for words in (["show"], ["set", "x"], ["list", "x"], ["remove", "a", "b"], ["destroy", "x"], []):
        refused(mcpctl(*at(rpc), "prompt", *words), 64)
