"""The TCP ports of mcpd: what they are by default, what is configured, and how agents and clients reach them.

systemd's generator imports this at boot, so ``mcpd.config``, which takes longer than all the rest of it, is imported
only where a file may name a port.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ADMIN_FILE = Path("/etc/mcpd/mcpd.toml")
ENVIRONMENT_FILE = Path("/etc/default/mcpd")
_DASHBOARD = 5173


@dataclass(frozen=True, slots=True)
class Ports:
    """Where mcpd-rpc and mcpd-ws listen on loopback."""

    rpc: int = 8099
    ws: int = 8100

    @property
    def url(self) -> str:
        """Where mcpd-rpc is for a client on this machine."""
        return f"http://localhost:{self.rpc}"

    @property
    def ws_url(self) -> str:
        """Where mcpd-ws is for a client on this machine."""
        return f"ws://localhost:{self.ws}"

    def by_daemon(self) -> dict[str, int]:
        """Return the port of each daemon; its sockets are called as it is, the IPv6 one with a 6 behind."""
        return {"mcpd-rpc": self.rpc, "mcpd-ws": self.ws}

    def reserved(self) -> dict[int, str]:
        """Return whose the ports are that no agent's terminal can have."""
        return {_DASHBOARD: "the dashboard's"} | {port: f"{name}'s" for name, port in self.by_daemon().items()}

    def variables(self) -> dict[str, str]:
        """Return the environment that leads agents here, by the names of both generations of the old system."""
        servers = dict.fromkeys(("MCP_SERVER", "MCP_SERVER_URL"), self.url)
        return servers | dict.fromkeys(("MCP_WEBSOCKET", "MCP_WS_URL"), self.ws_url)


DEFAULTS = Ports()


def configured() -> Ports:
    """Return the ports of this machine's configuration; raises ``ConfigError`` if that names some and is wrong."""
    files = (ENVIRONMENT_FILE, ADMIN_FILE, *Path(f"{ADMIN_FILE}.d").glob("*.toml"))
    if not any(map(_may_name_a_port, files)):
        return DEFAULTS
    from mcpd import config

    return config.load().ports


def _may_name_a_port(path: Path) -> bool:
    try:
        return b"port" in path.read_bytes().lower()
    except FileNotFoundError:
        return False
    except OSError:  # whoever reads it for its content says what is wrong
        return True
