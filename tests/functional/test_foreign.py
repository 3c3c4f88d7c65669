"""Unmodified clients of every revision and era, over HTTP and over mcpd-stdio: a whole session of each.

What they negotiate, and whether each message that they get is what the specification's schema says, is seen by somebody
on the wire between them and the daemon. What each tool does, ``test_clients`` asks.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.conformance import suite
from tests.functional.conftest import MakeDaemon
from tests.functional.foreign import ANSWER_S, HANDSHAKE, MODERN, PROGRAMS, Client, Piped, Program, at
from tests.functional.schemas import violations
from tests.functional.test_clients import TOOLS, rows
from tests.functional.wire import Tap

pytestmark = pytest.mark.host

PROMPTS = ["analyze_code", "analyze_performance", "debug_agent", "deploy_system", "generate_test", "run_tests"]
RESOURCES = ["file://readme.md", "db://schema/complete", "api://swagger/spec", "activity://recent", "events://recent"]
README = "# Project\n"
CASES = [
    pytest.param(program, transport, id=f"{program}-{transport}")
    for program in PROGRAMS
    for transport in program.transports
]


def tool(client: Client, name: str, /, **arguments: object) -> Any:
    """Call a tool that must succeed; return what its text says."""
    answer = client.ask("tools/call", name=name, arguments=arguments)
    assert not answer.get("isError", answer.get("is_error")), answer
    return json.loads(answer["content"][0]["text"])


def read(client: Client, uri: str) -> str:
    """Read a resource that there must be; return its text."""
    answer = client.ask("resources/read", uri=uri)
    assert "contents" in answer, answer
    text: str = answer["contents"][0]["text"]
    return text


def whole_session(client: Client) -> None:
    assert [found["name"] for found in client.ask("tools/list")["tools"]] == TOOLS
    # Some of them write a URI in its normal form (RFC 3986 section 6).
    readme, *others = [found["uri"] for found in client.ask("resources/list")["resources"]]
    assert [readme.lower().rstrip("/"), *others] == RESOURCES
    assert [found["name"] for found in client.ask("prompts/list")["prompts"]] == PROMPTS

    assert tool(client, "register_component", name="auth", owner="backend-api")["version"] == 1
    assert tool(client, "find_component_owner", component="auth")["owner"] == "backend-api"
    assert json.loads(read(client, "component://auth"))["owner"] == "backend-api"
    assert read(client, readme) == README
    prompt = client.ask("prompts/get", name="run_tests", arguments={"suite": "unit"})
    assert prompt["messages"][0]["content"]["text"] == "Run unit test suite"

    error = client.ask("tools/call", name="no_such_tool", arguments={})["error"]
    assert "no_such_tool" in error["message"]
    assert error.get("code") in (-32602, None, "tool_not_found")


@pytest.mark.parametrize(("program", "transport"), CASES)
def test_a_session(program: Program, transport: str, make_daemon: MakeDaemon, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(README)
    rpc = make_daemon(f'[server]\ndrain_timeout_s = 0.1\n[resources]\nroots = ["{tmp_path}"]\n')
    with Tap(rpc) as tap:
        with program.start(at(tap.url, tap.socket_path)[transport]) as client:
            whole_session(client)
            if transport != "sse":  # there a session is its stream, and the client has no way to open another
                rpc.restart()
                assert tool(client, "find_component_owner", component="auth")["owner"] == "backend-api"
        assert tap.revisions("tools/call") == {program.revision}
        assert list(violations(tap.exchanges())) == []
    assert rows(rpc, "SELECT name, owner FROM components") == [("auth", "backend-api")]
    sessions = {session for (session,) in rows(rpc, "SELECT session_id FROM audit")}
    assert (None in sessions) == (program.revision == MODERN)
    assert len(sessions) == 1 or not isinstance(client, Piped), "the restart ended the session"


ELICITING = [
    pytest.param(program, transport, id=f"{program}-{transport}")
    for program in PROGRAMS
    if program.elicits
    for transport in program.transports
]


@pytest.mark.parametrize(("program", "transport"), ELICITING)
def test_a_question_to_the_user(program: Program, transport: str, make_daemon: MakeDaemon, tmp_path: Path) -> None:
    rpc = make_daemon(suite.settings(tmp_path))
    with Tap(rpc) as tap:
        with program.start(at(tap.url, tap.socket_path)[transport], elicit=True) as client:
            answer = client.ask("tools/call", name="test_elicitation", arguments={"message": "Who are you?"})
            assert "yes" in answer["content"][0]["text"]
        assert list(violations(tap.exchanges())) == []


# In the handshake era the client must know how to take a stream up again, which came with the priming event.
LASTING = [
    pytest.param(program, transport, id=f"{program}-{transport}")
    for program in PROGRAMS
    if program.elicits and program.revision in (HANDSHAKE, MODERN)
    for transport in program.transports
]


@pytest.mark.parametrize(("program", "transport"), LASTING)
def test_a_question_outlives_a_restart(
    program: Program, transport: str, make_daemon: MakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rpc = make_daemon("[server]\ndrain_timeout_s = 0.1\n" + suite.settings(tmp_path))
    user = tmp_path / "user"
    monkeypatch.setenv("MCPD_TEST_USER", str(user))
    server = at(rpc.url, rpc.socket_path)[transport]
    with program.start(server, elicit=True) as client, ThreadPoolExecutor(1) as executor:
        question = {"name": "test_elicitation", "arguments": {"message": "Who are you?"}}
        called = executor.submit(client.ask, "tools/call", **question)
        eventually(user.with_suffix(".asked").exists)
        rpc.restart()
        user.touch()
        assert "yes" in called.result(ANSWER_S)["content"][0]["text"]


def eventually(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + ANSWER_S
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.02)
