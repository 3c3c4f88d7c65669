"""How a switch stands now, whatever its record says: nobody writes that a process was killed."""

from __future__ import annotations

import subprocess

from mcpd import files
from mcpd.ctl.cutover import old, switching
from mcpd.store.cutovers import Cutover

WATCH = "mcp-cutover.service"
INTERRUPTED, WATCH_INTERRUPTED = "interrupted", "watch interrupted"
ADVICE = {
    INTERRUPTED: "mcpctl health says who serves; switch again",
    WATCH_INTERRUPTED: "mcpctl migrate --watch goes on with it",
}
_RUNS = frozenset({"active", "activating", "deactivating"})  # the second is also what waits to be started again


def is_switching() -> bool:
    """Say whether somebody switches just now."""
    return old.DROP_IN.parent.is_dir() and files.is_locked(old.DROP_IN.parent)


def is_watching() -> bool:
    """Say whether the watch runs."""
    if not switching.runs_systemd():
        return False
    command = ["systemctl", "show", "--property=ActiveState", "--value", WATCH]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() in _RUNS


def state(cutover: Cutover) -> str:
    """Return the state of *cutover*; one of ``ADVICE`` where its record says that something goes on which does not."""
    goes_on, otherwise = {
        "switching": (is_switching, INTERRUPTED),
        "watching": (is_watching, WATCH_INTERRUPTED),
    }.get(cutover.state, (lambda: True, ""))
    return cutover.state if goes_on() else otherwise
