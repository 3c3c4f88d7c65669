"""systemctl's words about agents, understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcpd.agents import units
from mcpd.errors import AccessDenied, AgentFailed, Unreachable

SHOWN = """Id=mcp-agent@a.service
ActiveState=active
SubState=running
Result=success
FreezerState=frozen
MemoryCurrent=[not set]
CPUUsageNSec=18446744073709551615
TasksCurrent=7

Id=mcp-agent@b.service
ActiveState=failed
SubState=failed
Result=exit-code
"""


def test_states_are_read() -> None:
    found = units.parse(SHOWN)
    frozen, failed = found["mcp-agent@a.service"], found["mcp-agent@b.service"]
    assert (frozen.word, frozen.is_running) == ("frozen", True)
    assert (failed.word, failed.is_running, failed.result) == ("failed", False, "exit-code")
    assert [frozen.number(name) for name in ("MemoryCurrent", "CPUUsageNSec", "TasksCurrent")] == [None, None, 7]


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("Failed to start x: Interactive authentication required.", AccessDenied),
        ("Failed to start x: Access denied", AccessDenied),
        ("Assertion failed on job for x.", AgentFailed),
    ],
)
def test_a_refusal_and_a_failure_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, error: type[Exception]
) -> None:
    monkeypatch.setattr(units, "has_systemd", lambda: True)
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(error):
        units.systemctl("start", "x")


@pytest.mark.parametrize(
    ("command", "who"),
    [
        (("freeze", "mcp-agent@a.service"), "somebody in group mcp-admin"),
        (("stop", "mcp-terminal@a.*", "mcp-agent@a.*"), "only root may"),
        (("try-restart", "mcpd-ttyd-manager.service"), "only root may"),
    ],
)
def test_who_may_not_is_told_who_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], who: str
) -> None:
    monkeypatch.setattr(units, "has_systemd", lambda: True)
    systemctl = tmp_path / "systemctl"
    systemctl.write_text("#!/bin/sh\necho 'Failed to do x: Access denied' >&2\nexit 1\n")
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AccessDenied, match=who):
        units.systemctl(*command)


def test_without_systemd_there_are_no_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "has_systemd", lambda: False)
    with pytest.raises(Unreachable, match="systemd does not run here"):
        units.systemctl("start", "x")
