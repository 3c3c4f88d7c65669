"""What an agent is: what its file says, and the names of what systemd and tmux make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_USER = "mcp-agent"
RUNTIME_DIRECTORY = Path("/run/mcpd/agents")
STATE_DIRECTORY = Path("/var/lib/mcp-agents")
MANAGER = "mcpd-ttyd-manager.service"
"""The service that all terminals' sockets start."""
RESTARTS = ("no", "on-failure", "always")


@dataclass(frozen=True, slots=True)
class Limits:
    """What an agent may use, as systemd.resource-control(5) writes it; None leaves it to mcp-agent@.service."""

    memory_high: str | None = None
    memory_max: str | None = None
    cpu_quota: str | None = None
    tasks_max: int | None = None
    nice: int | None = None


@dataclass(frozen=True, slots=True)
class Agent:
    """One agent. *command* is a line for bash, empty for the default; *source* is the file that describes it."""

    name: str
    port: int
    title: str
    role: str = ""
    user: str = DEFAULT_USER
    workdir: str = ""
    command: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    restart: str = "on-failure"
    record: bool = False
    source: Path = Path()

    @property
    def unit(self) -> str:
        """The service with the agent's tmux server and all that runs in it."""
        return f"mcp-agent@{self.name}.service"

    @property
    def terminal_unit(self) -> str:
        """The socket on which systemd waits for a browser."""
        return f"mcp-terminal@{self.name}.socket"

    @property
    def ttyd_unit(self) -> str:
        """The service that shows the session to a browser."""
        return f"mcp-ttyd@{self.name}.service"

    @property
    def watch_unit(self) -> str:
        """The service by which the manager sees the agent's screen."""
        return f"mcp-watch@{self.name}.service"

    @property
    def tmux_socket(self) -> Path:
        """Where the tmux server listens."""
        return RUNTIME_DIRECTORY / self.name / "tmux.sock"

    @property
    def session(self) -> str:
        """The tmux session; the agent's own window is its first."""
        return f"claude-{self.name}"

    @property
    def has_own_workdir(self) -> bool:
        """Whether systemd makes and keeps the working directory, since the file names none."""
        return self.workdir == default_workdir(self.name)


def default_workdir(name: str) -> str:
    """Return where the agent *name* works when its file does not say."""
    return str(STATE_DIRECTORY / name)
