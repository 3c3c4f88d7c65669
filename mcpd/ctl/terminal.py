"""What the commands that use an agent's terminal share: from a name to its tmux server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from mcpd.agents import files
from mcpd.agents.agent import Agent
from mcpd.errors import AccessDenied, AgentEnded, AgentFailed, AgentNotRunning, Error
from mcpd.terminals.tmux import Tmux


def of(agent: Agent) -> Tmux:
    """Return the tmux server of *agent*."""
    return Tmux(agent.tmux_socket, agent.session)


def named(name: str) -> tuple[Agent, Tmux]:
    """Return the agent that *name* means and its tmux server; raises as ``Agents.find``."""
    agent = files.load().find(name)
    return agent, of(agent)


def how_ended(agent: Agent) -> str | None:
    """Say how the command of *agent* ended, empty if it did not; None where that cannot be seen."""
    try:
        return of(agent).screen().ended
    except Error:
        return None


@contextlib.contextmanager
def advising(agent: Agent) -> Iterator[None]:
    """Add to an error within what an operator can do about it."""
    try:
        yield
    except (AgentNotRunning, AgentEnded) as error:
        verb = "restart" if isinstance(error, AgentEnded) else "start"
        raise AgentFailed(f"{error.message}: mcpctl agent {verb} {agent.name}") from error
    except AccessDenied as error:
        raise AccessDenied(f"{error.message}: be root, or {agent.user}") from error
