"""``python -m tests.bench.terminals``: what the front door costs, against the same ttyd reached directly.

Echo: a character is typed into a shell behind ttyd and read back; the two ways take turns, so that both meet the same
machine. Throughput: the bytes of one large output. Needs ttyd (MCPD_TTYD), tmux and dbus-daemon.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.functional.terminals import TTYD, Terminals
from tests.functional.test_ttyd_manager import get
from tests.tty import Tty

_ECHOES = 2000
_WARM = 200
_OUTPUT_BYTES = 40_000_000
_ROUNDS = 3


class Plain(Terminals):
    """A manager whose ttyd shows a shell without tmux, which would be the slowest part by far."""

    def _start_ttyd(self, name: str) -> list[subprocess.Popen[bytes]]:
        command = [TTYD, "-W", "-d", "1", "-i", str(self.run / name / "ttyd.sock"), "sh"]
        return [subprocess.Popen(command)]


def echo_us(tty: Tty) -> float:
    """Type a character, wait until it comes back; return the microseconds."""
    tty.text = ""
    started_ns = time.perf_counter_ns()
    tty.type("x")
    tty.read_until("x")
    return (time.perf_counter_ns() - started_ns) / 1000


def throughput_mb_s(tty: Tty) -> float:
    """Return the MB/s of a large output."""
    tty.text = ""
    started_s = time.perf_counter()
    tty.type(f"head -c {_OUTPUT_BYTES} /dev/zero | tr '\\0' y; echo e''nd\r")
    tty.drain_until(b"end\r")
    return _OUTPUT_BYTES / 1e6 / (time.perf_counter() - started_s)


def measure(terminals: Plain) -> None:
    """Measure both ways and print the figures."""
    port, path = terminals.ports["alpha"], str(terminals.run / "alpha" / "ttyd.sock")
    get(port)
    ways = {"direct": Tty(port, path=path), "door": Tty(port)}
    for tty in ways.values():
        tty.type("PS1=; stty -echoctl; echo re''ady\r")
        tty.read_until("ready")
    found: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(_ECHOES):
        for way, tty in ways.items():
            found[way].append(echo_us(tty))
    for way, samples in found.items():
        ordered = sorted(samples[_WARM:])
        found[way] = [statistics.median(ordered), ordered[int(len(ordered) * 0.95)], ordered[int(len(ordered) * 0.99)]]
        print(f"echo {way:6} p50 {found[way][0]:6.0f} us  p95 {found[way][1]:6.0f} us  p99 {found[way][2]:6.0f} us")
    added = [door - direct for door, direct in zip(found["door"], found["direct"], strict=True)]
    ratio = found["door"][0] / found["direct"][0]
    print(f"echo added  p50 {added[0]:6.0f} us  p95 {added[1]:6.0f} us  ratio p50 {ratio:.2f}")
    for tty in ways.values():
        tty.type("\r")
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(_ROUNDS):
        for way, tty in ways.items():
            rates[way].append(throughput_mb_s(tty))
    direct, door = (statistics.median(rates[way]) for way in ("direct", "door"))
    print(f"throughput direct {direct:.0f} MB/s, door {door:.0f} MB/s, ratio {door / direct:.2f}")
    for tty in ways.values():
        tty.close()


def main() -> None:
    """Run it."""
    if not TTYD:
        sys.exit("there is no ttyd; MCPD_TTYD may name one")
    with tempfile.TemporaryDirectory() as directory:
        terminals = Plain(Path(directory))
        try:
            terminals.migrate()
            terminals.start()
            measure(terminals)
        finally:
            terminals.close()


if __name__ == "__main__":
    main()
