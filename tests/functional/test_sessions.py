"""The old system's tmux sessions: found on real servers, led to mcpd, described, and never ended."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpd.agents import units
from mcpd.agents.agent import Agent
from mcpd.agents.files import Agents
from mcpd.ctl.cutover import adopting, sessions
from mcpd.ctl.cutover.adopting import Adopter, Outcome
from mcpd.ctl.cutover.record import Record
from mcpd.ctl.cutover.sessions import Session
from mcpd.errors import AgentFailed
from mcpd.ports import DEFAULTS
from tests.functional.conftest import MakeDaemon
from tests.functional.terminals import wait_until
from tests.functional.test_mcpctl import NOBODY, answer, at, mcpctl

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None and "CI" not in os.environ, reason="needs tmux")
AGENTS = Agents({"testing": Agent("testing", 8093, "Testing")}, (), frozenset())


class Server:
    """A tmux server of the old system, in a /tmp of its own; *user* has it, by number."""

    def __init__(self, user: int) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="mcpd-old-")
        self.temporary = Path(self._directory.name)
        self.temporary.chmod(0o755)
        self.user = user
        self.home = self.temporary / f"tmux-{user}"
        self.home.mkdir(mode=0o700)
        self.socket = self.home / "default"
        if os.geteuid() == 0:
            os.chown(self.home, user, user)

    def tmux(self, *words: str) -> str:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("TMUX")}
        environment["SHELL"] = "/bin/sh"  # nobody's own is one that lets nobody in
        command = ["tmux", "-f", "/dev/null", "-S", str(self.socket), *words]
        extra = {"user": self.user, "group": self.user, "extra_groups": ()} if os.geteuid() == 0 else {}
        done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=True, **extra)  # type: ignore[call-overload]
        return str(done.stdout)

    def start(self, name: str, directory: Path, command: str = "sh") -> None:
        self.tmux("new-session", "-d", "-s", name, "-x", "80", "-y", "24", "-c", str(directory), command)

    def names(self) -> list[str]:
        return self.tmux("list-sessions", "-F", "#{session_name}").split()

    def close(self) -> None:
        subprocess.run(["tmux", "-S", str(self.socket), "kill-server"], capture_output=True, check=False)
        self._directory.cleanup()


@pytest.fixture(params=["own", "other"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server of ours, and one of another user."""
    if request.param == "other" and os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    made = Server(os.geteuid() if request.param == "own" else NOBODY)
    yield made
    made.close()


def found(server: Server) -> dict[str, Session]:
    return {session.name: session for session in sessions.find(sessions.sockets(server.temporary))}


def claude(server: Server) -> Path:
    """A program that is called as Claude Code is, and only waits."""
    path = server.temporary / "claude"
    path.write_text("#!/bin/sh\necho I am Claude\nsleep 1000\n")
    path.chmod(0o755)
    return path


def test_every_session_is_found_with_what_runs_in_it_and_where(server: Server, tmp_path: Path) -> None:
    place = server.temporary / "a place"
    place.mkdir(mode=0o755)
    server.start("claude-testing", place, str(claude(server)))
    server.start("claude-shell", Path("/"))
    server.start("claude-other", Path("/"), "sleep 1000")
    server.start("mine", Path("/"))
    wait_until(lambda: {s.program for s in found(server).values()} == {"claude", "sh", "sleep"}, "the programs run")
    there = found(server)
    assert there.keys() == {"claude-testing", "claude-shell", "claude-other"}
    testing = there["claude-testing"]
    assert (testing.cwd, testing.uid, testing.width, testing.height) == (str(place), server.user, 80, 24)
    assert testing.socket in sessions.running_sockets()
    assert [session.name for session in sessions.find([testing.socket, testing.socket])].count("claude-testing") == 1
    assert "I am Claude" in sessions.text_of(testing)
    assert testing.command("kill-session", "-t", "=x y").endswith(f"tmux -S {server.socket} kill-session -t '=x y'")
    (server.home / "dead").touch()
    (server.temporary / "tmux-1").mkdir()
    (server.temporary / "tmux-1" / "foreign").symlink_to(server.socket)
    assert found(server).keys() == there.keys()


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ("sh", "sh"),
        ("sh -c 'sleep 1000; true'", "sleep"),
        ("sh {script}", "sh wait"),
        ("bash -c 'exec -a claude sleep 1000'", "claude"),
        ("sh -c 'bash --norc'", "bash"),
    ],
)
def test_a_shell_that_runs_something_is_not_only_a_shell(server: Server, command: str, program: str) -> None:
    script = server.temporary / "wait"
    script.write_text("while read line; do :; done")
    script.chmod(0o644)
    server.start("claude-x", Path("/"), command.format(script=script))
    wait_until(lambda: found(server)["claude-x"].program == program, f"{program} runs")


