"""The old system: where it is, its units, and who holds the port."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcpd.config import Legacy
from mcpd.ctl.cutover import old, switching
from mcpd.errors import ConfigError, Unreachable


@pytest.mark.parametrize(
    ("legacy", "said"),
    [
        (Legacy(), "is not set"),
        (Legacy("/nowhere"), "/nowhere: there is no such file"),
        (Legacy("/", ("server.py",)), "/server.py: there is no such file"),
        (Legacy("relative"), "there is no such file"),
        (Legacy("/", ()), "is empty"),
    ],
)
def test_an_old_system_that_is_not_there_is_an_error_of_the_configuration(legacy: Legacy, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        old.check(legacy)


def test_systemd_is_told_of_exactly_the_scripts_that_are_configured(
    legacy: Legacy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []
    wants = tmp_path / "wants"
    wants.mkdir()
    (wants / "mcp-legacy@gone.py.service").symlink_to("/dev/null")
    monkeypatch.setattr(old, "DROP_IN", tmp_path / "x.d" / "50-mcpctl.conf")
    monkeypatch.setattr(old, "_WANTS", wants)
    monkeypatch.setattr(switching, "systemctl", lambda *words: asked.append(words))
    old.install(legacy)
    assert f"WorkingDirectory={legacy.directory}\nUser={'root' if os.geteuid() == 0 else ''}" in old.DROP_IN.read_text()
    assert list(wants.iterdir()) == []
    assert asked == [("daemon-reload",), ("enable", "mcp-legacy@server.py.service")]


def test_only_the_old_system_s_own_processes_are_ended(legacy: Legacy) -> None:
    script = "import socket, time\ns = socket.create_server(('127.0.0.1', 0))\nprint(s.getsockname()[1], flush=True)\n"
    for directory, is_ours in ((legacy.directory, True), ("/", False)):
        command = [sys.executable, "-c", f"{script}time.sleep(100)"]
        with subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            if is_ours:
                found = old.strays(legacy, port)
                assert [each.pid for each in found] == [process.pid]
                assert process.poll() is None, "to look ends nobody"
                old.end(found)
                old.end(found)
                assert old.strays(legacy, port) == []
            else:
                with pytest.raises(Unreachable, match=f"pid {process.pid}"):
                    old.strays(legacy, port)
                process.kill()
