"""Who is calling: the user behind a connection, by the kernel's word, and whether that user may call at all.

Unix socket: SO_PEERCRED, and the cgroup of the process tells whether it is an agent. Loopback TCP: the owner of the
other end (sockdiag). No secret is needed on one machine.
"""

from __future__ import annotations

import grp
import ipaddress
import os
import pwd
import re
import socket
import struct
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from mcpd.access.cgroups import agent_of
from mcpd.access.scopes import ALL, WORKING, Scopes
from mcpd.access.sockdiag import socket_owner
from mcpd.errors import AccessDenied, Unauthorized

_CREDENTIALS = struct.Struct("=iII")
_CACHE_S = 30.0
_AGENT = "agent:"
_FORWARDED = re.compile(rb"unknown|uid=([0-9]{1,10})(?:;agent=([a-z0-9-]{1,64}))?|token=([A-Za-z0-9_-]{1,64})(;agent)?")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: ``name`` for audit and journal, ``admitted`` and, if not, why in ``refusal``.

    ``is_agent`` where it is an agent, or a user whom only agents' files make one who may call; ``is_client`` where a
    token says who it is, and ``token_id`` which; ``is_known`` where the kernel does, and ``uid`` where that tells.
    ``scopes`` are what it may do. ``vouches`` for one of mcpd's own daemons, which says for whom it calls.
    """

    name: str
    admitted: bool
    refusal: str = ""
    is_agent: bool = False
    scopes: Scopes = ALL
    is_known: bool = True
    is_client: bool = False
    token_id: str | None = None
    uid: int | None = None
    vouches: bool = False

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
            return replace(REMOTE, name=f"remote:{address}" if address else REMOTE.name)
        pid, uid = _peer(connection)
        if uid is None:
            return self._unknown()
        if pid is not None and self._agent_users is not None and (agent := agent_of(pid, uid)) is not None:
            return _agent(agent, uid)
        known = self._know(uid)
        return replace(known, vouches=True) if pid is not None and uid == os.geteuid() else known

    def on_behalf(self, caller: Caller, said: bytes) -> Caller:
        """Return for whom *caller* calls, who *said* so by ``forwarded``.

        Only mcpd's own daemons are believed, and only the facts: what follows from them is judged here, as if whom they
        call for had connected.
        """
        if not caller.vouches:
            return replace(caller, admitted=False, refusal="header Mcpd-Caller: only mcpd itself calls for others")
        facts = _FORWARDED.fullmatch(said)
        if facts is None:
            expected = "header Mcpd-Caller: expected uid=N, uid=N;agent=NAME, token=ID or token=ID;agent"
            return replace(caller, admitted=False, refusal=expected, vouches=False)
        uid, agent, token_id, by_agent = facts.groups()
        if token_id is not None:
            return replace(UNKNOWN, token_id=token_id.decode(), is_agent=by_agent is not None)
        if uid is None:
            return self._unknown()
        return self._know(int(uid)) if agent is None else _agent(agent.decode(), int(uid))

    def _unknown(self) -> Caller:
        return Caller("unknown", True, scopes=WORKING) if self._open else UNKNOWN

    def _know(self, uid: int) -> Caller:
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
            return Caller(name, True, uid=uid)
        if self._agent_users is not None and name in self._agent_users():
            return Caller(name, True, is_agent=True, scopes=WORKING, uid=uid)
        if self._open:
            return Caller(name, True, scopes=WORKING, uid=uid)
        hint = f"an administrator may run: usermod -aG {self._admin_group} {name}"
        return Caller(name, False, f"user {name} is not in group {self._admin_group}; {hint}", uid=uid)

    def _is_member(self, user: pwd.struct_passwd) -> bool:
        try:
            gid = grp.getgrnam(self._admin_group).gr_gid
        except KeyError:
            return False
        return gid in os.getgrouplist(user.pw_name, user.pw_gid)


def forwarded(caller: Caller) -> str:
    """Return the facts about *caller* that ``Callers.on_behalf`` judges."""
    if caller.token_id is not None:
        return f"token={caller.token_id}{';agent' if caller.is_agent else ''}"
    if caller.uid is None:
        return "unknown"
    agent = caller.name.removeprefix(_AGENT)
    return f"uid={caller.uid}" if agent == caller.name else f"uid={caller.uid};agent={agent}"


def _agent(name: str, uid: int) -> Caller:
    return Caller(f"{_AGENT}{name}", True, is_agent=True, scopes=WORKING, uid=uid)


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
