"""Which agent a process belongs to, by the kernel's word: the cgroup that systemd put it into (cgroups(7)).

Only the exact place counts. A user may make groups of any name below his own, where systemd delegated them to him.
"""

from __future__ import annotations

import contextlib
import re
from functools import cache
from pathlib import Path

PROC = Path("/proc")
_LINE = re.compile(r"^(?:0:|\d+:name=systemd):(/.*)$", re.MULTILINE)
_SERVICE = re.compile(r"/system\.slice/[^/]+\.service$")
_AGENT = re.compile(r"/mcp\.slice/mcp-agents\.slice/mcp-agent@([a-z0-9-]+)\.service(?:/.*)?")


def agent_in(cgroup: str, ours: str) -> str | None:
    """Return the agent that a process is in, None if in none.

    *cgroup* and *ours* are texts of ``/proc/PID/cgroup``, the process's and the daemon's own. The daemon is in
    ``system.slice``, and what stands before that, as in some containers, stands before the agents' slice too.
    """
    roots = {_SERVICE.sub("", path.rstrip("/")) for path in _LINE.findall(ours)}
    for path in _LINE.findall(cgroup):
        for root in roots:
            if path.startswith(root) and (found := _AGENT.fullmatch(path.removeprefix(root))):
                return found[1]
    return None


def agent_of(pid: int, uid: int, proc: Path = PROC) -> str | None:
    """Return the agent that the process *pid* of the user *uid* is in, None if in none or if it is gone.

    Whoever connected may have ended since, and his number be another's: that one must be of the same user at least.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        folder = proc / str(pid)
        found = agent_in((folder / "cgroup").read_text(), _ours(proc))
        if found is not None and _uid(folder) == uid:
            return found
    return None


@cache
def _ours(proc: Path) -> str:
    """Return where the daemon itself is, which does not change; it is asked for with every connection."""
    return (proc / "self" / "cgroup").read_text()


def _uid(folder: Path) -> int:
    """Return the effective user of a process (``Uid:`` in proc_pid_status(5))."""
    status = (folder / "status").read_text()
    return int(status.partition("\nUid:")[2].split(maxsplit=2)[1])
