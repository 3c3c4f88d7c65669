"""Agents asked about, started, stopped and typed to through mcpd-rpc: both daemons, real tmux, a stand-in for PID 1."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.daemon import Daemon, Reply
from tests.functional.mcp import META, modern
from tests.functional.terminals import Terminals, wait_until

CALLER = pwd.getpwuid(os.geteuid()).pw_name
pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(
        not (shutil.which("tmux") and shutil.which("dbus-daemon")) and not os.environ.get("CI"),
        reason="needs tmux and dbus-daemon",
    ),
]
YES, NO = ({"action": "accept", "content": {"confirm": answer}} for answer in (True, False))
UNIT = "mcp-agent@alpha.service"


class Rpc(Daemon):
    """mcpd-rpc on the database of *manager*, with its agents and its control socket."""

    def __init__(self, directory: Path, manager: Terminals) -> None:
        super().__init__(directory)
        self.config = manager.config
        self._options = [f"--agents={manager.agents}", f"--control={manager.control}"]

    def program(self) -> list[str]:
        return ["mcpd.daemons.rpc", *self._options]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Terminals]:
    directory = tmp_path / "manager"
    directory.mkdir()
    terminals = Terminals(directory, ("alpha", "beta"))
    terminals.migrate()
    terminals.start()
    yield terminals
    terminals.close()


@pytest.fixture
def rpc(tmp_path: Path, manager: Terminals) -> Iterator[Rpc]:
    directory = tmp_path / "rpc"
    directory.mkdir()
    daemon = Rpc(directory, manager)
    daemon.start()
    yield daemon
    daemon.close()


@pytest.fixture
def alpha(manager: Terminals, rpc: Rpc) -> Iterator[Terminals]:
    """The agent alpha started by the tool, and watched as its unit has it watched."""
    assert call(rpc, "start_agent", agent="alpha") == {"agent": "alpha", "before": "absent", "state": "running"}
    watch = manager.watch("alpha")
    yield manager
    watch.kill()
    watch.wait()


def result(rpc: Daemon, tool: str, **arguments: Any) -> dict[str, Any]:
    reply = modern(rpc, "tools/call", {"name": tool, "arguments": arguments})
    found: dict[str, Any] = reply.json["result"]
    return found


def call(rpc: Daemon, tool: str, **arguments: Any) -> Any:
    found = result(rpc, tool, **arguments)
    assert not found.get("isError"), found
    return found["structuredContent"]


def refused(rpc: Daemon, tool: str, **arguments: Any) -> str:
    reply = modern(rpc, "tools/call", {"name": tool, "arguments": arguments}).json
    if "error" in reply:
        return str(reply["error"]["message"])
    assert reply["result"]["isError"], reply
    return str(reply["result"]["content"][0]["text"])


def consenting(rpc: Daemon, tool: str, answer: dict[str, Any], **arguments: Any) -> tuple[str, dict[str, Any]]:
    """Call *tool* as a client that asks its user, who gives *answer*; return the question and what came of it."""
    meta = META | {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {}}}
    params: dict[str, Any] = {"name": tool, "arguments": arguments, "_meta": meta}
    asked = modern(rpc, "tools/call", params).json["result"]
    (key, question), = asked["inputRequests"].items()  # fmt: skip
    params |= {"inputResponses": {key: answer}, "requestState": asked["requestState"]}
    found = modern(rpc, "tools/call", params).json["result"]
    return question["params"]["message"], found


def rows(manager: Terminals, sql: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(manager.database) as db:
        return db.execute(sql).fetchall()


def test_agents_are_listed_without_starting_anything(manager: Terminals, rpc: Rpc) -> None:
    (manager.agents / "broken.toml").write_text("port = 1\nprot = 2\n")
    found = call(rpc, "list_agents")
    assert [(agent["agent"], agent["state"]) for agent in found["agents"]] == [("alpha", "absent"), ("beta", "absent")]
    assert "unknown key 'prot'; did you mean 'port'?" in found["left_out"][0]
    assert manager.systemd.calls == []
    assert refused(rpc, "get_agent", agent="gamma").startswith("no agent 'gamma'; ")
    one = call(rpc, "get_agent", agent="Beta Agent")
    assert (one["agent"], one["user"], one["workdir"]) == ("beta", "root", "/")


TEXTS = [
    "plain",
    'quotes " and \' and $HOME and `x` and \\n and ~ #{pid} %if ;',
    "ends in ;",
    "größer ✓ 漢字",
    "one\ntwo\nthree $ \\ \"",
    "-x",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_typed_arrives_as_it_is(alpha: Terminals, rpc: Rpc, tmp_path: Path, text: str) -> None:
    out = tmp_path / "typed"
    call(rpc, "send_to_agent", agent="alpha", text=f"cat >{out}")
    wait_until(out.exists, "cat runs")
    assert call(rpc, "send_to_agent", agent="alpha", text=text)["was_seen"] is True
    wait_until(lambda: out.read_text() == f"{text}\n", "the text is there")


def test_a_message_is_told_without_its_text(alpha: Terminals, rpc: Rpc) -> None:
    call(rpc, "send_to_agent", agent="alpha", text="# sécret", enter=False)
    assert "U+001B" in refused(rpc, "send_to_agent", agent="alpha", text="\x1b[A")
    body = {"agent_name": "Alpha Agent", "size_bytes": 3, "entered": True, "was_seen": False}
    assert rpc.request("POST", "/api/mcp/messages", json.dumps(body).encode()).json == {"success": True}
    sent = rows(alpha, "SELECT agent, data FROM events WHERE topic = 'message.sent' ORDER BY seq")
    assert [(agent, json.loads(data)) for agent, data in sent] == [
        ("alpha", {"caller": CALLER, "size_bytes": 9, "entered": False, "was_seen": True}),
        ("alpha", {"caller": CALLER, "size_bytes": 3, "entered": True, "was_seen": False}),
    ]
    audited = rows(alpha, "SELECT caller, outcome FROM audit WHERE operation = 'messages/tell'")
    assert audited == [(CALLER, "ok")]
    for wrong in (body | {"agent_name": "gamma"}, body | {"size_bytes": 0}, {"agent_name": "alpha"}):
        assert rpc.request("POST", "/api/mcp/messages", json.dumps(wrong).encode()).status == 400
    assert len(rows(alpha, "SELECT 1 FROM events WHERE topic = 'message.sent'")) == 2


def test_the_screen_and_its_history_are_read(alpha: Terminals, rpc: Rpc) -> None:
    call(rpc, "send_to_agent", agent="Alpha", text="seq 100 160; echo 'ü✓'")
    wait_until(lambda: "ü✓" in call(rpc, "read_agent_screen", agent="alpha")["lines"], "the screen shows it")
    shown = call(rpc, "read_agent_screen", agent="alpha")
    assert "100" not in shown["lines"]
    assert shown["cursor"][1] == 23
    above = call(rpc, "read_agent_screen", agent="alpha", history_lines=60)
    assert {"100", "160"} <= set(above["lines"])
    assert "expected" in refused(rpc, "read_agent_screen", agent="alpha", history_lines=-1).lower()


def test_wrong_input_is_an_error_of_the_tool(alpha: Terminals, rpc: Rpc) -> None:
    calls = [
        ("get_agent", {"agent": "nosuch"}, "no agent 'nosuch'"),
        ("read_agent_screen", {"agent": "nosuch"}, "no agent 'nosuch'"),
        ("start_agent", {"agent": "../x"}, "no agent '../x'"),
        ("stop_agent", {"agent": "nosuch"}, "no agent 'nosuch'"),
        ("send_to_agent", {"agent": "alpha", "text": "\x07"}, "U+0007"),
        ("send_to_agent", {"agent": "alpha", "text": "\U0001f389" * 20_000}, "80000 bytes"),
    ]
    for name, arguments, said in calls:
        result = modern(rpc, "tools/call", {"name": name, "arguments": arguments}).json["result"]
        assert result["isError"] is True, name
        assert said in result["content"][0]["text"]


def test_what_cannot_be_typed_is_refused_by_name(alpha: Terminals, rpc: Rpc) -> None:
    assert "U+001B" in refused(rpc, "send_to_agent", agent="alpha", text="\x1b[A")
    assert "claude-beta is not running" in refused(rpc, "send_to_agent", agent="beta", text="x")
    assert "claude-beta is not running" in refused(rpc, "read_agent_screen", agent="beta")
    alpha.tmux("alpha", "send-keys", "-l", "exit 3")
    alpha.tmux("alpha", "send-keys", "Enter")
    wait_until(lambda: call(rpc, "get_agent", agent="alpha")["state"] == "exited", "it has ended")
    assert "its command has ended (status 3)" in refused(rpc, "send_to_agent", agent="alpha", text="x")
    assert call(rpc, "read_agent_screen", agent="alpha")["ended"] == "status 3"
    assert call(rpc, "start_agent", agent="alpha")["before"] == "exited"
    assert alpha.systemd.calls[-1] == ("RestartUnit", UNIT)


def test_stopping_needs_a_persons_consent(alpha: Terminals, rpc: Rpc) -> None:
    count = len(alpha.systemd.calls)
    assert "elicitation" in refused(rpc, "stop_agent", agent="alpha")
    question, answer = consenting(rpc, "stop_agent", NO, agent="alpha")
    assert question == "root wants to stop the agent alpha, which is running. What it does is lost."
    assert "nobody confirmed; nothing was done" in answer["content"][0]["text"]
    assert len(alpha.systemd.calls) == count
    _, answer = consenting(rpc, "restart_agent", YES, agent="alpha")
    assert answer["structuredContent"]["state"] == "running"
    _, answer = consenting(rpc, "stop_agent", YES, agent="alpha")
    assert answer["structuredContent"]["state"] == "absent"
    assert alpha.systemd.calls[count:] == [("RestartUnit", UNIT), ("StopUnit", UNIT)]
    found = rows(alpha, "SELECT resource, outcome FROM audit WHERE resource LIKE '%_agent' ORDER BY id")
    assert found[1:] == [
        ("stop_agent", "input_required"),
        ("stop_agent", "input_required"), ("stop_agent", "failed"),
        ("restart_agent", "input_required"), ("restart_agent", "ok"),
        ("stop_agent", "input_required"), ("stop_agent", "ok"),
    ]  # fmt: skip


def test_a_start_that_fails_says_why_and_an_absent_manager_too(manager: Terminals, rpc: Rpc) -> None:
    manager.systemd.refuses[UNIT] = "failed"
    said = refused(rpc, "start_agent", agent="alpha")
    assert "mcp-agent@alpha.service could not be started: exit-code, exit status 3" in said
    reply = post(rpc, "start-agent", agent_name="alpha")
    assert (reply.status, "exit status 3" in reply.json["error"]) == (400, True)
    manager.control.unlink()
    assert "mcpd-ttyd-manager cannot be reached" in refused(rpc, "start_agent", agent="alpha")
    assert post(rpc, "start-agent", agent_name="alpha").status == 503


def post(rpc: Daemon, verb: str, **body: Any) -> Reply:
    return rpc.post(f"/api/mcp/{verb}", body)


def test_the_dashboards_buttons_do_what_they_say(manager: Terminals, rpc: Rpc) -> None:
    setup = post(rpc, "setup-agent", agent_name="Alpha Agent", setup_mcp=True, mcp_config={"project_dir": "/x"}).json
    assert setup["success"] is True
    assert (setup["message"], setup["session"]) == ("MCP configuration applied for alpha", "claude-alpha")
    assert setup["config"]["project_dir"] == "/"
    assert rows(manager, "SELECT name, status, current_task FROM agents") == [
        ("alpha", "configured", "MCP Environment Ready")
    ]
    assert manager.systemd.calls == [("StartUnit", UNIT)]
    started = post(rpc, "start-agent", agent_name="alpha").json
    assert started["message"] == "Agent alpha was running already"
    assert manager.systemd.calls == [("StartUnit", UNIT)]
    stopped = post(rpc, "stop-agent", agent_name="claude-alpha").json
    assert (stopped["success"], stopped["message"]) == (True, "Agent alpha stopped")
    assert post(rpc, "start-agent", agent_name="alpha").json["message"] == "Agent alpha started"
    assert manager.systemd.calls == [("StartUnit", UNIT), ("StopUnit", UNIT), ("StartUnit", UNIT)]
    done = rows(manager, "SELECT activity, category FROM activities ORDER BY id")
    assert [activity for activity, _ in done] == ["setup_alpha", "start_alpha", "stop_alpha", "start_alpha"]
    audited = rows(manager, "SELECT operation, resource, outcome FROM audit ORDER BY id")
    assert audited[0] == ("/api/mcp/setup-agent", "alpha", "ok")
    assert len(audited) == 4


def test_start_terminal_has_ttyd_run(manager: Terminals, rpc: Rpc) -> None:
    manager.systemd.units["mcp-ttyd@alpha.service"].start = lambda: [subprocess.Popen(["sleep", "60"])]
    found = post(rpc, "start-terminal", agent_name="Alpha").json
    assert found["success"] is True
    assert found["port"] == 20000
    assert found["message"] == "Terminal service started for alpha on port 20000"
    assert manager.systemd.calls == [("StartUnit", UNIT), ("StartUnit", "mcp-ttyd@alpha.service")]
    manager.systemd.refuses["mcp-ttyd@beta.service"] = "assert"
    reply = post(rpc, "start-terminal", agent_name="beta")
    assert (reply.status, "ttyd, the program that shows" in reply.json["error"]) == (400, True)
    assert "apt install ttyd" in reply.json["error"]


@pytest.mark.parametrize("verb", ["start-terminal", "setup-agent", "start-agent", "stop-agent", "heartbeat"])
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{}", "agent_name required"),
        (b"[]", "agent_name required"),
        (b"nonsense", "the body is not JSON"),
        (b'{"agent_name": 5}', "Expected `str`"),
        (b'{"agent_name": "../etc"}', "Unknown agent: ../etc"),
    ],
)
def test_a_bad_body_is_a_400_with_a_reason(rpc: Rpc, verb: str, body: bytes, said: str) -> None:
    reply = rpc.post(f"/api/mcp/{verb}", body)
    if verb == "heartbeat" and b".." in body:
        assert reply.status == 200  # any agent may say that it lives
        return
    assert reply.status == 400
    assert reply.json["error"].startswith(said)


def test_a_heartbeat_makes_active_and_keeps_the_task(manager: Terminals, rpc: Rpc) -> None:
    assert post(rpc, "heartbeat", agent_name="Alpha Agent", current_task="parsing").json == {"success": True}
    assert post(rpc, "heartbeat", agent_name="alpha").json == {"success": True}
    assert rows(manager, "SELECT name, status, current_task FROM agents") == [("alpha", "active", "parsing")]
    assert post(rpc, "heartbeat", agent_name="stranger").status == 200


def test_a_manager_that_restarts_goes_on_with_the_agents(alpha: Terminals, rpc: Rpc) -> None:
    pane = alpha.tmux("alpha", "display-message", "-p", "#{pane_pid}")
    alpha.restart()
    again = alpha.watch("alpha")
    wait_until(lambda: not result(rpc, "read_agent_screen", agent="alpha").get("isError"), "the new watch is there")
    assert call(rpc, "send_to_agent", agent="alpha", text="echo back $((6*7))")["was_seen"] is True
    assert alpha.tmux("alpha", "display-message", "-p", "#{pane_pid}") == pane
    again.kill()
    again.wait()


def test_only_the_daemons_user_gives_orders(manager: Terminals) -> None:
    code = (
        "import os, socket, sys\nos.setuid(65534)\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
        "print(s.recv(100))"
    )
    manager.control.chmod(0o666)
    manager.run.chmod(0o755)
    command = [sys.executable, "-c", code, str(manager.control)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "b''\n", done
    assert manager.systemd.calls == []
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(manager.control))
        connection.sendall(b'nonsense\n{"do":"start","agent":"gamma"}\n{"do":"start","agent":"alpha","x":1}\n')
        with connection.makefile() as answers:
            assert "this is no order" in answers.readline()
            assert "does not know the agent gamma" in answers.readline()
            assert "unknown field `x`" in answers.readline()


CALL = """
import http.client, json, socket, sys
open(sys.argv[1], "w").write(str(__import__("os").getpid()))
connection = http.client.HTTPConnection("localhost")
connection.sock = socket.socket(socket.AF_UNIX)
connection.connect = lambda: None
connection.sock.connect(sys.argv[2])
body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "heartbeat", "arguments": {"agent": "a"}}}
connection.request("POST", "/jsonrpc", json.dumps(body), {"Content-Type": "application/json", "Host": "localhost"})
print(connection.getresponse().status)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make cgroups")
@pytest.mark.parametrize(
    ("group", "caller"),
    [
        ("mcp.slice/mcp-agents.slice/mcp-agent@toolsy.service", "agent:toolsy"),
        ("elsewhere.slice/mcp.slice/mcp-agents.slice/mcp-agent@toolsy.service", "root"),
    ],
)
def test_a_process_in_an_agents_cgroup_is_that_agent(rpc: Rpc, manager: Terminals, group: str, caller: str) -> None:
    root = next(path for path in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
                if (path / "cgroup.procs").exists())  # fmt: skip
    folder = root / group
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", CALL, str(folder / "cgroup.procs"), str(rpc.socket_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    while folder != root:
        folder.rmdir()
        folder = folder.parent
    assert done.stdout == "200\n", done
    assert rows(manager, "SELECT caller FROM audit") == [(caller,)]
