"""``mcpctl hooks`` on real files: merged, kept, restored, and changed as their owner."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mcpd
from mcpd.hooks.events import EVENTS

SETTINGS = {"model": "opus", "hooks": {"Stop": [{"hooks": [{"type": "command", "command": "notify-send done"}]}]}}
NOBODY = 65534


def mcpctl(*words: str | Path, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(mcpd.__file__).parents[1]), "HOME": str(home)} | variables
    command = [sys.executable, "-m", "mcpd.ctl.main", "hooks", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)


def done(*words: str | Path, home: Path, **variables: str) -> Any:
    result = mcpctl(*words, "--json", home=home, **variables)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".claude").mkdir()
    (tmp_path / ".claude" / "settings.json").write_text(json.dumps(SETTINGS))
    (tmp_path / ".claude" / "settings.json").chmod(0o600)
    return tmp_path


def test_install_merges_and_uninstall_restores_byte_by_byte(home: Path) -> None:
    path = home / ".claude" / "settings.json"
    before = path.read_bytes()
    assert mcpctl("status", home=home).returncode == 1
    assert [row["state"] for row in done("install", home=home)] == ["installed", "installed"]
    written = json.loads(path.read_text())
    assert (written["model"], set(written["hooks"])) == ("opus", set(EVENTS))
    assert written["hooks"]["Stop"][0] == SETTINGS["hooks"]["Stop"][0]  # type: ignore[index]
    assert written["hooks"]["Stop"][1]["hooks"][0]["command"].split() == ["mcpd-hook", "Stop"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads((home / ".claude.json").read_text())["mcpServers"]["mcpd"]["url"].endswith("/mcp")
    assert [row["state"] for row in done("status", home=home)] == ["installed", "installed"]
    assert mcpctl("status", home=home, MCP_SERVER_PORT="9099").returncode == 1
    done("install", home=home, MCP_SERVER_PORT="9099")
    assert "//localhost:9099/mcp" in (home / ".claude.json").read_text()
    done("install", home=home)  # a second time changes nothing, least of all the backup
    assert path.with_name("settings.json.mcpd-backup").read_bytes() == before
    done("uninstall", home=home)
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in home.rglob("*")) == [".claude", "settings.json"]


def test_what_the_user_changed_meanwhile_stays(home: Path) -> None:
    path = home / ".claude" / "settings.json"
    done("install", home=home)
    changed = json.loads(path.read_text()) | {"theme": "dark"}
    changed["hooks"]["PreToolUse"].append({"matcher": "Bash", "hooks": [{"type": "command", "command": "check"}]})
    path.write_text(json.dumps(changed))
    done("uninstall", home=home)
    left = json.loads(path.read_text())
    assert (left["theme"], left["model"], set(left["hooks"])) == ("dark", "opus", {"Stop", "PreToolUse"})
    assert left["hooks"]["Stop"] == SETTINGS["hooks"]["Stop"]  # type: ignore[index]


def test_a_hook_that_is_missing_is_told(home: Path) -> None:
    done("install", home=home)
    path = home / ".claude" / "settings.json"
    changed = json.loads(path.read_text())
    del changed["hooks"]["PreCompact"]
    path.write_text(json.dumps(changed))
    result = mcpctl("status", "--json", home=home)
    assert (result.returncode, json.loads(result.stdout)[0]["state"]) == (1, "incomplete: PreCompact missing")


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"hooks": []}', '{"hooks": {"Stop": 1}}', "\udcff", '{"a":' * 99999],
    ids=["cut", "list", "no-groups", "no-list", "bytes", "deep"],  # pytest puts them into the environment
)
def test_a_file_that_is_not_understood_stops_all_before_anything_is_changed(home: Path, content: str) -> None:
    path = home / ".claude" / "settings.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    for action in ("install", "uninstall", "status"):
        result = mcpctl(action, home=home)
        assert result.returncode == 78, (result.stdout, result.stderr)
        assert f"mcpctl: {path}: " in result.stderr
    assert path.read_bytes() == content.encode("utf-8", "surrogateescape")
    assert sorted(entry.name for entry in home.rglob("*")) == [".claude", "settings.json"]


def test_a_link_to_the_settings_stays_one(home: Path) -> None:
    path, real = home / ".claude" / "settings.json", home / "dotfiles.json"
    path.rename(real)
    path.symlink_to(real)
    done("install", home=home)
    assert path.is_symlink()
    assert "PreToolUse" in json.loads(real.read_text())["hooks"]
    done("uninstall", home=home)
    assert path.is_symlink()
    assert json.loads(real.read_text()) == SETTINGS


def test_a_project_has_files_of_its_own(home: Path) -> None:
    project = home / "project"
    project.mkdir()
    rows = done("install", "--project", project, home=home)
    assert [row["file"] for row in rows] == [str(project / ".claude" / "settings.json"), str(project / ".mcp.json")]
    assert not (home / ".claude.json").exists()
    done("uninstall", "--project", project, home=home)
    assert [entry.name for entry in project.rglob("*")] == [".claude"]


def test_what_does_not_exist_is_told(home: Path) -> None:
    assert mcpctl("install", "--project", home / "none", home=home).returncode == 64
    unknown = mcpctl("install", "--user", "no-such-user", home=home)
    assert unknown.returncode == (64 if os.geteuid() == 0 else 77)


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A directory of somebody else's, reachable for him."""
    directory = Path(tempfile.mkdtemp(prefix="mcpd-theirs"))
    os.chown(directory, NOBODY, NOBODY)
    yield directory
    shutil.rmtree(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes others' files")
def test_root_changes_the_files_of_others_as_they_would(home: Path, theirs: Path) -> None:
    done("install", "--project", theirs, home=home)
    assert {entry.stat().st_uid for entry in theirs.rglob("*")} == {NOBODY}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root changes others' files")
def test_root_is_not_led_out_of_a_project_by_a_link(home: Path, theirs: Path) -> None:
    (theirs / ".claude").symlink_to(home / ".claude")
    before = (home / ".claude" / "settings.json").read_bytes()
    result = mcpctl("install", "--project", theirs, home=home)
    assert result.returncode == 77
    assert (home / ".claude" / "settings.json").read_bytes() == before
