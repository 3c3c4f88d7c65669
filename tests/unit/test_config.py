from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from mcpd import config
from mcpd.errors import ConfigError
from mcpd.ports import Ports

SHIPPED = Path(__file__).parents[2] / "packaging" / "mcpd.toml"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_later_files_and_the_environment_win_and_each_value_knows_its_source(tmp_path: Path) -> None:
    first = write(tmp_path / "a.toml", '[server]\nidle_timeout_s = 10\nmax_connections = 7\n[log]\nlevel = "error"\n')
    second = write(tmp_path / "b.toml", "[server]\nidle_timeout_s = 20.5\n")
    settings = config.resolve([first, second], [("env", {"MCP_LOG_LEVEL": "DEBUG", "HOME": "/"})])
    built = config.build(settings)
    assert (built.server.idle_timeout_s, built.server.max_connections, built.log.level) == (20.5, 7, "debug")
    assert built.server.drain_timeout_s == 2.0
    assert settings["server.idle_timeout_s"].source == str(second)
    assert settings["log.level"].source == "env: MCP_LOG_LEVEL"
    assert settings["database.path"].source == "default"


def test_the_database_url_of_the_guide_names_a_file() -> None:
    settings = config.resolve([], [("env", {"MCP_DATABASE_URL": "sqlite:////srv/mcp.db"})])
    assert settings["database.path"].value == "/srv/mcp.db"


def test_the_ports_of_the_guide_move_both_daemons_and_the_url_that_nobody_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"MCP_SERVER_PORT": "9099", "MCP_WEBSOCKET_PORT": "9100"}
    monkeypatch.setattr(config, "DEFAULTS_FILE", SHIPPED)
    settings = config.resolve([SHIPPED], [("env", variables)])
    assert config.build(settings).ports == Ports(9099, 9100)
    url = settings["access.public_url"]
    assert (url.value, url.source) == ("http://localhost:9099", "env: MCP_SERVER_PORT")
    file = write(tmp_path / "mcpd.toml", '[access]\npublic_url = "http://localhost:8099"\n')
    settings = config.resolve([SHIPPED, file], [("env", variables)])
    assert settings["access.public_url"].value == "http://localhost:8099"


@pytest.mark.parametrize("text", ["abc", "0", "70000", "-1", "80.5", ""])
def test_a_variable_that_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="env: MCP_SERVER_PORT: key 'server\\.port': expected a whole number from 1"):
        config.resolve([], [("env", {"MCP_SERVER_PORT": text})])


@pytest.mark.parametrize("url", ["postgresql://x/y", "sqlite:///relative.db", "relative.db", ""])
def test_a_database_url_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="variable 'MCP_DATABASE_URL': expected sqlite:////absolute/path, got"):
        config.resolve([], [("env", {"MCP_DATABASE_URL": url})])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[server]\nidle_timeout = 3\n", "unknown key 'server.idle_timeout'; did you mean 'server.idle_timeout_s'?"),
        ("[nonsense]\nx = 3\n", "unknown key 'nonsense.x'; mcpd.toml(5) lists the keys"),
        ("idle = 3\n", "key 'idle' stands outside a section"),
        ("[server]\nmax_connections = 'many'\n", "expected a whole number from 1 to 1000000, got 'many'"),
        ("[server]\nmax_connections = 0\n", "expected a whole number from 1 to 1000000, got 0"),
        ("[server]\nidle_timeout_s = -1\n", "expected a number above 0 to 86400, got -1"),
        ("[server]\nallowed_hosts = 'a'\n", "expected a list of strings, got 'a'"),
        ("[log]\nlevel = 'loud'\n", 'expected one of "debug", "info", "warning", "error", got \'loud\''),
        ("[database]\npath = 7\n", "expected a string, got 7"),
        ("[server\n", "is not valid TOML"),
        ("[x]\ny = " + "[" * 5000, "is not valid TOML"),
        ("[server]\nport = 0\n", "key 'server.port': expected a whole number from 1 to 65535, got 0"),
        ("[websocket]\nport = 70000\n", "key 'websocket.port': expected a whole number from 1 to 65535, got 70000"),
        ("[server]\nport = 'abc'\n", "key 'server.port': expected a whole number from 1 to 65535, got 'abc'"),
        ("[server]\nport = 8100\n", "expected another port than that of key 'websocket.port' (default), got 8100"),
    ],
)
def test_a_fault_names_file_key_and_expectation(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path / "x.toml", text)
    with pytest.raises(ConfigError) as refused:
        config.load([path])
    assert refused.value.message.startswith(f"{path}: ")
    assert words in refused.value.message
    assert refused.value.exit_status == 78


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load([tmp_path / "missing.toml"])
    (tmp_path / "latin.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not valid TOML"):
        config.load([tmp_path / "latin.toml"])


def test_the_machines_files_are_laid_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DEFAULTS_FILE", write(tmp_path / "defaults.toml", '[log]\nlevel = "info"\n'))
    monkeypatch.setattr(config, "ADMIN_FILE", write(tmp_path / "mcpd.toml", '[log]\nlevel = "error"\n'))
    (tmp_path / "mcpd.toml.d").mkdir()
    write(tmp_path / "mcpd.toml.d" / "20.toml", "[log]\nrequests_per_s = 20\n")
    write(tmp_path / "mcpd.toml.d" / "10.toml", "[log]\nrequests_per_s = 10\n")
    environment = "# comment\nMCP_LOG_LEVEL='warning'\nOTHER=x\n\nbroken line\n"
    monkeypatch.setattr(config, "ENVIRONMENT_FILE", write(tmp_path / "default", environment))
    monkeypatch.delenv("MCP_LOG_LEVEL", raising=False)
    built = config.load()
    assert (built.log.level, built.log.requests_per_s) == ("warning", 20)
    monkeypatch.setenv("MCP_LOG_LEVEL", "debug")
    assert config.load().log.level == "debug"
    write(tmp_path / "default", 'MCP_LOG_LEVEL="unclosed\n')
    with pytest.raises(ConfigError, match="MCP_LOG_LEVEL"):
        config.load()
    (tmp_path / "default").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="cannot be read"):
        config.load()


def test_the_shipped_file_lists_every_key_with_its_default() -> None:
    if not SHIPPED.exists():
        pytest.skip("not in a checkout")
    shipped = tomllib.loads(SHIPPED.read_text())
    flat = {f"{section}.{key}": value for section, keys in shipped.items() for key, value in keys.items()}
    defaults = {name: setting.value for name, setting in config.defaults().items()}
    assert flat == {name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()}
