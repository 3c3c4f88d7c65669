"""Resources as clients read them: every kind, every revision, and every way to ask for what is none of theirs."""

from __future__ import annotations

import base64
import os
import pwd
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from mcpd.resources.files import FORBIDDEN
from mcpd.store.database import Database
from tests.functional.daemon import Daemon
from tests.functional.mcp import ACCEPT, ALL, META, MODERN, call, in_revision, in_session, initialize, modern

TEXT = "# Project\n\nWith an é.\n"
BLOB = b"\x89PNG\r\n\xff\x00"
FIXED = ["file://README.md", "db://schema/complete", "api://swagger/spec", "activity://recent", "events://recent"]
MAX_BYTES = 4096


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with everything in it that must be served, and that must not."""
    base = tmp_path_factory.mktemp("files")
    outside = base / "outside"
    outside.mkdir()
    (outside / "private.txt").write_text("private")
    (base / "project-two").mkdir()  # its path begins as the project's does
    (base / "project-two" / "b.txt").write_text("other")
    root = base / "project"
    (root / "src").mkdir(parents=True)
    (root / "README.md").write_text(TEXT)
    (root / "src" / "main.py").write_text("print()\n")
    (root / "src" / "data.json").write_text("{}")
    (root / "100% sure?.txt").write_text("yes")
    (root / "logo.png").write_bytes(BLOB)
    (root / "latin.txt").write_bytes(b"caf\xe9")
    (root / "empty").write_bytes(b"")
    (root / "full").write_bytes(b"x" * MAX_BYTES)
    (root / "huge").write_bytes(b"x" * (MAX_BYTES + 1))
    (root / "inside").symlink_to("src/main.py")
    (root / "out").symlink_to(outside / "private.txt")
    (root / "outdir").symlink_to("../outside")
    (root / "loop").symlink_to("loop")
    (root / "harmless").symlink_to(".env")
    os.mkfifo(root / "fifo")
    for name in (".git", ".ssh"):
        (root / name).mkdir()
        (root / name / "config").write_text("x")
    for name in (
        ".env",
        "id_rsa",
        "id_ed25519",
        "a.pem",
        "A.KEY",
        "my_Secret.txt",
        "tokens",
        "PASSWORDS",
        "credentials",
    ):
        (root / name).write_text("x")
    return root


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Iterator[Daemon]:
    """A daemon that serves the project, and knows an agent and a component."""
    second = project.parent / "project-two"
    settings = f'[resources]\nroots = ["{project}", "{second}"]\nmax_file_bytes = {MAX_BYTES}\n'
    daemon = Daemon(tmp_path_factory.mktemp("daemon"), settings)
    daemon.migrate()
    daemon.start()
    call(daemon, "update_status", agent="Backend API/é", status="busy", current_task="the parser")
    call(daemon, "register_component", name="api", owner="Backend API/é", paths=["src"], metadata={"tier": 1})
    call(daemon, "log_activity", agent="bob", activity="tests", category="task", status="started", paths=["t"])
    yield daemon
    daemon.close()


def read(rpc: Daemon, uri: Any) -> Any:
    return modern(rpc, "resources/read", {"uri": uri}).json


def content(rpc: Daemon, uri: str) -> dict[str, Any]:
    [found] = read(rpc, uri)["result"]["contents"]
    assert found["uri"] == uri
    result: dict[str, Any] = found
    return result


def document(rpc: Daemon, uri: str) -> Any:
    found = content(rpc, uri)
    assert found["mimeType"] == "application/json"
    return orjson.loads(found["text"])


def accesses(rpc: Daemon, columns: str = "uri, caller, success, error") -> list[tuple[Any, ...]]:
    db = Database(str(rpc.database), read_only=True)
    try:
        return db.rows(f"SELECT {columns} FROM resource_access_log ORDER BY id")
    finally:
        db.close()


# --- lists


def test_the_list_names_what_is_there_and_every_item_can_be_read(served: Daemon) -> None:
    result = modern(served, "resources/list").json["result"]
    uris = [item["uri"] for item in result["resources"]]
    encoded = "Backend%20API%2F%C3%A9"
    agents = [
        f"agent://{encoded}",
        "agent://bob",
        "component://api",
        f"config://agents/{encoded}",
        "config://agents/bob",
    ]
    assert uris == FIXED + agents
    assert "nextCursor" not in result
    assert (result["cacheScope"], result["ttlMs"] > 0, result["resultType"]) == ("private", True, "complete")
    for item in result["resources"]:
        assert item.keys() == {"uri", "name", "title", "description", "mimeType"}
        assert content(served, item["uri"])["mimeType"] == item["mimeType"]


def test_the_readme_is_also_known_by_what_url_libraries_make_of_its_uri(served: Daemon) -> None:
    found = content(served, "file://readme.md/")
    assert (found["text"], found["mimeType"]) == (TEXT, "text/markdown")


def test_without_roots_there_are_no_files(shared_rpc: Daemon) -> None:
    listed = modern(shared_rpc, "resources/list").json["result"]["resources"]
    assert [item["uri"] for item in listed][:4] == FIXED[1:]
    for uri in ("file://README.md", "file:///etc/hostname"):
        assert read(shared_rpc, uri)["error"]["code"] == -32602


def test_the_templates(served: Daemon) -> None:
    result = modern(served, "resources/templates/list").json["result"]
    found = [item["uriTemplate"] for item in result["resourceTemplates"]]
    assert found == [
        "agent://{name}",
        "component://{name}",
        "config://agents/{name}",
        "events://{topic}",
        "file://{+path}",
        "export://{name}",
    ]
    assert {"ttlMs", "cacheScope"} <= result.keys()


@pytest.mark.parametrize("version", ALL)
def test_each_revision_gets_what_it_knows(served: Daemon, version: str) -> None:
    titled = version not in ("2025-03-26", "2024-11-05")
    for method, key in (("resources/list", "resources"), ("resources/templates/list", "resourceTemplates")):
        result = in_revision(served, version, method)["result"]
        assert all(("title" in item) is titled for item in result[key])
        assert ("ttlMs" in result) is (version == MODERN)
    result = in_revision(served, version, "resources/read", {"uri": FIXED[0]})["result"]
    assert result["contents"] == [{"uri": FIXED[0], "mimeType": "text/markdown", "text": TEXT}]
    assert ("ttlMs" in result, "resultType" in result) == (version == MODERN, version == MODERN)
    error = in_revision(served, version, "resources/read", {"uri": "agent://nobody"})["error"]
    assert (error["code"], error["data"]) == (-32602 if version == MODERN else -32002, {"uri": "agent://nobody"})
    error = in_revision(served, version, "resources/read", {"uri": "file://.env"})["error"]
    assert (error["code"], error["data"]) == (-32602, {"uri": "file://.env", "reason": "forbidden_name"})


@pytest.mark.parametrize("version", ALL)
def test_each_revision_is_told_of_the_capabilities_it_knows(shared_rpc: Daemon, version: str) -> None:
    expected: dict[str, Any] = {
        "tools": {"listChanged": True},
        "resources": {"subscribe": True, "listChanged": True},
        "prompts": {"listChanged": True},
        "logging": {},
    }
    if version != "2024-11-05":
        expected["completions"] = {}
    if version == MODERN:
        expected["extensions"] = {"io.modelcontextprotocol/tasks": {}}
        result = modern(shared_rpc, "server/discover").json["result"]
    else:
        result = initialize(shared_rpc, version).json["result"]
    assert result["capabilities"] == expected


def test_a_long_list_comes_in_pages_that_miss_nothing(rpc: Daemon) -> None:
    names = [f"agent-{number:03}" for number in range(120)]
    for name in names:
        call(rpc, "heartbeat", agent=name)
    uris: list[str] = []
    params: dict[str, Any] = {}
    sizes = []
    while True:
        result = modern(rpc, "resources/list", params).json["result"]
        sizes.append(len(result["resources"]))
        uris += [item["uri"] for item in result["resources"]]
        if "nextCursor" not in result:
            break
        params = {"cursor": result["nextCursor"]}
        call(rpc, "heartbeat", agent="agent-000b")  # on a page that was read: it moves nothing
    assert sizes == [100, 100, 45]
    assert len(set(uris)) == len(uris)
    assert {f"agent://{name}" for name in names} | {f"config://agents/{name}" for name in names} <= set(uris)
    listed = modern(rpc, "resources/list").json["result"]["nextCursor"]
    assert modern(rpc, "prompts/list", {"cursor": listed}).json["error"]["code"] == -32602


@pytest.mark.parametrize("method", ["tools/list", "prompts/list", "resources/list", "resources/templates/list"])
@pytest.mark.parametrize("cursor", ["", "bogus", "AAAA", "é", "=" * 5, "x" * 100_000, 7, [], {}, True])
def test_a_cursor_that_was_never_given_out_is_refused(shared_rpc: Daemon, method: str, cursor: Any) -> None:
    error = modern(shared_rpc, method, {"cursor": cursor}).json["error"]
    assert error["code"] == -32602
    assert '"cursor"' in error["message"]


# --- what they hold


def test_files_come_as_text_or_as_a_blob(served: Daemon, project: Path) -> None:
    assert content(served, FIXED[0])["text"] == TEXT
    assert content(served, "file://src/main.py") == {
        "uri": "file://src/main.py",
        "mimeType": "text/x-python",
        "text": "print()\n",
    }
    assert content(served, "file://src/data.json")["mimeType"] == "application/json"
    assert content(served, "file://inside")["text"] == "print()\n"
    assert content(served, "file://100%25%20sure%3f.txt")["text"] == "yes"
    assert content(served, "file://empty")["text"] == ""
    assert len(content(served, "file://full")["text"]) == MAX_BYTES
    assert content(served, f"file://{project}/src/main.py")["text"] == "print()\n"
    assert content(served, f"file://{project.parent}/project-two/b.txt")["text"] == "other"
    logo = content(served, "file://logo.png")
    assert (logo["mimeType"], base64.b64decode(logo["blob"])) == ("image/png", BLOB)
    assert "text" not in logo
    assert base64.b64decode(content(served, "file://latin.txt")["blob"]) == b"caf\xe9"


def test_the_schema_is_the_one_of_the_database(served: Daemon) -> None:
    found = document(served, "db://schema/complete")
    db = Database(str(served.database), read_only=True)
    real = {
        row[0] for row in db.rows("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
    }
    version = db.value("PRAGMA user_version")
    db.close()
    assert {*found["tables"], *found["indexes"], *found["views"], *found["triggers"]} == real
    assert any(sql.startswith("CREATE TABLE resource_access_log") for sql in found["tables"])
    assert found["schema_version"] == version


def test_an_agent_shows_state_task_and_claims(served: Daemon) -> None:
    uri = "agent://Backend%20API%2F%C3%A9"
    found = document(served, uri)
    assert (found["agent"], found["status"], found["current_task"]) == ("Backend API/é", "busy", "the parser")
    claims = [(c["mode"], c.get("component"), c.get("path")) for c in found["claims"]]
    assert claims == [("own", "api", None), ("own", "api", "src")]
    call(served, "update_status", agent="Backend API/é", status="idle")
    assert document(served, uri)["status"] == "idle"
    assert document(served, "agent://bob")["claims"][0]["path"] == "t"
    configured = document(served, "config://agents/bob")
    assert configured.keys() == {"name", "status", "capabilities", "metadata", "registered", "last_seen"}
    assert configured["name"] == "bob"


def test_an_agent_that_only_its_file_describes_can_be_read(rpc: Daemon) -> None:
    (rpc.directory / "agents.d").mkdir()
    (rpc.directory / "agents.d" / "supervisor.toml").write_text('port = 8095\nuser = "nobody"\n')
    rpc.stop()
    rpc.start()
    found = document(rpc, "config://agents/supervisor")
    assert found.pop("name") == "supervisor"
    assert set(found.values()) == {None}
    assert read(rpc, "config://agents/superviso")["error"]["code"] == -32602
    call(rpc, "update_status", agent="supervisor", status="busy")
    assert document(rpc, "config://agents/supervisor")["status"] == "busy"


def test_a_component_shows_owner_paths_and_metadata(served: Daemon) -> None:
    found = document(served, "component://api")
    assert (found["owner"], found["paths"], found["metadata"]) == ("Backend API/é", ["src"], {"tier": 1})


def test_the_activities_are_those_that_were_logged(served: Daemon) -> None:
    found = document(served, "activity://recent")
    assert [(row["agent"], row["activity"]) for row in found["activities"]] == [("bob", "tests")]
    assert found["total"] == 1


# --- the API's description is true


def fits(value: Any, schema: dict[str, Any], schemas: dict[str, Any]) -> bool:
    """Say whether *value* is what *schema* describes, in the words that our documents use."""
    if not schema:
        return True
    if "$ref" in schema:
        return fits(value, schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "const" in schema:
        return bool(value == schema["const"])
    if "enum" in schema:
        return value in schema["enum"]
    if "anyOf" in schema:
        return any(fits(value, part, schemas) for part in schema["anyOf"])
    kinds: dict[str, Any] = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": int | float,
        "boolean": bool,
    }
    wanted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if value is None:
        return "null" in wanted
    if not any(isinstance(value, kinds[kind]) for kind in wanted if kind != "null"):
        return False
    if isinstance(value, list):
        return all(fits(item, schema["items"], schemas) for item in value)
    if isinstance(value, dict):
        known = schema.get("properties", {})
        return set(schema.get("required", [])) <= value.keys() and all(
            fits(item, known.get(key, schema.get("additionalProperties", {"const": item})), schemas)
            for key, item in value.items()
        )
    return "pattern" not in schema or re.search(schema["pattern"], value) is not None


BODIES: dict[str, dict[str, Any]] = {
    "/api/mcp/compliance/retention/{name}": {"retention_days": 3},
    "/api/mcp/compliance/breach/{name}": {"told": "gdpr"},
    "/api/mcp/compliance/user/{name}": {"reason": "asked for"},
}
"""What is sent where it is not a prompt."""


def test_the_description_of_the_api_is_true(served: Daemon) -> None:
    spec = document(served, "api://swagger/spec")
    assert spec["openapi"] == "3.1.0"
    schemas = spec["components"]["schemas"]
    asked = 0
    prompt = {"description": "d", "template": "t"}
    for path, item in spec["paths"].items():
        body = BODIES.get(path, prompt)
        methods = [method for method in ("get", "put", "delete") if method in item]
        for method in methods:
            if path in ("/mcp", "/sse", "/api/mcp/events"):
                continue  # it does not end
            reply = served.request(method.upper(), path.replace("{name}", "of_the_spec"), orjson.dumps(body))
            if (method, path) == ("get", "/api/mcp/prompts/{name}"):
                assert str(reply.status) == "404" in item[method]["responses"]
                served.request("PUT", "/api/mcp/prompts/of_the_spec", orjson.dumps(body))
                reply = served.request("GET", "/api/mcp/prompts/of_the_spec")
            described = item[method]["responses"][str(reply.status)]
            assert fits(reply.json, described["content"]["application/json"]["schema"], schemas), (method, path)
            if "requestBody" in item[method]:
                wanted = item[method]["requestBody"]["content"]["application/json"]["schema"]
                assert fits(body, wanted, schemas)
            asked += 1
        others = {"GET", "POST", "PUT", "DELETE"} - {method.upper() for method in item}
        assert "text/event-stream" in spec["paths"]["/mcp"]["get"]["responses"]["200"]["content"]
        for other in others:
            assert served.request(other, path.replace("{name}", "x"), headers=ACCEPT).status == 405, (other, path)
    assert asked >= 11
    assert set(re.findall(r'"\$ref":"#/components/schemas/(\w+)"', orjson.dumps(spec).decode())) <= schemas.keys()


# --- what is refused


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("file://../outside/private.txt", "path_traversal_attempt"),
        ("file://src/../../outside/private.txt", "path_traversal_attempt"),
        ("file://src/../README.md", "path_traversal_attempt"),
        ("file://%2e%2e/outside/private.txt", "path_traversal_attempt"),
        ("file://%2E%2E%2Foutside%2Fprivate.txt", "path_traversal_attempt"),
        ("file://..%2foutside", "path_traversal_attempt"),
        ("file://./..", "path_traversal_attempt"),
        ("file:///..", "path_traversal_attempt"),
        ("file:///etc/passwd", "outside_root"),
        ("file:////etc/passwd", "outside_root"),
        ("file:///%65tc/passwd", "outside_root"),
        ("file://%2fetc/passwd", "outside_root"),
        ("file:///", None),
        ("file://", None),
        ("file://.", "not_a_file"),
        ("file://src", "not_a_file"),
        ("file://fifo", "not_a_file"),
        ("file://out", "outside_root"),
        ("file://outdir/private.txt", "outside_root"),
        ("file://outdir", "outside_root"),
        ("file://loop", "link"),
        ("file://harmless", "forbidden_name"),
        ("file://huge", "too_large"),
        ("file://README.md%00.txt", "malformed"),
        ("file://README.md%0a", "malformed"),
        ("file://README.md%", "malformed"),
        ("file://README.md%zz", "malformed"),
        ("file://%ff", "malformed"),
        ("file://README.md?x=1", "malformed"),
        ("file://README.md#top", "malformed"),
        ("file://%252e%252e/outside/private.txt", None),
        ("file://..\\outside\\private.txt", None),
        ("file://README.md/x", None),
        ("file://missing.txt", None),
        ("file://" + "n" * 300, None),
        ("file://" + "n" * 4000, "malformed"),
        ("agent://nobody", None),
        ("agent://", None),
        ("agent://%ff", None),
        ("config://agents/", None),
        ("config://other/bob", None),
        ("component://nothing", None),
        ("db://schema", None),
        ("db://schema/complete/", None),
        ("ftp://x/y", None),
        ("README.md", None),
        ("FILE://README.md", None),
    ],
)
def test_what_is_not_served_is_refused_with_its_uri(served: Daemon, uri: str, reason: str | None) -> None:
    error = read(served, uri)["error"]
    assert error["code"] == -32602
    assert error["data"] == {"uri": uri} | ({} if reason is None else {"reason": reason})
    assert "private" not in error["message"].replace(uri, "").replace(repr(uri), "")
    assert accesses(served)[-1][0] == uri[:2048]
    assert accesses(served)[-1][2:] == (0, error["message"])


def test_the_absolute_path_of_a_neighbour_is_outside(served: Daemon, project: Path) -> None:
    for uri in (f"file://{project}-three/x", f"file://{project.parent}/outside/private.txt", f"file://{project}/out"):
        assert read(served, uri)["error"]["data"]["reason"] == "outside_root"


def test_every_forbidden_name_is_forbidden_in_any_case_and_place(served: Daemon, project: Path) -> None:
    files = [".git/config", ".ssh/config", ".env", "id_rsa", "id_ed25519", "a.pem", "A.KEY", "my_Secret.txt"]
    for path in [
        *files,
        "tokens",
        "PASSWORDS",
        "credentials",
        ".GIT/config",
        ".e%6ev",
        "src/../.env".replace("../", ""),
    ]:
        for uri in (f"file://{path}", f"file://{project}/{path}"):
            error = read(served, uri)["error"]
            assert error["data"]["reason"] == "forbidden_name", uri
    assert len(FORBIDDEN) == 11


@pytest.mark.parametrize("uri", [None, "", 7, [], {"uri": "x"}, True])
def test_what_is_no_uri_is_refused(shared_rpc: Daemon, uri: Any) -> None:
    error = read(shared_rpc, uri)["error"]
    assert (error["code"], '"uri"' in error["message"]) == (-32602, True)
    assert modern(shared_rpc, "resources/read").json["error"]["code"] == -32602


def test_the_name_header_must_repeat_the_uri(served: Daemon) -> None:
    reply = modern(served, "resources/read", {"uri": FIXED[0]}, headers={"Mcp-Name": FIXED[1]})
    assert (reply.status, reply.json["error"]["code"]) == (400, -32020)
    message = {"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"_meta": META, "uri": FIXED[0]}}
    headers = ACCEPT | {"MCP-Protocol-Version": MODERN, "Mcp-Method": "resources/read"}
    assert served.post("/mcp", message, headers).json["error"]["code"] == -32020


def test_every_access_is_logged_with_who_and_why_not(rpc: Daemon) -> None:
    ours = pwd.getpwuid(os.geteuid()).pw_name
    assert "result" in read(rpc, "db://schema/complete")
    refused = read(rpc, "file:///etc/shadow")["error"]["message"]
    session_id = initialize(rpc).headers["Mcp-Session-Id"]
    assert "result" in in_session(rpc, session_id, "resources/read", {"uri": "activity://recent"}).json
    assert accesses(rpc) == [
        ("db://schema/complete", ours, 1, None),
        ("file:///etc/shadow", ours, 0, refused),
        ("activity://recent", ours, 1, None),
    ]
    times = accesses(rpc, "at_us, timestamp, error, error_message, session_id, request_id")
    assert all(at_us // 1_000_000 == timestamp for at_us, timestamp, *_ in times)
    assert all(error == message for _, _, error, message, _, _ in times)
    assert [row[4] is None for row in times] == [True, True, False]
    assert all(row[5] for row in times)


def test_a_daemon_with_a_root_that_is_none_does_not_start(tmp_path: Path) -> None:
    for number, root in enumerate(("relative/path", "/", "")):
        folder = tmp_path / str(number)
        folder.mkdir()
        daemon = Daemon(folder, f'[resources]\nroots = ["{root}"]\n')
        daemon.migrate()
        with pytest.raises(AssertionError, match=r"resources.roots.*expected absolute paths"):
            daemon.start()
        assert daemon.process is not None
        assert daemon.process.wait(10) == 78
        daemon.process = None
        daemon.close()


def test_a_root_that_is_missing_serves_nothing_and_may_come_later(tmp_path: Path) -> None:
    root = tmp_path / "later"
    folder = tmp_path / "daemon"
    folder.mkdir()
    daemon = Daemon(folder, f'[resources]\nroots = ["{root}"]\n')
    daemon.migrate()
    daemon.start()
    assert read(daemon, FIXED[0])["error"]["data"] == {"uri": FIXED[0]}
    root.mkdir()
    (root / "README.md").write_text("here")
    assert content(daemon, FIXED[0])["text"] == "here"
    daemon.close()


# --- completion


def complete(rpc: Daemon, uri: str, name: str, value: str) -> Any:
    params = {"ref": {"type": "ref/resource", "uri": uri}, "argument": {"name": name, "value": value}}
    return modern(rpc, "completion/complete", params).json


@pytest.mark.parametrize(
    ("uri", "variable", "value", "expected"),
    [
        ("agent://{name}", "name", "", ["Backend API/é", "bob"]),
        ("agent://{name}", "name", "b", ["bob"]),
        ("agent://{name}", "name", "x%", []),
        ("config://agents/{name}", "name", "bo", ["bob"]),
        ("component://{name}", "name", "a", ["api"]),
        ("file://{+path}", "path", "s", ["src/"]),
        ("file://{+path}", "path", "src/", ["src/data.json", "src/main.py"]),
        ("file://{+path}", "path", "src/m", ["src/main.py"]),
        ("file://{+path}", "path", ".", []),
        ("file://{+path}", "path", "../", []),
        ("file://{+path}", "path", "/", []),
        ("file://{+path}", "path", "outdir/", []),
        ("file://{+path}", "path", ".ssh/", []),
        ("file://{+path}", "path", "README.md/", []),
        ("file://{+path}", "path", "missing/", []),
    ],
)
def test_variables_are_completed(served: Daemon, uri: str, variable: str, value: str, expected: list[str]) -> None:
    result = complete(served, uri, variable, value)["result"]
    assert result["completion"] == {"values": expected, "total": len(expected), "hasMore": False}


def test_paths_at_the_top_leave_out_what_is_not_served(served: Daemon, project: Path) -> None:
    values = complete(served, "file://{+path}", "path", "")["result"]["completion"]["values"]
    assert values == ["100% sure?.txt", "README.md", "empty", "full", "huge", "latin.txt", "logo.png", "src/"]


@pytest.mark.parametrize(
    ("uri", "variable", "words"),
    [
        ("agent://{name}", "path", "no variable 'path'; expected 'name'"),
        ("agent://bob", "name", "no template"),
        ("db://schema/complete", "name", "it has no variables"),
        ("nothing://{x}", "x", "resources/templates/list"),
    ],
)
def test_a_reference_that_is_none_is_refused(served: Daemon, uri: str, variable: str, words: str) -> None:
    error = complete(served, uri, variable, "")["error"]
    assert error["code"] == -32602
    assert words in error["message"]


# --- the older dialect and REST


def ask(rpc: Daemon, method: str, params: dict[str, Any] | None = None) -> Any:
    return rpc.post("/jsonrpc", {"jsonrpc": "2.0", "id": 5, "method": method, "params": params or {}}).json


def test_the_dialect_lists_and_reads(served: Daemon) -> None:
    listed = ask(served, "resources/list")["result"]
    assert [item["uri"] for item in listed][:5] == FIXED
    assert all(item.keys() == {"uri", "name", "type", "description"} for item in listed)
    assert served.request("GET", "/api/mcp/resources").json == {"resources": listed}
    for item in listed:
        found = ask(served, "resources/read", {"uri": item["uri"]})["result"]
        assert (found["uri"], found["metadata"]) == (item["uri"], item)
        assert isinstance(found["content"], str if item["type"] == "text/markdown" else dict)
    logo = ask(served, "resources/read", {"uri": "file://logo.png"})["result"]
    assert base64.b64decode(logo["content"]) == BLOB
    assert (logo["metadata"]["type"], logo["metadata"]["encoding"]) == ("image/png", "base64")
    assert ask(served, "resources/read", {"uri": "file://src/data.json"})["result"]["content"] == "{}"


def test_the_dialect_refuses_with_its_codes(served: Daemon) -> None:
    denied = served.post(
        "/jsonrpc", {"jsonrpc": "2.0", "id": 5, "method": "resources/read", "params": {"uri": "file://.env"}}
    )
    assert (denied.status, denied.json["error"]["code"]) == (200, -32004)
    assert denied.json["error"]["data"] == {"uri": "file://.env", "reason": "forbidden_name"}
    assert accesses(served)[-1][:1] == ("file://.env",)
    for params in ({}, {"uri": "agent://nobody"}, {"uri": 7}):
        assert ask(served, "resources/read", params)["error"]["code"] == -32602


def test_the_counts_are_true(served: Daemon) -> None:
    opened = ask(served, "initialize")["result"]
    listed = ask(served, "resources/list")["result"]
    prompts = ask(served, "prompts/list")["result"]
    assert (opened["resources_count"], opened["prompts_count"]) == (len(listed), len(prompts))
    assert opened["capabilities"]["supports"] == ["tools", "resources", "prompts"]
    assert served.request("GET", "/api/mcp/capabilities").json == opened["capabilities"]
    stats = served.request("GET", "/api/mcp/status").json["stats"]
    assert (stats["resources_available"], stats["prompts_available"]) == (len(listed), len(prompts))