def test_what_starts_in_a_session_is_led_to_mcpd_and_nothing_is_typed(server: Server) -> None:
    server.start("claude-testing", Path("/"))
    session = found(server)["claude-testing"]
    before = sessions.text_of(session)
    said: list[str] = []
    adopting.export([session], AGENTS, "/var/lib/mcpd/mcp.db", DEFAULTS, said.append)
    out = server.home / "environment"
    server.tmux("new-window", "-d", "-t", "claude-testing", f"env >{out}.new; mv {out}.new {out}")
    wait_until(out.exists, "a new window has started")
    environment = dict(line.partition("=")[::2] for line in out.read_text().splitlines())
    assert environment["MCP_DB_PATH"] == "/var/lib/mcpd/mcp.db"
    assert environment["AGENT_NAME"] == environment["CLAUDE_AGENT_NAME"] == "testing"
    assert (environment["MCP_SERVER"], environment["MCP_WS_URL"]) == ("http://localhost:8099", "ws://localhost:8100")
    assert sessions.text_of(session) == before
    adopting.export([session], AGENTS, "/tmp/mcp_state.db", DEFAULTS, said.append)
    assert "MCP_DB_PATH=/tmp/mcp_state.db" in server.tmux("show-environment", "-t", "claude-testing")
    assert said == []


def deal(server: Server, database: Path, *, adopt: bool) -> dict[str, Outcome]:
    adopter = Adopter(AGENTS, database)
    said: list[str] = []
    outcomes = adopter.deal(found(server).values(), adopt=adopt, say=said.append)
    assert len(said) == len(outcomes)
    return {outcome.session.name: outcome for outcome in outcomes}


def test_each_session_is_told_what_to_do_with_it_and_goes_on(server: Server, tmp_path: Path) -> None:
    server.start("claude-testing", Path("/"), str(claude(server)))
    server.start("claude-shared-context", Path("/"))
    server.start("claude-Testing_Agent", Path("/"), "sleep 1000")
    wait_until(lambda: {s.program for s in found(server).values()} == {"claude", "sh", "sleep"}, "the programs run")
    outcomes = deal(server, tmp_path / "mcp.db", adopt=False)
    testing = outcomes["claude-testing"]
    assert (testing.agent, testing.outcome, testing.saved) == ("testing", "left running", None)
    assert "mcpctl agent start testing" in testing.commands
    assert testing.commands[-1].endswith("kill-session -t =claude-testing")
    stranger = outcomes["claude-shared-context"]
    assert (stranger.agent, stranger.why) == (None, "no agent of mcpd has this name")
    assert any(command.startswith("mcpctl agent add shared-context --user ") for command in stranger.commands)
    other = outcomes["claude-Testing_Agent"]
    assert (other.agent, other.outcome) == ("testing", "left running")
    assert other.why == "sleep runs in it, and what starting that a second time does is not known"
    capture = testing.commands[0].partition(" >")[0]
    shown = subprocess.run(capture, shell=True, capture_output=True, text=True, check=True)
    assert "I am Claude" in shown.stdout, "the command that is told works"
    assert set(server.names()) == outcomes.keys()


def test_without_systemd_nothing_is_adopted_and_nothing_ended(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "has_systemd", lambda: False)
    server.start("claude-testing", Path("/"))
    wait_until(lambda: found(server)["claude-testing"].program == "sh", "the shell runs")
    (outcome,) = deal(server, tmp_path / "mcp.db", adopt=True).values()
    assert (outcome.outcome, outcome.why, outcome.saved) == ("left running", "systemd does not run here", None)
    assert server.names() == ["claude-testing"]


def test_a_server_that_is_gone_has_no_sessions_and_is_named_in_an_error(server: Server) -> None:
    server.start("claude-testing", Path("/"))
    session = found(server)["claude-testing"]
    server.tmux("kill-server")
    with pytest.raises(AgentFailed, match=f"tmux at {server.socket}: "):
        sessions.text_of(session)
    said: list[str] = []
    adopting.export([session], AGENTS, "/x", DEFAULTS, said.append)
    assert [each.partition(": tmux")[0] for each in said] == [
        f"claude-testing of {session.user}: its environment stays"
    ]
    assert sessions.find([server.socket, Path("/nowhere")]) == []


def test_what_became_of_sessions_is_kept_with_the_switch(make_daemon: MakeDaemon, server: Server) -> None:
    daemon = make_daemon()
    server.start("claude-testing", Path("/"))
    outcomes = list(deal(server, daemon.database, adopt=False).values())
    record = Record(daemon.database)
    number = record.begin("cutover")
    record.keep_sessions(number, outcomes)
    record.change(number, "switched", outage_us=1)
    shown = answer(mcpctl("--json", "migrate", "status", *at(daemon)))["cutovers"][0]["sessions"]
    assert shown == json.loads(json.dumps([outcome.as_json() for outcome in outcomes]))
    assert "claude-testing" in mcpctl("migrate", "status", *at(daemon)).stdout
