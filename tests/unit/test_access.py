"""Who may call: names, pages, and the kernel's word on loopback."""

from __future__ import annotations

import grp
import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from mcpd.access.callers import Callers
from mcpd.access.origins import OriginGuard
from mcpd.access.sockdiag import socket_owner
from mcpd.errors import AccessDenied

GUARD = OriginGuard(["Box.lan"], ["http://localhost:5173", "https://ui.example.com/"])


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (b"localhost", None),
        (b"localhost:8099", None),
        (b"127.0.0.1:1", None),
        (b"[::1]:8099", None),
        (b"[::1]", None),
        (b"box.LAN:8099", None),
        (None, None),
        (b"localhost:8099", b"http://localhost:8099"),
        (b"localhost:8099", b"http://localhost:5173"),
        (b"localhost", b"https://UI.example.com"),
    ],
)
def test_our_names_and_pages_pass(host: bytes | None, origin: bytes | None) -> None:
    for _ in range(2):
        GUARD.check(host, origin)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (b"evil.example.com", None),
        (b"localhost.evil.example.com", None),
        (b"localhost:8099@evil.example.com", None),
        (b"evil.example.com:localhost", None),
        (b"localhost:notaport", None),
        (b"localhost:99999", None),
        (b"", None),
        (b"\xff", None),
        (b"[::1", None),
        (b"::1", None),
        (b"localhost/", None),
        (b"localhost", b"null"),
        (b"localhost", b""),
        (b"localhost", b"http://localhost.evil.example.com"),
        (b"localhost:8099", b"http://localhost:8098"),
        (None, b"http://"),
    ],
)
def test_foreign_names_and_pages_do_not(host: bytes | None, origin: bytes | None) -> None:
    with pytest.raises(AccessDenied):
        GUARD.check(host, origin)


@pytest.fixture(params=[(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["ipv4", "ipv6"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    family, host = request.param
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("no such loopback here")
    with closing(listener), closing(socket.create_connection(listener.getsockname()[:2])) as client:
        server, _ = listener.accept()
        with closing(server):
            yield client, server


def owner(server: socket.socket) -> int | None:
    return socket_owner(server.family, server.getpeername()[:2], server.getsockname()[:2])


def test_the_kernel_tells_whose_connection_it_is(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    assert owner(server) == os.geteuid()
    client.shutdown(socket.SHUT_WR)
    assert owner(server) == os.geteuid()
    client.close()
    assert owner(server) is None, "a closed socket's uid 0 must not pass for root"


def test_an_address_that_nobody_holds_has_no_owner() -> None:
    assert socket_owner(socket.AF_INET, ("127.0.0.1", 1), ("127.0.0.1", 2)) is None
    assert socket_owner(socket.AF_INET, ("not an address", 1), ("127.0.0.1", 2)) is None


def test_our_own_user_is_admitted_over_both_kinds_of_socket(pair: tuple[socket.socket, socket.socket]) -> None:
    callers = Callers("no-such-group", open_loopback=False)
    ours = pwd.getpwuid(os.geteuid()).pw_name
    left, right = socket.socketpair()
    for connection in (pair[1], left):
        caller = callers.identify(connection)
        assert (caller.name, caller.admitted) == (ours, True)
    left.close()
    right.close()


def test_a_closed_connection_is_nobodys(pair: tuple[socket.socket, socket.socket]) -> None:
    client, server = pair
    client.close()
    caller = Callers("no-such-group", open_loopback=False).identify(server)
    assert (caller.name, caller.admitted) == ("unknown", False)
    with pytest.raises(AccessDenied, match="does not tell"):
        caller.require_admitted()
    assert Callers("no-such-group", open_loopback=True).identify(server).admitted


def test_another_machine_is_never_admitted() -> None:
    class Remote(socket.socket):
        def getpeername(self) -> tuple[str, int]:
            return ("192.0.2.1", 4711)

    with closing(Remote()) as connection:
        caller = Callers("no-such-group", open_loopback=True).identify(connection)
    assert (caller.name, caller.admitted) == ("remote", False)


def test_membership_of_the_group_admits_and_its_lack_tells_what_to_do() -> None:
    nobody = pwd.getpwnam("nobody")
    group = grp.getgrgid(nobody.pw_gid).gr_name
    assert Callers(group, open_loopback=False)._judge(nobody.pw_uid).admitted
    refused = Callers("daemon", open_loopback=False)._judge(nobody.pw_uid)
    assert not refused.admitted
    assert "usermod -aG daemon nobody" in refused.refusal
    assert Callers("no-such-group", open_loopback=False)._judge(nobody.pw_uid).admitted is False
    assert Callers("no-such-group", open_loopback=False)._judge(54321).name == "uid:54321"
    assert Callers("no-such-group", open_loopback=True)._judge(54321).admitted
