"""Who may call: names, pages, and the kernel's word on loopback."""

from __future__ import annotations

import grp
import os
import pwd
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mcpd.access.callers import Caller, Callers, forwarded
from mcpd.access.cgroups import agent_in, agent_of
from mcpd.access.origins import OriginGuard
from mcpd.access.scopes import ALL, WORKING
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
    assert (caller.name, caller.admitted) == ("remote:192.0.2.1", False)


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


OURS = "0::/system.slice/mcpd-rpc.service\n"
AGENT = "/mcp.slice/mcp-agents.slice/mcp-agent@backend-api.service"


@pytest.mark.parametrize(
    ("cgroup", "ours"),
    [
        (f"0::{AGENT}\n", OURS),
        (f"0::{AGENT}/deeper\n", OURS),
        (f"0::/machine.slice/box.scope{AGENT}\n", "0::/machine.slice/box.scope/system.slice/mcpd-rpc.service\n"),
        (f"4:memory:/x\n1:name=systemd:{AGENT}\n0::/\n", "1:name=systemd:/system.slice/mcpd-rpc.service\n0::/\n"),
        (f"0::{AGENT}\n", "0::/\n"),
    ],
)
def test_a_process_in_an_agents_unit_is_that_agent(cgroup: str, ours: str) -> None:
    assert agent_in(cgroup, ours) == "backend-api"


@pytest.mark.parametrize(
    "cgroup",
    [
        "",
        "0::/\n",
        f"0::/user.slice/user-1000.slice/user@1000.service{AGENT}\n",  # where that user makes groups of any name
        "0::/system.slice/mcp-agent@backend-api.service\n",
        "0::/mcp.slice/mcp-agents.slice/mcp-watch@backend-api.service\n",
        f"0::{AGENT.replace('backend', '..')}\n",
        f"0::{AGENT.replace('.service', '.service.d')}\n",
        f"4:memory:{AGENT}\n",
    ],
)
def test_a_process_anywhere_else_is_no_agent(cgroup: str) -> None:
    assert agent_in(cgroup, OURS) is None


def test_a_number_that_another_user_has_by_now_is_no_agent(tmp_path: Path) -> None:
    for name in ("self", "7"):
        (tmp_path / name).mkdir()
    (tmp_path / "self" / "cgroup").write_text(OURS)
    (tmp_path / "7" / "cgroup").write_text(f"0::{AGENT}\n")
    (tmp_path / "7" / "status").write_text("Name:\tx\nUmask:\t0022\nUid:\t1000\t1001\t1000\t1000\nGid:\t5\n")
    assert agent_of(7, 1001, tmp_path) == "backend-api"
    assert agent_of(7, 1002, tmp_path) is None
    assert agent_of(8, 1001, tmp_path) is None


def test_the_users_of_agents_are_admitted_as_agents() -> None:
    nobody = pwd.getpwnam("nobody")
    callers = Callers("no-such-group", open_loopback=False, agent_users=lambda: {"nobody"})
    judged = callers._judge(nobody.pw_uid)
    assert (judged.name, judged.admitted, judged.is_agent) == ("nobody", True, True)
    assert not callers._judge(os.geteuid()).is_agent
    assert not callers._judge(pwd.getpwnam("daemon").pw_uid).admitted


def test_who_is_no_administrator_may_do_all_but_that() -> None:
    """Agents and whom an open loopback lets in cannot decide about consent or make clients."""
    mine = pwd.getpwuid(os.getuid()).pw_name

    def judged(uid: int, *, is_open: bool, agents: tuple[str, ...] = ()) -> Caller:
        return Callers("mcp-admin", open_loopback=is_open, agent_users=lambda: agents)._judge(uid)

    nobody = pwd.getpwnam("nobody").pw_uid
    assert judged(os.geteuid(), is_open=False) == Caller(mine, True, uid=os.geteuid())
    assert judged(0, is_open=True).scopes == ALL
    assert judged(nobody, is_open=True) == Caller("nobody", True, scopes=WORKING, uid=nobody)
    agent = judged(nobody, is_open=True, agents=("nobody",))
    assert agent == Caller("nobody", True, is_agent=True, scopes=WORKING, uid=nobody)
    assert judged(nobody, is_open=False, agents=("nobody",)).scopes == WORKING
    assert not judged(nobody, is_open=False).admitted
    assert "admin" not in WORKING


@pytest.mark.parametrize(
    ("said", "name", "admitted", "is_agent"),
    [
        (b"uid=0", "root", True, False),
        (b"uid=65534", "nobody", True, True),  # whom only an agent's file admits
        (b"uid=65534;agent=backend-api", "agent:backend-api", True, True),
        (b"uid=54321", "uid:54321", False, False),
        (b"unknown", "unknown", False, False),
        (b"token=a1", "unknown", False, False),  # who that is, the store knows
        (b"token=a1;agent", "unknown", False, True),
        (b"uid=0;agent=", "mcpd", False, False),
        (b"root", "mcpd", False, False),
        (b"", "mcpd", False, False),
    ],
)
def test_mcpd_s_own_user_says_for_whom_it_calls_and_that_one_is_judged(
    said: bytes, name: str, admitted: bool, is_agent: bool
) -> None:
    callers = Callers("no-such-group", open_loopback=False, agent_users=lambda: {"nobody"})
    found = callers.on_behalf(Caller("mcpd", True, uid=990, vouches=True), said)
    assert (found.name, found.admitted, found.is_agent) == (name, admitted, is_agent)
    assert not found.vouches


@pytest.mark.parametrize("caller", [Caller("root", True, uid=0), Caller("agent:a", True, is_agent=True, uid=1)])
def test_nobody_else_calls_for_others(caller: Caller) -> None:
    callers = Callers("no-such-group", open_loopback=True)
    refused = callers.on_behalf(caller, b"uid=0")
    assert not refused.admitted
    assert "only mcpd itself calls for others" in refused.refusal


def test_the_facts_of_a_caller_come_back() -> None:
    callers = Callers("no-such-group", open_loopback=False, agent_users=lambda: {"nobody"})
    ours = Caller("mcpd", True, vouches=True)
    for said in (
        b"uid=0",
        b"uid=65534",
        b"uid=65534;agent=a-b",
        b"uid=54321",
        b"unknown",
        b"token=a1",
        b"token=a1;agent",
    ):
        caller = callers.on_behalf(ours, said)
        assert forwarded(caller).encode() == said
        assert callers.on_behalf(ours, forwarded(caller).encode()) == caller


def test_only_the_unix_socket_makes_mcpd_vouch(pair: tuple[socket.socket, socket.socket]) -> None:
    callers = Callers("no-such-group", open_loopback=False)
    assert not callers.identify(pair[1]).vouches
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert callers.identify(ours).vouches
