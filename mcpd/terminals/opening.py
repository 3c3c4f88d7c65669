"""What to do for somebody who knocks: a function of what he wants and of what runs."""

from __future__ import annotations

import enum

from mcpd.terminals.gate import Kind
from mcpd.terminals.states import Unit


class Step(enum.Enum):
    """What comes next."""

    CONNECT = "connect"  # to the ttyd that runs
    START = "start"  # ttyd, and before it the agent
    WAIT = "wait"  # for the agent to be started or thawed by somebody
    NOTHING = "nothing"  # there is nothing to be had


def next_step(kind: Kind, agent: Unit, ttyd: Unit, *, stopped: bool) -> Step:
    """Return what to do when *kind* is asked for; *stopped* says that somebody stopped the agent after it had run.

    One that is frozen stays so until somebody thaws it.

    The page in a browser reconnects by itself, again and again. It must not bring back an agent that was stopped, and
    a refusal would make it try in a loop; so it waits until the agent is there again. Whoever loads the page starts it.
    """
    if agent.is_frozen:
        return Step.WAIT if kind in (Kind.RECONNECT, Kind.TERMINAL) else Step.NOTHING
    if ttyd.active == "active" and agent.is_up:
        return Step.CONNECT
    if kind is Kind.OTHER:
        return Step.START if agent.is_up else Step.NOTHING
    if kind is Kind.PAGE or agent.is_up or not (stopped or agent.active == "failed"):
        return Step.START
    return Step.WAIT
