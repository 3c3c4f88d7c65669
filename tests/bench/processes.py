"""Servers as child processes: pinned to a core, measured, and gone at the end whatever happens."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

STOP_S = 10.0
# The child dies with us, even if we are killed.
_WITH_US = ["setpriv", "--pdeathsig", "KILL", "--"]


@dataclass(frozen=True)
class Cores:
    """Where the server runs and where the load; the same set if the machine has only one core for us."""

    server: frozenset[int]
    load: frozenset[int]

    @classmethod
    def choose(cls) -> Cores:
        """Return the first two cores that we may use."""
        first, *others = sorted(os.sched_getaffinity(0))
        return cls(frozenset({first}), frozenset(others[:1] or [first]))


@contextmanager
def pinned(cores: frozenset[int]) -> Iterator[None]:
    """Run the block, and the processes that it starts, on *cores*."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def child(
    command: Sequence[str], log: Path, *, pass_fds: Sequence[int] = (), environment: dict[str, str] | None = None
) -> Iterator[int]:
    """Run *command* for the length of the block, its output in *log*; yield its pid."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*_WITH_US, *command], stdout=output, stderr=output, pass_fds=pass_fds, env=environment
        )
    try:
        yield process.pid
    except Exception as error:
        error.add_note(f"{command[0]} (status {process.poll()}) said: {log.read_text(errors='replace')[-2000:]}")
        raise
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def output(command: Sequence[str]) -> str:
    """Return what *command* prints; it must succeed."""
    return subprocess.run([*_WITH_US, *command], capture_output=True, text=True, check=True).stdout


def cpu_s(pid: int) -> float:
    """Return the CPU time that process *pid* has used so far, utime and stime of /proc/PID/stat."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def rss_mb(pid: int) -> float:
    """Return the resident memory of process *pid*."""
    return float(psutil.Process(pid).memory_info().rss) / 1e6
