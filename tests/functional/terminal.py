"""A real tmux server as mcp-agent@.service starts it: our configuration and launcher, on a socket of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mcpd.errors import AgentFailed
from mcpd.terminals.tmux import Tmux

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 20.0


def eventually(condition: Callable[[], object], timeout_s: float = TIMEOUT_S) -> None:
    """Fail unless *condition* comes true in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


class Terminal:
    """The terminal of the agent *name*, which runs *command*; socket paths are short, pytest's directories are not."""

    def __init__(self, command: str, *, name: str = "tester", restart: str = "no") -> None:
        # The shell in it may still write when the server has gone.
        self._directory = tempfile.TemporaryDirectory(prefix="mcpd", ignore_cleanup_errors=True)
        self.home = Path(self._directory.name)
        self.runtime = self.home / name
        self.runtime.mkdir()
        self.tmux = Tmux(self.runtime / "tmux.sock", f"claude-{name}")
        self._install_programs()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "SHELL": "/bin/bash",
            "HISTFILE": "/dev/null",
            "LANG": "C.UTF-8",
            "AGENT_NAME": name,
            "CLAUDE_PROJECT_DIR": str(self.home),
            "MCPD_AGENT_COMMAND": command,
            "MCPD_AGENT_RESTART": restart,
        }
        server = ["tmux", "-D", "-S", str(self.tmux.socket), "-f", str(self.home / "tmux.conf")]
        self.server = subprocess.Popen(server, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
        eventually(self._is_ready)
        self._closed = threading.Event()
        threading.Thread(target=self._reap, daemon=True).start()

    def _install_programs(self) -> None:
        """Lay out what tmux.conf starts; outside a package, Python must be told where mcpd is."""
        conf = (ROOT / "packaging" / "tmux.conf").read_text().replace("/usr/libexec/mcpd/", f"{self.home}/")
        (self.home / "tmux.conf").write_text(conf)
        (self.home / "agent-run").symlink_to(ROOT / "packaging" / "libexec" / "agent-run")
        ended = self.home / "agent-ended"
        program = "from mcpd.agents.ended import main; main()"
        ended.write_text(f"#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -c '{program}' \"$@\"\n")
        ended.chmod(0o755)

    def _is_ready(self) -> bool:
        assert self.server.poll() is None, "tmux ended"
        try:
            self.tmux.run("has-session", "-t", f"={self.tmux.session}")
        except AgentFailed:
            return False
        return True

    def _reap(self) -> None:
        """Do what the manager's watch does of a pane whose end tmux has not noticed (terminals/control.py, REAP)."""
        while not self._closed.wait(1.0):
            with contextlib.suppress(AgentFailed):
                if self.option("pane_dead") == "1" and not self.option("pane_dead_status"):
                    self.tmux.run("run-shell", "-b", "true")

    def text(self) -> str:
        """What the screen shows."""
        return "\n".join(self.tmux.screen().lines)

    def option(self, name: str) -> str:
        """One of the values that tmux keeps for the pane."""
        return self.tmux.run("display-message", "-p", "-t", self.tmux.target, f"#{{{name}}}").strip()

    def close(self) -> None:
        """End it and all that runs in it."""
        self._closed.set()
        self.server.terminate()
        self.server.wait(TIMEOUT_S)
        self._directory.cleanup()
