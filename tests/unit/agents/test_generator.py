"""What the generator writes for systemd: read back as systemd reads it, nothing that a file says leaves its place."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd import config, ports
from mcpd.agents import files, generator, keys
from mcpd.agents.agent import Agent, Limits
from mcpd.agents.machine import Machine
from mcpd.ports import Ports

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


def test_the_units_have_the_default_ports_and_agents_are_led_there() -> None:
    """They are static, so that there is no drop-in where nothing was configured: the one place that says it again."""
    assert generator.moved(Ports()) == {}
    far = generator.moved(Ports(1, 2))
    for unit, port, default in (("mcpd-rpc", 1, 8099), ("mcpd-ws", 2, 8100)):
        for name in (f"{unit}.socket", f"{unit}6.socket"):
            moved = re.findall("^ListenStream=(.*)", far[f"{name}.d/50-mcpd.conf"], re.MULTILINE)
            listens = re.findall("^ListenStream=(.*)", (ROOT / "units" / name).read_text(), re.MULTILINE)
            assert moved == ["", *(re.sub(rf":{default}$", f":{port}", place) for place in listens)]
    assert [text.splitlines()[2] for name, text in far.items() if name.endswith(".socket.d/50-mcpd.conf")] == [
        "[Socket]"
    ] * 4
    given = (ROOT / "units" / "mcp-agent@.service.d" / "10-environment.conf").read_text().split()
    for name, value in Ports().variables().items():
        assert any(word.removeprefix("Environment=") == f"{name}={value}" for word in given)


def test_a_port_moves_its_own_daemon_only_and_what_leads_agents_there() -> None:
    found = generator.moved(Ports(ws=9100))
    assert set(found) == {
        "mcpd-ws.socket.d/50-mcpd.conf",
        "mcpd-ws6.socket.d/50-mcpd.conf",
        "mcp-agent@.service.d/20-ports.conf",
    }
    lines = found["mcp-agent@.service.d/20-ports.conf"].splitlines()
    assert {
        "[Service]",
        "Environment=MCP_WS_URL=ws://localhost:9100",
        "Environment=MCP_SERVER=http://localhost:8099",
    } < {*lines}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without agents and configuration but for what the test puts there: default, mcpd.toml, agents.d."""
    (tmp_path / "agents.d").mkdir()
    monkeypatch.setattr(files, "DIRECTORIES", (tmp_path / "agents.d",))
    for module in (ports, config):
        monkeypatch.setattr(module, "ADMIN_FILE", tmp_path / "mcpd.toml")
        monkeypatch.setattr(module, "ENVIRONMENT_FILE", tmp_path / "default")
    monkeypatch.setattr(generator, "_LOG_SOCKET", str(tmp_path / "no-journal"))
    monkeypatch.setattr(generator, "_KMSG", tmp_path / "no-kernel" / "kmsg")
    monkeypatch.setattr(sys, "argv", ["mcpd-agents", str(tmp_path / "out"), "early", "late"])
    return tmp_path


def listening(machine: Path) -> dict[str, list[str]]:
    """What the generator has each socket unit listen on, other than the unit itself says."""
    found = (machine / "out").glob("mcpd-*.socket.d/*")
    return {path.parent.name[:-9]: re.findall("ListenStream=(.+)", path.read_text()) for path in found}


@pytest.mark.parametrize("file", ["default", "mcpd.toml", "mcpd.toml.d/10.toml"])
def test_the_generator_takes_the_ports_from_wherever_they_are_configured(machine: Path, file: str) -> None:
    (machine / "mcpd.toml.d").mkdir()
    (machine / "agents.d" / "docs.toml").write_text("port = 9099\nuser = 'root'\n")
    text = "MCP_SERVER_PORT=9099\n" if file == "default" else "[server]\nport = 9099\n"
    (machine / file).write_text(text)
    generator.main()
    assert listening(machine) == {
        "mcpd-rpc": ["127.0.0.1:9099", "/run/mcpd/mcp.sock"],
        "mcpd-rpc6": ["[::1]:9099"],
    }
    assert not (machine / "out" / "mcp-agent@docs.service.d").exists(), "an agent has mcpd-rpc's port"


@pytest.mark.parametrize(
    "text",
    [
        "MCP_SERVER_PORT=abc",
        "MCP_WEBSOCKET_PORT=0",
        "MCP_SERVER_PORT=70000",
        "MCP_SERVER_PORT=8100",
        "MCP_SERVER_PORT='",
        "MCP_SERVER_PORT=9099\n\xff",
    ],
)
def test_a_bad_port_is_reported_and_the_default_stays(
    machine: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (machine / "default").write_bytes(text.encode("latin-1"))
    (machine / "agents.d" / "docs.toml").write_text("port = 9099\nuser = 'root'\n")
    generator.main()
    assert f"the ports are those of the defaults: {machine / 'default'}: " in capsys.readouterr().err
    assert listening(machine) == {}
    assert (machine / "out" / "mcp-agent@docs.service.d").exists()


def test_faults_are_reported_and_the_generator_goes_on(machine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (machine / "agents.d" / "bad.toml").write_text("port = ")
    (machine / "agents.d" / "good.toml").write_text("port = 9000\nuser = 'root'\n")
    generator.main()
    assert "agent left out" in capsys.readouterr().err
    assert (machine / "out" / "mcp-agent@good.service.d" / "50-mcpd.conf").exists()
    assert not (machine / "out" / "mcp-agent@bad.service.d").exists()


def test_the_generator_imports_nothing_that_is_slow(tmp_path: Path) -> None:
    """Nor does it run anything slow where nobody configured a port."""
    (tmp_path / "default").write_text("MCP_LOG_LEVEL=debug\n")
    program = f"""
import sys, pathlib, mcpd.agents.generator, mcpd.ports
mcpd.ports.ENVIRONMENT_FILE = pathlib.Path({str(tmp_path / "default")!r})
mcpd.ports.ADMIN_FILE = pathlib.Path("/nowhere/mcpd.toml")
assert mcpd.ports.configured() == mcpd.ports.DEFAULTS
print(*sys.modules)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"msgspec", "apsw", "orjson", "asyncio", "subprocess", "tomlkit", "rich", "systemd"}


def test_a_command_line_of_shell_survives() -> None:
    command = """exec claude --append "it's 100%" 'a\\b' $HOME `date`"""
    agent = Agent("docs", 9000, "Docs", workdir="/srv", command=command)
    assert environment(drop_in(agent))["MCPD_AGENT_COMMAND"] == command
