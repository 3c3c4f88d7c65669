"""Ask the kernel which user holds the other end of a loopback TCP connection (sock_diag(7)).

One exact query by address pair, so the cost does not grow with the number of connections as reading /proc/net/tcp does.
"""

from __future__ import annotations

import contextlib
import socket
import struct

_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_NETLINK_SOCK_DIAG = 4
_ERROR = 2
_ESTABLISHED_LIKE = 0xFFF & ~(1 << 6)  # any state but TIME_WAIT (6), which the kernel reports as uid 0
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI")
_REPLY_OWNER = struct.Struct("=II")
_NO_COOKIE = b"\xff" * 8

Address = tuple[str, int]


def socket_owner(family: int, peer: Address, local: Address) -> int | None:
    """Return the uid of the process that holds the socket at *peer* connected to *local*; None if there is none.

    An orphaned socket, whose process closed it or ended, has no inode; the kernel reports it as uid 0, so it counts as
    nobody's.
    """
    with contextlib.suppress(OSError, struct.error), _netlink() as netlink:
        netlink.send(_query(family, peer, local))
        reply = netlink.recv(4096)
        _, kind, _, _, _ = _HEADER.unpack_from(reply)
        if kind == _ERROR or len(reply) < _HEADER.size + 72:
            return None
        # struct inet_diag_msg: 4 bytes, sockid of 48, expires, rqueue, wqueue, uid, inode
        uid, inode = _REPLY_OWNER.unpack_from(reply, _HEADER.size + 64)
        return int(uid) if inode else None
    return None


def _netlink() -> socket.socket:
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
    netlink.settimeout(0.2)
    return netlink


def _query(family: int, source: Address, destination: Address) -> bytes:
    request = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _ESTABLISHED_LIKE)
    ports = struct.pack("!HH", source[1], destination[1])
    addresses = b"".join(socket.inet_pton(family, host).ljust(16, b"\0") for host, _ in (source, destination))
    payload = request + ports + addresses + struct.pack("=I", 0) + _NO_COOKIE
    return _HEADER.pack(_HEADER.size + len(payload), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0) + payload
