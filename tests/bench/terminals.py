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
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Echo:
    """How long a key takes there and back, in µs."""

    p50_us: float
    p95_us: float
    p99_us: float


@dataclass(frozen=True)
class Figures:
    """Both ways to the same ttyd: straight to its socket, and through the front door."""

    direct: Echo
    door: Echo
    direct_mb_s: float
    door_mb_s: float

    @property
    def added_p95_us(self) -> float:
        """What the front door adds to an echo."""
        return self.door.p95_us - self.direct.p95_us

    @property
    def throughput_ratio(self) -> float:
        """How much of the throughput is left behind the front door."""
        return self.door_mb_s / self.direct_mb_s

    def __str__(self) -> str:
        ways = {"direct": self.direct, "door": self.door}
        row = "echo {:6} p50 {:6.0f} us  p95 {:6.0f} us  p99 {:6.0f} us"
        lines = [row.format(way, echo.p50_us, echo.p95_us, echo.p99_us) for way, echo in ways.items()]
        ratio = self.door.p50_us / self.direct.p50_us
        lines.append(f"echo added  p95 {self.added_p95_us:6.0f} us, ratio p50 {ratio:.2f}")
        rates = f"direct {self.direct_mb_s:.0f} MB/s, door {self.door_mb_s:.0f} MB/s"
        return "\n".join([*lines, f"throughput {rates}, ratio {self.throughput_ratio:.2f}"])


def _percentiles(samples_us: list[float]) -> Echo:
    ordered = sorted(samples_us[_WARM:])
    return Echo(statistics.median(ordered), *(ordered[int(len(ordered) * share)] for share in (0.95, 0.99)))


def measure(terminals: Plain) -> Figures:
    """Measure both ways, turn by turn."""
    port, path = terminals.ports["alpha"], str(terminals.run / "alpha" / "ttyd.sock")
    get(port)
    ways = {"direct": Tty(port, path=path), "door": Tty(port)}
    for tty in ways.values():
        tty.type("PS1=; stty -echoctl; echo re''ady\r")
        tty.read_until("ready")
    samples_us: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(_ECHOES):
        for way, tty in ways.items():
            samples_us[way].append(echo_us(tty))
    for tty in ways.values():
        tty.type("\r")
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(_ROUNDS):
        for way, tty in ways.items():
            rates[way].append(throughput_mb_s(tty))
    for tty in ways.values():
        tty.close()
    echo = {way: _percentiles(samples_us[way]) for way in ways}
    mb_s = {way: statistics.median(rates[way]) for way in ways}
    return Figures(echo["direct"], echo["door"], mb_s["direct"], mb_s["door"])


def run(directory: Path) -> Figures:
    """Measure in *directory*, which is empty."""
    terminals = Plain(directory)
    try:
        terminals.migrate()
        terminals.start()
        return measure(terminals)
    finally:
        terminals.close()


def main() -> None:
    """Run it."""
    if not TTYD:
        sys.exit("there is no ttyd; MCPD_TTYD may name one")
    with tempfile.TemporaryDirectory() as directory:
        print(run(Path(directory)))


if __name__ == "__main__":
    main()
