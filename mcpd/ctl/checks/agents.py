"""The agents: their files without faults, and tmux, in which they run."""

from __future__ import annotations

import shutil

from mcpd.agents.files import Agents
from mcpd.ctl.checks.check import Check, ok, skipped, warning


def find_tmux() -> str | None:
    """Return the path of tmux, None where it is not installed."""
    return shutil.which("tmux")


def judge(found: Agents, tmux: str | None) -> list[Check]:
    """Return a check for each agent that is left out, or one for all, and one for *tmux*."""
    faults = [
        warning(f"agent {fault.file.stem}", str(fault), "mend the file; then systemctl daemon-reload")
        for fault in found.faults
    ]
    if not found.agents and not faults:
        return [skipped("agents", "this machine has none")]
    checks = faults or [ok("agents", f"{len(found.agents)} described, without faults")]
    if tmux is None:
        return [*checks, warning("tmux", "is not installed; no agent can run", "apt install tmux")]
    return [*checks, ok("tmux", tmux)]
