"""Changes to agents' files: checked first, comments kept, what ships is hidden and never changed."""

from __future__ import annotations

import socket
import tomllib
from pathlib import Path

import pytest

from mcpd.agents import edit, files
from mcpd.agents.machine import Machine
from mcpd.errors import AgentFailed, ConfigError

MACHINE = Machine(frozenset({"mcp-agent"}))


@pytest.fixture
def admin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(files, "ADMIN", tmp_path / "etc")
    monkeypatch.setattr(files, "SHIPPED", tmp_path / "usr")
    (tmp_path / "usr").mkdir()
    return tmp_path / "etc"


def test_a_new_file_has_its_tables_last() -> None:
    text = edit.compose({"limits": {"nice": 3}, "port": 9000, "command": 'a "b"'})
    assert tomllib.loads(text) == {"port": 9000, "command": 'a "b"', "limits": {"nice": 3}}


def test_limits_change_and_the_rest_of_the_file_stays() -> None:
    text = '# mine\nport = 9000  # chosen\n\n[limits]\n# enough\nmemory_max = "1G"\nnice = 3\n'
    assert edit.changed(text, {"limits": {"memory_max": "2G", "nice": None}}) == text.replace("1G", "2G").replace(
        "nice = 3\n", ""
    )
    assert tomllib.loads(edit.changed("port = 9000\n", {"limits": {"nice": 1}}))["limits"] == {"nice": 1}


def test_a_key_that_is_set_later_comes_before_the_tables() -> None:
    text = "# mine\nport = 9000  # chosen\n\n[env]\nA = 'a'\nB = 'b'\n"
    found = edit.changed(text, {"record": True, "title": "X", "env": {"A": None, "C": "c"}})
    assert tomllib.loads(found) == {"port": 9000, "record": True, "title": "X", "env": {"B": "b", "C": "c"}}
    assert "# mine\nport = 9000  # chosen\n" in found


def test_a_port_is_taken_by_who_listens_on_loopback_and_not_by_what_is_over() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as other:
        assert not edit.is_free(other.getsockname()[1])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not edit.is_free(port)
        client = socket.create_connection(("127.0.0.1", port))
        connection, _ = server.accept()
        connection.close()  # whose side ends first, waits
        client.close()
    assert edit.is_free(port)


def test_a_good_file_is_saved_and_a_bad_one_changes_nothing(admin: Path) -> None:
    path = edit.path_of("docs")
    assert edit.save(path, "port = 9000\n", MACHINE).port == 9000
    for bad in ("port = 0\n", "port = 9000\nuser = 'nobody-here'\n", "port = "):
        with pytest.raises(ConfigError):
            edit.save(path, bad, MACHINE)
    assert path.read_text() == "port = 9000\n"
    assert [entry.name for entry in admin.iterdir()] == ["docs.toml"]


def test_an_agent_of_the_administrator_goes_and_one_that_ships_is_hidden(admin: Path) -> None:
    (files.SHIPPED / "testing.toml").write_text("port = 8093\n")
    edit.save(edit.path_of("docs"), "port = 9000\n", MACHINE)
    edit.take_away("docs")
    edit.take_away("testing")
    assert [entry.name for entry in admin.iterdir()] == ["testing.toml"]
    assert edit.is_masked(admin / "testing.toml")
    assert files.load((files.SHIPPED, admin), MACHINE).masked == {"testing"}
    edit.save(edit.path_of("testing"), "port = 9000\n", MACHINE)
    assert not edit.is_masked(admin / "testing.toml")


def test_what_cannot_be_written_is_named(admin: Path) -> None:
    admin.write_text("no directory")
    with pytest.raises(AgentFailed, match=r"docs\.toml: cannot be changed: "):
        edit.save(edit.path_of("docs"), "port = 9000\n", MACHINE)


def test_a_free_port_is_neither_taken_nor_in_use() -> None:
    first = edit.free_port(set())
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", first))
        second = edit.free_port(set())
    assert second != first
    assert edit.free_port({first, second}) not in (first, second)
    with pytest.raises(AgentFailed, match="no free port"):
        edit.free_port(range(8000, 9000))
