"""What the generator writes for systemd: read back as systemd reads it, nothing that a file says leaves its place."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.agents import files, generator, keys
from mcpd.agents.agent import Agent, Limits
from mcpd.agents.machine import Machine

ROOT = Path(__file__).parents[3]
AGENT = Agent("docs", 9000, "Docs 100%", workdir="/srv/my docs/100%", source=Path("/etc/mcpd/agents.d/docs.toml"))


def drop_in(agent: Agent, unit: str = "service", *, ipv6: bool = True) -> str:
    found = generator.drop_ins([agent], ipv6=ipv6)
    return found[f"mcp-{'agent' if unit == 'service' else 'terminal'}@{agent.name}.{unit}.d/50-mcpd.conf"]


def unquoted(line: str) -> str:
    """The word that systemd takes from a quoted setting: C escapes, then specifiers."""
    assert line[0] == line[-1] == '"'
    text = re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), line[1:-1])
    assert not re.search(r'(?<!\\)(\\\\)*"', line[1:-1])
    assert "%" not in text.replace("%%", "")
    return text.replace("%%", "%")


def environment(text: str) -> dict[str, str]:
    words = [unquoted(line.partition("=")[2]) for line in text.splitlines() if line.startswith("Environment=")]
    return dict(word.split("=", 1) for word in words)


def test_a_service_gets_user_directory_environment_and_limits() -> None:
    limits = Limits("1G", "2G", "150%", 99, 5)
    agent = Agent("docs", 9000, "Docs", user="alice", workdir="/srv/docs", limits=limits, restart="no", command="vim")
    lines = drop_in(agent).splitlines()
    for line in (
        "Description=Coding agent Docs",
        "User=alice",
        "WorkingDirectory=/srv/docs",
        'RequiresMountsFor="/srv/docs"',
        "AssertPathIsDirectory=/srv/docs",
        "MemoryHigh=1G",
        "MemoryMax=2G",
        "CPUQuota=150%",
        "TasksMax=99",
        "Nice=5",
    ):
        assert line in lines
    assert environment(drop_in(agent)) == {
        "AGENT_ROLE": "",
        "CLAUDE_PROJECT_DIR": "/srv/docs",
        "CLAUDE_HOOKS_DIR": "/srv/docs/.claude-hooks",
        "MCPD_AGENT_COMMAND": "vim",
        "MCPD_AGENT_RESTART": "no",
    }


def test_a_limit_that_is_not_given_is_left_to_the_unit() -> None:
    assert not re.search("Memory|CPU|Tasks|Nice", drop_in(AGENT))


def test_a_percent_sign_is_no_specifier() -> None:
    assert "WorkingDirectory=/srv/my docs/100%%\n" in drop_in(AGENT)
    assert "Description=Coding agent Docs 100%%\n" in drop_in(AGENT)


def test_an_agent_without_a_directory_gets_one_of_systemd() -> None:
    own = Agent("docs", 9000, "Docs", workdir="/var/lib/mcp-agents/docs")
    assert "StateDirectory=mcp-agents/docs\n" in drop_in(own)
    assert "AssertPath" not in drop_in(own)


def test_a_socket_listens_on_loopback_alone() -> None:
    assert re.findall("ListenStream=(.*)", drop_in(AGENT, "socket")) == ["127.0.0.1:9000", "[::1]:9000"]
    assert re.findall("ListenStream=(.*)", drop_in(AGENT, "socket", ipv6=False)) == ["127.0.0.1:9000"]


def test_the_target_and_the_manager_want_the_sockets_and_no_agent(tmp_path: Path) -> None:
    found = files.load([ROOT / "packaging" / "agents.d"], Machine(None))
    generator.write(found, tmp_path, ipv6=True)
    for unit in ("mcp.target", "mcpd-ttyd-manager.service"):
        links = list((tmp_path / f"{unit}.wants").iterdir())
        assert {link.name for link in links} == {f"mcp-terminal@{name}.socket" for name in found.agents}
        assert {str(link.readlink()) for link in links} == {"/usr/lib/systemd/system/mcp-terminal@.socket"}
    assert len(list(tmp_path.iterdir())) == 2 + 4 * len(found.agents)


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40).filter(keys.KEYS["role"].fits)


@given(_texts)
def test_what_is_quoted_is_read_as_it_was(text: str) -> None:
    quoted = generator.quote(text)
    assert "\n" not in quoted
    assert unquoted(quoted) == text


@given(
    title=st.text(max_size=20).filter(keys.KEYS["title"].fits),
    workdir=st.text(max_size=20).map(lambda text: f"/{text}").filter(keys.KEYS["workdir"].fits),
    command=st.text(max_size=40).filter(keys.KEYS["command"].fits),
    role=_texts,
)
def test_no_value_becomes_a_setting_of_its_own(title: str, workdir: str, command: str, role: str) -> None:
    agent = Agent("docs", 9000, title, role, "alice", workdir, command)
    lines = drop_in(agent).split("\n")
    assert [line for line in lines if line.startswith("User=")] == ["User=alice"]
    assert [line for line in lines if line.startswith("[")] == ["[Unit]", "[Service]"]
    assert not any(line.endswith("\\") for line in lines)
    assert environment(drop_in(agent))["MCPD_AGENT_COMMAND"] == command
    assert environment(drop_in(agent))["AGENT_ROLE"] == role


def test_faults_are_reported_and_the_generator_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.toml").write_text("port = ")
    (tmp_path / "good.toml").write_text("port = 9000\nuser = 'root'\n")
    monkeypatch.setattr(files, "DIRECTORIES", (tmp_path,))
    monkeypatch.setattr(generator, "_LOG_SOCKET", str(tmp_path / "no-journal"))
    monkeypatch.setattr(generator, "_KMSG", tmp_path / "no-kernel" / "kmsg")
    monkeypatch.setattr(sys, "argv", ["mcpd-agents", str(tmp_path / "out"), "early", "late"])
    generator.main()
    assert "agent left out" in capsys.readouterr().err
    assert (tmp_path / "out" / "mcp-agent@good.service.d" / "50-mcpd.conf").exists()
    assert not (tmp_path / "out" / "mcp-agent@bad.service.d").exists()


def test_the_generator_imports_nothing_that_is_slow() -> None:
    program = "import sys, mcpd.agents.generator; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"msgspec", "apsw", "orjson", "asyncio", "subprocess", "tomlkit", "rich", "systemd"}


def test_a_command_line_of_shell_survives() -> None:
    command = """exec claude --append "it's 100%" 'a\\b' $HOME `date`"""
    agent = Agent("docs", 9000, "Docs", workdir="/srv", command=command)
    assert environment(drop_in(agent))["MCPD_AGENT_COMMAND"] == command
