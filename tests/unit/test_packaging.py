"""What is said in two places is the same in both: Debian's packaging, pyproject.toml and the tree."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import mcpd

ROOT = Path(__file__).parents[2]
DEBIAN = ROOT / "debian"
PYPROJECT = (ROOT / "pyproject.toml").read_text()
SHIPPED = (
    "units",
    "packaging/agents.d",
    "packaging/dbus",
    "packaging/generators",
    "packaging/libexec",
    "packaging/mcpd.toml",
    "packaging/polkit",
    "packaging/sysusers.d",
    "packaging/tmpfiles.d",
    "packaging/tmux.conf",
)


def control(field: str) -> list[str]:
    """The entries of a field of debian/control, without debhelper's substitutions."""
    match = re.search(rf"^{field}:((?:.*\n)(?: .*\n)*)", (DEBIAN / "control").read_text(), flags=re.MULTILINE)
    assert match, field
    entries = [" ".join(entry.split()) for entry in match[1].split(",")]
    return [entry for entry in entries if not entry.startswith("${")]


def test_debian_depends_on_the_packages_that_pyproject_names() -> None:
    block = re.search(r"^dependencies = \[\n(.*?)^\]", PYPROJECT, flags=re.MULTILINE | re.DOTALL)
    assert block
    lines = block[1].splitlines()
    named = [match[1] for line in lines if (match := re.search(r"# deb: (.*\S)", line))]
    assert len(named) == len(lines), "a dependency without its Debian package"
    assert sorted(control("Depends")) == sorted(named)


def test_the_versions_agree() -> None:
    changelog = (DEBIAN / "changelog").read_text()
    match = re.match(r"mcpd \(([^)-]+)-[^)]+\)", changelog)
    assert match
    assert match[1] == tomllib.loads(PYPROJECT)["project"]["version"] == mcpd.__version__


def test_every_file_to_be_shipped_is_installed_and_nothing_else_is_named() -> None:
    patterns = [line.split()[0] for line in (DEBIAN / "mcpd.install").read_text().splitlines()]
    installed = set()
    for pattern in patterns:
        found = set(ROOT.glob(pattern))
        assert found, f"{pattern} matches nothing"
        installed |= found
    shipped = set()
    for place in SHIPPED:
        path = ROOT / place
        shipped |= set(path.iterdir()) if path.is_dir() else {path}
    assert installed == shipped


def test_every_service_is_restarted_after_an_upgrade_and_every_unit_is_stopped_by_a_removal() -> None:
    rules = (DEBIAN / "rules").read_text().replace("\\\n", " ")
    calls = re.findall(r"^\tdh_installsystemd (.*)", rules, flags=re.MULTILINE)
    restarted = {word for call in calls if " --restart-" in call for word in call.split() if "." in word}
    stopped = {word for call in calls if " --no-restart-" in call for word in call.split() if "." in word}
    units = {path.name for path in (ROOT / "units").iterdir() if path.is_file() and "@" not in path.name}
    assert restarted == {name for name in units if name.endswith(".service")} - {"mcp-thaw.service"}
    removal = (DEBIAN / "mcpd.prerm").read_text()
    by_hand = {name for name in units if name in removal}
    assert stopped == units - by_hand - {"mcpd-refuse.target", "mcpd-refuse-ws.target"}, "those are never active"


def test_the_instances_of_every_template_are_stopped_by_a_removal_and_by_no_upgrade() -> None:
    removal = (DEBIAN / "mcpd.prerm").read_text()
    templates = [path.name for path in (ROOT / "units").iterdir() if path.is_file() and "@" in path.name]
    assert templates
    for name in templates:
        assert f"'{name.replace('@.', '@*.')}'" in removal
        assert name not in (DEBIAN / "rules").read_text()
    assert '"$1" = remove' in removal


@pytest.mark.parametrize("path", sorted((ROOT / "packaging" / "libexec").iterdir()), ids=lambda path: path.name)
def test_what_systemd_and_tmux_start_can_be_started(path: Path) -> None:
    assert path.stat().st_mode & 0o111 == 0o111
    assert path.read_bytes().startswith(b"#!/")


def shell_scripts() -> list[Path]:
    folders = (ROOT / name for name in ("packaging", "packaging/libexec", ".ci", "debian"))
    files = (path for folder in folders for path in folder.iterdir() if path.is_file())
    scripts = [path for path in files if re.match(rb"#!/bin/(ba)?sh|# shellcheck", path.read_bytes())]
    assert len(scripts) >= 6
    return scripts


@pytest.mark.host
@pytest.mark.parametrize("path", shell_scripts(), ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(path: Path) -> None:
    if not shutil.which("shellcheck") and not os.environ.get("CI"):
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(["shellcheck", "-x", path], capture_output=True, text=True, check=False)
    assert done.stdout == ""


def test_every_script_says_what_it_does_when_asked() -> None:
    for name in ("build-deb", "guest", "install", "test"):
        done = subprocess.run([ROOT / "packaging" / name, "--help"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), name
        assert done.stdout, name
