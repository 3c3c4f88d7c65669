"""packaging/guest itself: a machine that comes, goes, and leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .machine import GUEST, NAME, Guest, script

THROWAWAY = f"{NAME}-throwaway"
STATE = Path(os.environ.get("GUEST_STATE", "/var/tmp/mcpd-guests"))


@pytest.fixture
def machine() -> Iterator[Guest]:
    started = time.monotonic()
    assert script("up", THROWAWAY) == "running\n"
    print(f"booted in {time.monotonic() - started:.2f} s")
    yield Guest(THROWAWAY)
    script("clean", THROWAWAY)


def leftovers() -> list[str]:
    """Cgroups, mounts and processes of the machine, as the host sees them."""
    cgroups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/guest-{THROWAWAY}")]
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if f"/{THROWAWAY}/" in line]
    command = ["pgrep", "-fa", f"(machine=g-|guest-|mcpd-guests/){THROWAWAY}"]
    return cgroups + mounts + subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()


def test_a_running_machine_is_seen_by_the_check_for_leftovers(machine: Guest) -> None:
    assert len(leftovers()) >= 2


def test_powering_off_leaves_the_journal_and_nothing_else(machine: Guest) -> None:
    machine.exec("logger", "the last words")
    script("down", THROWAWAY)
    assert leftovers() == []
    assert "the last words" in machine.journal()
    assert "Journal stopped" in machine.journal()
    script("clean", THROWAWAY)
    assert not (STATE / THROWAWAY).exists()


def test_killing_a_machine_or_its_nspawn_leaves_nothing(machine: Guest) -> None:
    script("kill", THROWAWAY)
    assert leftovers() == []
    script("up", THROWAWAY)
    os.kill(int((STATE / THROWAWAY / "pid").read_text()), signal.SIGKILL)
    script("clean", THROWAWAY)
    assert leftovers() == []
    assert not (STATE / THROWAWAY).exists()


def test_booting_twice_replaces_the_first_machine_and_its_files(machine: Guest) -> None:
    machine.exec("touch", "/root/first")
    assert script("up", THROWAWAY) == "running\n"
    assert machine.status("test", "-e", "/root/first") == 1
    machine.exec("touch", "/root/second")
    assert script("up", THROWAWAY, "--keep") == "running\n"
    assert machine.status("test", "-e", "/root/second") == 0


def test_a_command_has_its_own_status_and_streams_and_only_the_machine_s_capabilities(machine: Guest) -> None:
    for verb in "exec", "run":
        done = subprocess.run(
            [GUEST, verb, THROWAWAY, "sh", "-c", "cat; echo err >&2; exit 7"],
            input="in",
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (7, "in", "err\n")
    assert machine.status("date", "-s", "2001-01-01") != 0
    assert time.time() > 1_700_000_000


def test_a_machine_has_a_network_of_its_own(machine: Guest) -> None:
    assert machine.exec("ip", "-brief", "link").split()[0] == "lo"
    assert len(machine.exec("ip", "-brief", "link").splitlines()) == 1
