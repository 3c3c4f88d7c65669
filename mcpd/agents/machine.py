"""What an agent's file needs from the machine: the user and the directory that it names."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mcpd import ports
from mcpd.agents.agent import Agent
from mcpd.errors import ConfigError
from mcpd.ports import Ports

PASSWD = Path("/etc/passwd")


@dataclass(frozen=True, slots=True)
class Machine:
    """The local *users*, None if they cannot be known, and mcpd's own *ports*.

    *has_mounts* says whether what is not there now never will be. Users are those of /etc/passwd, not of the name
    service: the generator may not ask services while PID 1 waits for it, and all who read the files must come to the
    same agents.
    """

    users: frozenset[str] | None
    has_mounts: bool = True
    ports: Ports = ports.DEFAULTS

    @classmethod
    def here(cls, own: Ports | None = None, *, has_mounts: bool = True) -> Machine:
        """Return this machine; early at boot, without the file systems that are mounted later, not *has_mounts*.

        *own* are mcpd's ports; without them, the configured ones, or the default ones if that is broken.
        """
        if own is None:
            try:
                own = ports.configured()
            except ConfigError:  # no daemon runs with that, and each says why
                own = ports.DEFAULTS
        try:
            lines = PASSWD.read_text(errors="replace").splitlines()
        except OSError:
            return cls(None, has_mounts, own)
        return cls(frozenset(line.partition(":")[0] for line in lines), has_mounts, own)

    def faults(self, agent: Agent) -> Iterator[str]:
        """Say what *agent* lacks here."""
        if self.users is not None and agent.user not in self.users:
            yield f"key 'user': there is no user '{agent.user}' in {PASSWD}"
        if self.has_mounts and not agent.has_own_workdir and _is_missing(Path(agent.workdir)):
            yield f"key 'workdir': there is no directory {agent.workdir}"


def _is_missing(directory: Path) -> bool:
    """Whether it is certain that there is no such directory; what we may not look into may be there."""
    try:
        return not stat.S_ISDIR(directory.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
