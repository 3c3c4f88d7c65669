"""Who is calling: the user behind a connection, by the kernel's word, and whether that user may call at all.

Unix socket: SO_PEERCRED, and the cgroup of the process tells whether it is an agent. Loopback TCP: the owner of the
other end (sockdiag). No secret is needed on one machine.
"""

from __future__ import annotations

import dataclasses
import grp
import ipaddress
import os
import pwd
import socket
import struct
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

from mcpd.access.cgroups import agent_of
from mcpd.access.scopes import ALL, WORKING, Scopes
from mcpd.access.sockdiag import socket_owner
from mcpd.errors import AccessDenied, Unauthorized

_CREDENTIALS = struct.Struct("=iII")
_CACHE_S = 30.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: ``name`` for audit and journal, ``admitted`` and, if not, why in ``refusal``.

    ``is_agent`` where it is an agent, or a user whom only agents' files make one who may call; ``is_client`` where a
    token says who it is, ``is_known`` where the kernel does. ``scopes`` are what it may do.
    """

    name: str
    admitted: bool
    refusal: str = ""
    is_agent: bool = False
    scopes: Scopes = ALL
    is_known: bool = True
    is_client: bool = False

    def require_admitted(self) -> None:
        """Raise ``AccessDenied`` unless this caller may use mcpd."""
        if not self.admitted:
            raise AccessDenied(self.refusal)

    def require_token(self) -> None:
        """Raise ``Unauthorized`` where nobody vouches for the caller, who may bring a token then."""
        if not self.admitted and not self.is_known:
            raise Unauthorized(f"{self.refusal}; others need a token")


UNKNOWN = Caller("unknown", False, "the kernel does not tell which user opened this connection", is_known=False)
REMOTE = Caller(
    "remote", False, "this connection comes from another machine; only callers on this one are admitted", is_known=False
)


class Callers:
    """Identify connections: root, our own user and members of *admin_group*; *open_loopback* lets others work too.

    With *agent_users*, which returns the users that agents run as, those are admitted too, and on a Unix socket an
    agent is known as itself.
    """

    def __init__(
        self, admin_group: str, *, open_loopback: bool, agent_users: Callable[[], Collection[str]] | None = None
    ) -> None:
        self._admin_group = admin_group
        self._open = open_loopback
        self._agent_users = agent_users
        self._cache: dict[int, tuple[float, Caller]] = {}

    def identify(self, connection: socket.socket) -> Caller:
        """Return who holds the other end of *connection*."""
        address = _foreign_address(connection)
        if address is not None:
            return dataclasses.replace(REMOTE, name=f"remote:{address}" if address else REMOTE.name)
        pid, uid = _peer(connection)
        if uid is None:
            return Caller("unknown", True, scopes=WORKING) if self._open else UNKNOWN
        if pid is not None and self._agent_users is not None and (agent := agent_of(pid, uid)) is not None:
            return Caller(f"agent:{agent}", True, is_agent=True, scopes=WORKING)
        # The user database may be slow (LDAP) and does not change often.
        known = self._cache.get(uid)
        now = time.monotonic()
        if known is None or known[0] < now:
            known = (now + _CACHE_S, self._judge(uid))
            self._cache[uid] = known
        return known[1]

    def _judge(self, uid: int) -> Caller:
        try:
            user = pwd.getpwuid(uid)
        except KeyError:
            name, member = f"uid:{uid}", False
        else:
            name, member = user.pw_name, self._is_member(user)
        if member or uid in (0, os.geteuid()):
            return Caller(name, True)
        if self._agent_users is not None and name in self._agent_users():
            return Caller(name, True, is_agent=True, scopes=WORKING)
        if self._open:
            return Caller(name, True, scopes=WORKING)
        hint = f"an administrator may run: usermod -aG {self._admin_group} {name}"
        return Caller(name, False, f"user {name} is not in group {self._admin_group}; {hint}")

    def _is_member(self, user: pwd.struct_passwd) -> bool:
        try:
            gid = grp.getgrnam(self._admin_group).gr_gid
        except KeyError:
            return False
        return gid in os.getgrouplist(user.pw_name, user.pw_gid)


def _foreign_address(connection: socket.socket) -> str | None:
    """Return the address of the other end, empty if it cannot be told; None if it is on this machine."""
    if connection.family == socket.AF_UNIX:
        return None
    try:
        address = ipaddress.ip_address(connection.getpeername()[0].partition("%")[0])
    except (OSError, ValueError):  # gone already
        return ""
    return None if address.is_loopback else str(address)


def _peer(connection: socket.socket) -> tuple[int | None, int | None]:
    """Return the process and the user at the other end, None for what the kernel does not tell."""
    if connection.family == socket.AF_UNIX:
        raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, _ = _CREDENTIALS.unpack(raw)
        return int(pid), int(uid)
    try:
        peer, local = connection.getpeername(), connection.getsockname()
    except OSError:
        return None, None
    return None, socket_owner(connection.family, peer[:2], local[:2])
