"""The agents: their files without faults, tmux, in which they run, and ttyd, which shows them in a browser."""

from __future__ import annotations

import shutil

from mcpd.agents.files import Agents
from mcpd.ctl.checks.check import Check, ok, skipped, warning


def find_tmux() -> str | None:
    """Return the path of tmux, None where it is not installed."""
    return shutil.which("tmux")


def find_ttyd() -> str | None:
    """Return the path of ttyd where mcp-ttyd@.service looks for it, None where it is not."""
    return shutil.which("ttyd", path="/usr/bin:/usr/local/bin")


def judge(found: Agents, tmux: str | None, ttyd: str | None) -> list[Check]:
    """Return a check for each agent that is left out, or one for all, and one each for *tmux* and *ttyd*."""
    faults = [
        warning(f"agent {fault.file.stem}", str(fault), "mend the file; then systemctl daemon-reload")
        for fault in found.faults
    ]
    if not found.agents and not faults:
        return [skipped("agents", "this machine has none")]
    checks = faults or [ok("agents", f"{len(found.agents)} described, without faults")]
    no_tmux = warning("tmux", "is not installed; no agent can run", "apt install tmux")
    no_ttyd = warning("ttyd", "is not installed; agents run, but no browser shows them", "apt install ttyd")
    return [*checks, ok("tmux", tmux) if tmux else no_tmux, ok("ttyd", ttyd) if ttyd else no_ttyd]
