"""Open connections from one process to the next: their sockets to the service manager, their state in one file.

The sockets go in boxes, hundreds in each: a box is a socket in which they wait for whoever receives them, and all that
the manager has of them. It compares each descriptor that it is given with all that it has, so that thousands would keep
it from everything else for seconds. Which state is whose tells the socket's cookie, a number that the kernel gives each
and no other.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

import msgspec

from mcpd.access.callers import Caller

BOX, STATE = "box", "state"
"""The names under which the store has the boxes of connections, and the file with what is known of them."""

_MAX_IN_BOX = 250  # the kernel takes 253 in one message
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


def pack(fds: Sequence[int]) -> list[socket.socket]:
    """Return boxes with the sockets *fds* in them, which stay open as long as the boxes do."""
    boxes = []
    for start in range(0, len(fds), _MAX_IN_BOX):
        box, sender = socket.socketpair()
        with sender:
            socket.send_fds(sender, [b"."], fds[start : start + _MAX_IN_BOX])
        boxes.append(box)
    return boxes


def unpack(fds: Sequence[int]) -> list[socket.socket]:
    """Return the sockets in the boxes *fds*, which are closed."""
    found = []
    for fd in fds:
        with socket.socket(fileno=fd) as box:
            _, taken, *_ = socket.recv_fds(box, 1, _MAX_IN_BOX)  # which passes no flags on, such as close-on-exec
        found += [socket.socket(fileno=fd) for fd in taken]
    for sock in found:
        sock.set_inheritable(False)
    return found


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
