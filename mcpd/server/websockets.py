"""What mcpd-rpc knows of mcpd-ws: whether its port is open, and how many clients it has."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from mcpd import ports
from mcpd.access.sockdiag import socket_owner

COUNT_FILE = Path("/run/mcpd-ws/clients")
"""Where mcpd-ws writes how many clients it has; systemd removes it with the daemon."""


@dataclass(frozen=True, slots=True)
class Websockets:
    """mcpd-ws as seen from outside: it listens on *port*, and says in *count_file* how many clients it has."""

    port: int = ports.DEFAULTS.ws
    count_file: Path = COUNT_FILE

    def listens(self) -> bool:
        """Say whether the port is open, held by systemd (root) or by our own user, and not by anybody else."""
        owner = socket_owner(socket.AF_INET, ("127.0.0.1", self.port), ("0.0.0.0", 0))  # noqa: S104 - nobody binds it
        return owner in (0, os.geteuid())

    def clients(self) -> int | None:
        """Return how many WebSockets are open, None where that is not known: nothing runs yet, or is just restarted."""
        try:
            return int(self.count_file.read_text("ascii"))
        except (OSError, ValueError):
            return None
