"""One agent takes all it can get: it alone is limited or killed, and the others answer keys as before.

The controllers that limit are in cgroup v1 on some hosts; there the guest's systemd is told to use that.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Packages
from .machine import NAME, Guest, script
from .terminals import echoes_ms, eventually, page, pane

HOG, NEIGHBOUR = 8150, 8093
ECHO_MS = 50
HOG_OPTIONS = ("--memory-high", "100M", "--memory-max", "150M", "--tasks-max", "100")
EAT = "python3 -c 'x = bytearray(1 << 30)'; echo ended-$?"
BOMB = "bomb() { bomb | bomb & }; bomb"


@pytest.fixture(scope="module")
def limiting(packages: Packages) -> Iterator[Guest]:
    """A fresh machine with mcpd on which memory and tasks are limited, and an agent that will need it."""
    guest = Guest(NAME)
    v1 = ("--cgroups", "v1") if Path("/sys/fs/cgroup/memory/cgroup.procs").exists() else ()
    assert script("up", guest.name, *v1) == "running\n"
    guest.apt_install(packages.current)
    guest.exec("mcpctl", "agent", "add", "hog", "--port", str(HOG), *HOG_OPTIONS)
    for port in (HOG, NEIGHBOUR):
        assert page(guest, port)[0] == 200
    yield guest
    script("clean", guest.name)


def use(guest: Guest, what: str) -> int:
    return int(guest.show("mcp-agent@hog.service", what))


def test_a_memory_hog_is_killed_alone(limiting: Guest) -> None:
    before = {name: pane(limiting, name) for name in ("hog", "testing")}
    limiting.exec("mcpctl", "send", "hog", f"for i in $(seq 20); do {EAT}; done")
    ((_, p95_ms),) = echoes_ms(limiting, (NEIGHBOUR, None))
    eventually(lambda: "ended-137" in limiting.exec("mcpctl", "capture", "hog"))
    print(f"echo of the neighbour of a memory hog: p95 {p95_ms:.1f} ms")
    assert p95_ms < ECHO_MS
    assert {name: pane(limiting, name) for name in before} == before, "more than the hog was killed"
    assert use(limiting, "MemoryCurrent") <= use(limiting, "MemoryMax") == 150 << 20
    assert json.loads(limiting.exec("mcpctl", "--json", "agent", "show", "hog"))["state"] == "active"


def test_a_fork_bomb_goes_off_in_its_own_unit(limiting: Guest) -> None:
    neighbour = pane(limiting, "testing")
    limiting.exec("mcpctl", "keys", "hog", "C-c")
    limiting.exec("mcpctl", "send", "hog", BOMB)
    eventually(lambda: use(limiting, "TasksCurrent") > 90)
    ((_, p95_ms),) = echoes_ms(limiting, (NEIGHBOUR, None))
    most = use(limiting, "TasksCurrent")
    print(f"echo of the neighbour of a fork bomb of {most} tasks: p95 {p95_ms:.1f} ms")
    assert p95_ms < ECHO_MS
    assert most <= 100
    assert limiting.status("true") == 0
    limiting.exec("mcpctl", "agent", "stop", "hog")
    assert limiting.show("mcp-agent@hog.service", "ActiveState") in ("inactive", "failed")
    assert limiting.exec("pgrep", "-c", "-f", "bash -l").strip() == "1", "something of the bomb is left"
    assert pane(limiting, "testing") == neighbour
    limiting.exec("mcpctl", "agent", "start", "hog")
    assert page(limiting, HOG)[0] == 200
