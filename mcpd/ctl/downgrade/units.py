"""Nobody at the database for a while: mcpd's daemons and all that would start them stopped, agents left running."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mcpd.ctl.cutover import switching
from mcpd.ctl.cutover.switching import MCPD
from mcpd.errors import Error

_DAEMONS = ("mcpd-*.socket", "mcpd-*.path", "mcpd-*.timer", "mcp-terminal@*.socket", "mcpd-*.service")
# Each of the first wants the manager's socket, again and again; the other would take the pause for a failure.
_WATCHES = ("mcp-watch@*.service", "mcp-cutover.service")


@dataclass(slots=True)
class Pause:
    """What was stopped; ``outage_us`` is how long mcpd-rpc's port refused callers, once it is over."""

    outage_us: int = 0


@contextmanager
def paused(port: int) -> Iterator[Pause]:
    """Stop the daemons for the block, whichever way it ends; those of a stopped target stay stopped afterwards.

    *port* is mcpd-rpc's.
    """
    pause, was_active = Pause(), switching.is_active(MCPD)
    watches = [line.split()[0] for line in _listed(*_WATCHES) if line]
    with switching.Knocker(port) as knocker:
        try:
            # The target itself goes on: agents stop with it.
            switching.systemctl("stop", *_DAEMONS, *_WATCHES)
            yield pause
        except Error as error:
            try:
                _resume(watches, knocker, was_active=was_active)
            except Error as other:  # it must not hide what led here
                error.message += f"; then {other.message}"
            raise
        except BaseException:
            _resume(watches, knocker, was_active=was_active)
            raise
        _resume(watches, knocker, was_active=was_active)
    pause.outage_us = knocker.outage_us


def _resume(watches: Sequence[str], knocker: switching.Knocker, *, was_active: bool) -> None:
    switching.systemctl("daemon-reload")
    switching.systemctl("reset-failed", *_DAEMONS)
    if was_active:
        switching.systemctl("start", MCPD)
        if watches:
            switching.systemctl("start", *watches)
        knocker.wait_answered()


def _listed(*patterns: str) -> list[str]:
    shown = switching.systemctl("list-units", "--plain", "--no-legend", "--no-pager", "--state=active", *patterns)
    return shown.splitlines()
