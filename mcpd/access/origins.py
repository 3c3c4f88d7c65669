"""Under which name and from which page may mcpd be called: the guard against DNS rebinding and cross-site requests.

MCP 2026-07-28 basic/transports/streamable-http: "Servers MUST validate the Origin header on all incoming connections";
the Host check closes the same hole for clients that send no Origin.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from mcpd.errors import AccessDenied

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})


class OriginGuard:
    """Check the Host and Origin headers of requests; what was found right once is remembered (bounded)."""

    def __init__(self, allowed_hosts: Iterable[str], allowed_origins: Iterable[str]) -> None:
        self._hosts = _LOOPBACK | {host.lower() for host in allowed_hosts}
        self._origins = {origin.lower().rstrip("/") for origin in allowed_origins}
        self._passed: set[tuple[bytes | None, bytes | None]] = set()

    def check(self, host: bytes | None, origin: bytes | None) -> None:
        """Raise ``AccessDenied`` unless *host* (absent in HTTP/1.0) and *origin* (absent from programs) are ours."""
        key = (host, origin)
        if key in self._passed:
            return
        name = "" if host is None else host.decode("latin-1").lower()
        if host is not None and not self._knows(name):
            raise AccessDenied(f"host {name!r} is not served; the administrator may add it to server.allowed_hosts")
        if origin is not None and not self.allows(origin, name):
            shown = origin.decode("latin-1")
            raise AccessDenied(f"origin {shown!r} may not call; the administrator may add it to server.allowed_origins")
        if len(self._passed) < 1024:
            self._passed.add(key)

    def allows(self, origin: bytes, host: str) -> bool:
        """Say whether a page of *origin* may call: a configured one, or one that we serve ourselves under *host*."""
        text = origin.decode("latin-1").lower()
        return text in self._origins or (bool(host) and text in (f"http://{host}", f"https://{host}"))

    def _knows(self, host: str) -> bool:
        try:
            parts = urlsplit(f"//{host}")
            port = parts.port
        except ValueError:
            return False
        if parts.username is not None or not parts.hostname:
            return False
        name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return name in self._hosts and host in (name, f"{name}:{port}")
