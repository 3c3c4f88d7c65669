"""Open connections from one process to the next: their sockets to the service manager, their state in one file.

The sockets all have one short name in the store, since names travel in an environment variable; which state is whose
tells the socket's cookie, a number that the kernel gives each and no other.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

import msgspec

from mcpd.access.callers import Caller

SOCKET, STATE = "c", "state"
"""The names under which the store has the connections, and the file with what is known of them."""

_SO_COOKIE = 57


class Record(msgspec.Struct, array_like=True):
    """One connection: the ``state`` of its dialect, bytes ``unread`` that belong to no whole message yet, and
    ``unsent`` ones that the kernel did not take. Without a subprotocol (None) its WebSocket is not open yet.
    """

    subprotocol: str | None
    state: bytes
    caller: Caller
    deflate: int
    unread: bytes
    unsent: bytes


def cookie(sock: socket.socket) -> int:
    """Return the kernel's number of *sock*, the same in every process that has it."""
    return int.from_bytes(sock.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8), "little")


def write(records: dict[int, Record]) -> int:
    """Return a descriptor of a file in memory that holds *records* by their sockets' cookies."""
    fd = os.memfd_create("mcpd-ws", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(msgspec.msgpack.encode(records))
    return fd


def read(fds: Sequence[int]) -> dict[int, Record]:
    """Return what the files *fds* hold; nothing of one that another version left and this one cannot read."""
    found: dict[int, Record] = {}
    for fd in fds:
        with os.fdopen(os.dup(fd), "rb") as file:
            file.seek(0)
            data = file.read()
        try:
            found.update(msgspec.msgpack.decode(data, type=dict[int, Record]))
        except msgspec.DecodeError:
            continue
    return found
