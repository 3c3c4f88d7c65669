"""agent-ended: what tmux runs when the command in an agent's pane has ended (the hook pane-died of tmux.conf).

It writes to the journal how and with what last words, and has tmux start the command again if the policy says so. In
the pane, the command's end and its last screen stay to be seen until then.
"""

from __future__ import annotations

import os
import subprocess
import sys
import syslog
import time
from collections.abc import Sequence

from systemd import journal

from mcpd.agents.restarts import Decision, End, decide

_TIMEOUT_S = 10.0
_LAST_LINES = 3


def notes(pane: str, decision: Decision, now_s: float) -> list[list[str]]:
    """Return the tmux commands that note at *pane* what ``parse`` is told after the next end."""
    result = [["set-option", "-p", "-t", pane, "@quick_ends", str(decision.quick_ends)]]
    if decision.delay_s is not None:
        result.append(["set-option", "-p", "-t", pane, "@started", str(round(now_s + decision.delay_s))])
    return result


def report(agent: str, end: End, decision: Decision, screen: str) -> list[str]:
    """Return the journal's lines about *end*, with the last words on *screen*."""
    words = [line.rstrip() for line in screen.splitlines() if line.strip()][-_LAST_LINES:]
    return [f"agent {agent} {end}; {decision.reason}", *(f"last words: {line}" for line in words)]


def parse(words: Sequence[str], now_s: float) -> tuple[str, End, int]:
    """Return the pane, its end and the quick ends before, from what tmux.conf passes; unset formats are empty."""
    pane, status, signal, started, quick_ends = words
    ran_s = now_s - float(started) if started else 0.0
    return pane, End(int(status) if status else None, signal, max(ran_s, 0.0)), int(quick_ends or 0)


def main() -> None:
    """Decide and act; tmux's own socket is in the environment."""
    now_s = time.time()
    pane, end, quick_ends = parse(sys.argv[1:], now_s)
    decision = decide(os.environ.get("MCPD_AGENT_RESTART", "no"), end, quick_ends)
    # tmux moves the screen up by a line to say that the pane is dead.
    screen = _tmux(["capture-pane", "-p", "-t", pane, "-S", "-1"])
    agent = os.environ.get("AGENT_NAME", "?")
    priority = syslog.LOG_WARNING if end.is_failure else syslog.LOG_INFO
    for line in report(agent, end, decision, screen):
        journal.send(line, PRIORITY=priority, SYSLOG_IDENTIFIER=f"mcp-agent@{agent}", MCPD_AGENT=agent)
    for command in notes(pane, decision, now_s):
        _tmux(command)
    if decision.delay_s is not None:
        # Not run-shell -d: tmux 3.8 forgets it when a client goes, such as a browser that is closed.
        time.sleep(decision.delay_s)
        _tmux(["respawn-pane", "-t", pane])


def _tmux(command: Sequence[str]) -> str:
    socket_path = os.environ["TMUX"].partition(",")[0]
    done = subprocess.run(  # noqa: S603
        ["tmux", "-N", "-S", socket_path, *command],  # noqa: S607
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=_TIMEOUT_S,
    )
    return done.stdout
