"""The official conformance suite: what it asks of a revision, and what it found of a server."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.functional import plugins
from tests.functional.foreign import installed, node

PACKAGE = "conformance-0.2.0-alpha.12"
RUN_S = 300.0
SKIPS_ITSELF = {"tasks-status-notifications"}
_SERVER = re.compile(r"^server:\n((?:  .*\n)*)", re.MULTILINE)
_SCORED = re.compile(r"^  - (\S+)$", re.MULTILINE)
_NOT_SCORED = re.compile(r"^  - scenario: (\S+)\n    leg: server$", re.MULTILINE)


@dataclass(frozen=True)
class Check:
    """One check of a scenario; ``status`` is SUCCESS, INFO, WARNING, SKIPPED or FAILURE."""

    id: str
    status: str
    message: str

    def __str__(self) -> str:
        return f"{self.status} {self.id}: {self.message}"

    def is_fine(self, scenario: str) -> bool:
        """Say whether it is as it must be: no warning, and no skip but that of what the suite skips for any server."""
        return self.status in {"SUCCESS", "INFO"} or (self.status == "SKIPPED" and scenario in SKIPS_ITSELF)


@dataclass(frozen=True)
class Requirements:
    """The scenarios for servers of one revision: those that a pass needs, and those that only show."""

    scored: list[str]
    not_scored: list[str]

    @property
    def scenarios(self) -> list[str]:
        return self.scored + self.not_scored


def requirements(revision: str) -> Requirements:
    """Return what the suite asks of servers of *revision*; it runs them all, also those that are not scored."""
    text = (_home() / "requirements" / f"{revision}.yaml").read_text()
    block = _SERVER.search(text)
    assert block is not None
    return Requirements(_SCORED.findall(block[1]), _NOT_SCORED.findall(text))


def run(url: str, revision: str, output: Path, within: Sequence[str] = ()) -> dict[str, list[Check]]:
    """Run the scenarios of *revision* against *url*, with the suite's own files in *output*; return the checks of each.

    *within* is a command that runs another one, such as in a guest's network. The suite's exit status is not looked at:
    it forgives warnings, skips and what is not scored.
    """
    command = [*within, node(), str(_home() / "dist/index.js"), "server", "--url", url, "--requirements", revision]
    done = subprocess.run([*command, "-o", str(output)], capture_output=True, text=True, timeout=RUN_S, check=False)
    (output / "log").write_text(done.stdout + done.stderr)
    return {_scenario(path): _checks(path / "checks.json") for path in output.iterdir() if path.is_dir()}


def settings(directory: Path) -> str:
    """Return the settings (TOML) with which mcpd has what the suite calls by name: a plug-in, put into *directory*."""
    return plugins.put(directory, fixtures=Path(__file__).with_name("fixtures.py").read_text())


def _home() -> Path:
    return installed(PACKAGE) / "node_modules/@modelcontextprotocol/conformance"


def _scenario(directory: Path) -> str:
    """Return the scenario that left *directory*: ``server-NAME-TIME``."""
    return re.sub(r"-\d{4}-\d\d-\d\dT[\dZ-]+$", "", directory.name.removeprefix("server-"))


def _checks(path: Path) -> list[Check]:
    found: list[dict[str, Any]] = json.loads(path.read_text())
    return [Check(check["id"], check["status"], _message(check)) for check in found]


def _message(check: dict[str, Any]) -> str:
    return str(check.get("errorMessage") or check["description"])
