"""Agents' files: what is good is loaded, what is bad costs its own agent and says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from mcpd.agents import files, keys, names
from mcpd.agents.agent import Agent, Limits
from mcpd.agents.files import Agents
from mcpd.agents.machine import Machine
from mcpd.errors import AgentNotFound, ConfigError
from mcpd.ports import Ports

SHIPPED = Path(__file__).parents[3] / "packaging" / "agents.d"
MACHINE = Machine(frozenset({"mcp-agent", "alice"}))
PORTS = {
    "backend-api": 8090,
    "database": 8091,
    "frontend-ui": 8092,
    "testing": 8093,
    "instagram": 8094,
    "supervisor": 8095,
    "master": 8096,
    "deployment": 8097,
    "queue-manager": 8098,
}


@pytest.fixture
def admin(tmp_path: Path) -> Path:
    directory = tmp_path / "agents.d"
    directory.mkdir()
    return directory


def load(admin: Path) -> Agents:
    return files.load((SHIPPED, admin), MACHINE)


def words(found: Agents) -> str:
    return "\n".join(map(str, found.faults))


def test_nine_agents_ship_on_the_ports_of_the_guide(admin: Path) -> None:
    found = load(admin)
    assert {name: agent.port for name, agent in found.agents.items()} == PORTS
    assert (found.faults, found.masked) == ([], frozenset())
    assert all(agent.title and agent.role and agent.user == "mcp-agent" for agent in found.agents.values())
    assert found.agents["frontend-ui"].title == "Frontend UI"


def test_a_file_says_everything_about_its_agent(admin: Path, tmp_path: Path) -> None:
    (admin / "docs.toml").write_text(
        f'port = 9000\ntitle = "Docs"\nrole = "Writes.\\nMuch."\nuser = "alice"\nworkdir = "{tmp_path}"\n'
        'command = "vim -p *.md"\nrestart = "no"\nrecord = true\n[env]\nEDITOR = "vim"\n'
        '[limits]\nmemory_high = "1G"\nmemory_max = "50%"\ncpu_quota = "150%"\ntasks_max = 100\nnice = 5\n'
    )
    agent = load(admin).agents["docs"]
    limits = Limits("1G", "50%", "150%", 100, 5)
    env = {"EDITOR": "vim"}
    assert agent == Agent(
        "docs", 9000, "Docs", "Writes.\nMuch.", "alice", str(tmp_path), "vim -p *.md", env, limits, "no", True,
        admin / "docs.toml",
    )  # fmt: skip
    assert (agent.unit, agent.session) == ("mcp-agent@docs.service", "claude-docs")
    assert str(agent.tmux_socket) == "/run/mcpd/agents/docs/tmux.sock"


def test_only_the_port_must_be_said(admin: Path) -> None:
    (admin / "my-docs.toml").write_text("port = 9000\n")
    agent = load(admin).agents["my-docs"]
    assert (agent.title, agent.workdir, agent.restart) == ("My Docs", "/var/lib/mcp-agents/my-docs", "on-failure")
    assert agent.has_own_workdir


def test_a_file_of_the_administrator_replaces_the_shipped_one_as_a_whole(admin: Path) -> None:
    (admin / "testing.toml").write_text("port = 9000\n")
    agent = load(admin).agents["testing"]
    assert (agent.port, agent.role) == (9000, "")


def test_an_empty_file_and_a_link_to_dev_null_take_an_agent_away(admin: Path) -> None:
    (admin / "testing.toml").write_text("")
    (admin / "master.toml").symlink_to("/dev/null")
    found = load(admin)
    assert set(found.agents) == set(PORTS) - {"testing", "master"}
    assert found.masked == {"testing", "master"}
    assert found.faults == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("port = ", "is not valid TOML"),
        ("title = 'x'", "key 'port' is missing"),
        ("port = 9000\nusr = 'x'", "unknown key 'usr'; did you mean 'user'?"),
        ("port = 9000\nzzzz = 1", "unknown key 'zzzz'; mcpd-agents(5) lists the keys"),
        ("port = 9000\n[limits]\nmemory = 1", "unknown key 'limits.memory'; did you mean 'limits.memory_"),
        ("port = 0", "key 'port': expected a whole number from 1 to 65535, got 0"),
        ("port = '9000'", "key 'port': expected a whole number from 1 to 65535, got '9000'"),
        ("port = true", "expected a whole number"),
        ("port = 8090", "port 8090 is backend-api's"),
        ("port = 8099", "port 8099 is mcpd-rpc's"),
        ("port = 8100", "port 8100 is mcpd-ws's"),
        ("port = 5173", "port 5173 is the dashboard's"),
        ("port = 9000\nuser = 'nobody-here'", "key 'user': there is no user 'nobody-here' in /etc/passwd"),
        ("port = 9000\nuser = 'root;x'", "key 'user': expected the name of a local user"),
        ("port = 9000\nworkdir = '/nowhere/at/all'", "key 'workdir': there is no directory /nowhere/at/all"),
        ("port = 9000\nworkdir = 'relative'", "key 'workdir': expected an absolute path"),
        ("port = 9000\nworkdir = '/tmp/../etc'", "key 'workdir': expected an absolute path"),
        ("port = 9000\nworkdir = '/tmp/x\\'", "key 'workdir': expected an absolute path"),
        ('port = 9000\ntitle = "a\\nUser=root"', "key 'title': expected one line"),
        ('port = 9000\ncommand = "a\\u001bb"', "key 'command': expected one line"),
        ("port = 9000\nrestart = 'often'", 'expected one of "no", "on-failure", "always", got \'often\''),
        (
            "port = 9000\nenv = 's3cret'",
            "key 'env': expected a table of variables with strings, none of those that mcpd",
        ),
        ("port = 9000\n[env]\nTMUX = 's3cret'", "key 'env.TMUX': mcpd sets this variable itself"),
        ("port = 9000\n[env]\n'A B' = 's3cret'", "key 'env.A B': expected letters, digits and underscores"),
        ("port = 9000\n[env]\nB = 's3cret'\nA = 7", "key 'env.A': expected text of at most 4096 characters"),
        ("port = 9000\nlimits = 3", "key 'limits': expected a table"),
        ("port = 9000\n[limits]\nmemory_max = 2", "key 'limits.memory_max': expected a size such as"),
        ("port = 9000\n[limits]\nmemory_max = '2 G'", "key 'limits.memory_max': expected a size such as"),
        ("port = 9000\n[limits]\nmemory_max = '0%'", "key 'limits.memory_max': expected a size such as"),
        ("port = 9000\n[limits]\nnice = -21", "key 'limits.nice': expected a whole number from -20 to 19"),
    ],
)
def test_a_fault_is_reported_and_the_others_are_loaded(admin: Path, text: str, complaint: str) -> None:
    (admin / "odd.toml").write_text(text)
    found = load(admin)
    assert set(found.agents) == set(PORTS)
    assert f"{admin / 'odd.toml'}: " in words(found)
    assert complaint in words(found)
    assert "s3cret" not in words(found)


def test_all_faults_of_a_file_are_reported(admin: Path) -> None:
    (admin / "odd.toml").write_text("usr = 'x'\nrestart = 'often'\n")
    assert len(load(admin).faults) == 3


@pytest.mark.parametrize("name", ["a b", "A", "a.b", "a@b", "..", "-a", "a-", "a--b", "a%i", "9a", "é", "a" * 33])
def test_a_name_that_would_escape_paths_or_unit_names_is_none(admin: Path, name: str) -> None:
    (admin / f"{name}.toml").write_text("port = 9000\n")
    found = load(admin)
    assert set(found.agents) == set(PORTS)
    assert "is no name for an agent; expected small letters and digits, the first a letter" in words(found)


def test_what_is_no_file_is_reported(admin: Path) -> None:
    (admin / "folder.toml").mkdir()
    (admin / "gone.toml").symlink_to(admin / "nowhere")
    (admin / "huge.toml").write_text("#" * 70000)
    (admin / "latin.toml").write_bytes(b"port = 9000 # \xff")
    (admin / "device.toml").symlink_to("/dev/zero")
    found = load(admin)
    assert set(found.agents) == set(PORTS)
    assert [fault.message.split(":")[0] for fault in found.faults] == [
        "is not a file",
        "is not a file",
        "cannot be read",
        "is larger than 65536 bytes",
        "is not valid TOML",
    ]


def test_a_newcomer_does_not_take_the_port_of_an_agent_that_ships(admin: Path) -> None:
    (admin / "aaa.toml").write_text("port = 8098\n")
    found = load(admin)
    assert "queue-manager" in found.agents
    assert "port 8098 is queue-manager's" in words(found)


def test_a_broken_file_does_not_bring_the_shipped_agent_back(admin: Path) -> None:
    (admin / "testing.toml").write_text("port = ")
    found = load(admin)
    assert "testing" not in found.agents
    with pytest.raises(ConfigError, match=r"testing\.toml: is not valid TOML"):
        found.find("testing")


def test_a_directory_that_is_mounted_later_is_no_fault_at_boot(admin: Path) -> None:
    (admin / "docs.toml").write_text("port = 9000\nworkdir = '/nowhere/at/all'\n")
    early = files.load((SHIPPED, admin), Machine(MACHINE.users, has_mounts=False))
    assert "docs" in early.agents


def test_no_directory_at_all_means_no_agents(tmp_path: Path) -> None:
    assert files.load((tmp_path / "a", tmp_path / "b"), MACHINE) == Agents({}, [], frozenset())


DISPLAYED = (
    "backend-api",
    "Backend API",
    "Backend API Agent",
    "backend_api",
    "claude-backend-api",
    " BACKEND api ",
    "Backend_API_agent",
)


@pytest.mark.parametrize("text", DISPLAYED)
def test_display_names_mean_an_agent(admin: Path, text: str) -> None:
    assert load(admin).find(text).name == "backend-api"


def test_an_unknown_name_gets_a_hint(admin: Path) -> None:
    with pytest.raises(AgentNotFound, match="no agent 'frontend'; did you mean 'frontend-ui'"):
        load(admin).find("frontend")
    with pytest.raises(AgentNotFound, match=r"no agent '\.\./\.\./etc'; there are backend-api, "):
        load(admin).find("../../etc")


def test_an_agent_may_be_called_agent(admin: Path) -> None:
    (admin / "travel-agent.toml").write_text("port = 9000\n")
    assert load(admin).find("travel-agent").name == "travel-agent"


@given(st.text())
def test_normalising_any_text_raises_nothing_and_names_stay_as_they_are(text: str) -> None:
    normal = names.normalise(text)
    if names.is_name(text) and not text.startswith("claude-") and not text.endswith("-agent"):
        assert normal == text


_values = st.recursive(
    st.one_of(st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False), st.text(max_size=20)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
_documents = st.dictionaries(st.sampled_from([*keys.KEYS, "other"]) | st.text(max_size=8), _values, max_size=6)


@given(_documents)
def test_any_document_is_an_agent_or_a_fault(document: dict[str, Any]) -> None:
    try:
        content = tomlkit.dumps(document).encode()
    except (ValueError, TypeError, UnicodeEncodeError):  # no TOML
        return
    try:
        agent = files.parse(Path("x.toml"), content)
    except ConfigError as error:
        assert all(line and line.isprintable() for line in error.message.split("\n"))
    else:
        assert agent.port == document["port"]


@given(st.binary(max_size=200))
def test_any_bytes_are_an_agent_or_a_fault(content: bytes) -> None:
    try:
        files.parse(Path("x.toml"), content)
    except ConfigError as error:
        assert error.message


def test_the_configured_ports_are_taken_and_the_default_ones_free(admin: Path) -> None:
    for port in (8099, 8100, 9099, 9100):
        (admin / f"a{port}.toml").write_text(f"port = {port}\n")
    found = files.load((SHIPPED, admin), Machine(MACHINE.users, ports=Ports(9099, 8093)))
    assert {name for name in found.agents if name not in PORTS} == {"a8099", "a8100", "a9100"}
    assert {fault.message for fault in found.faults} == {"port 9099 is mcpd-rpc's", "port 8093 is mcpd-ws's"}
