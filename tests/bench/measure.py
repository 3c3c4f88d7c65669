"""Rounds of load: every server in turn, so that what else the machine does hits all of them alike."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.bench.processes import Cores, cpu_s, output, pinned, rss_mb
from tests.bench.servers import Case, Server

_SCRIPT = str(Path(__file__).with_name("load.lua"))


@dataclass(frozen=True)
class Plan:
    """How much to measure: *rounds* of *seconds* (whole ones, wrk knows no others) at each number of connections."""

    connections: tuple[int, ...]
    rounds: int
    seconds: int
    cold_starts: int


FULL = Plan(connections=(1, 10, 64), rounds=5, seconds=2, cold_starts=7)
SHORT = Plan(connections=(1, 10, 64), rounds=1, seconds=1, cold_starts=2)


@dataclass(frozen=True)
class Sample:
    """One run of wrk against one server."""

    requests: int
    requests_per_s: float
    p50_us: float
    p99_us: float
    cpu_us: float
    errors: int


@dataclass
class Cell:
    """All samples of one server in one case at one number of connections, a sample a round."""

    samples: list[Sample] = field(default_factory=list)

    def median(self, figure: str) -> float:
        return median(float(getattr(sample, figure)) for sample in self.samples)

    @property
    def errors(self) -> int:
        return sum(sample.errors for sample in self.samples)

    @property
    def requests(self) -> int:
        return sum(sample.requests for sample in self.samples)

    def times(self, other: Cell) -> float:
        """How many times the requests per second of *other*: the median of the rounds' ratios."""
        pairs = zip(self.samples, other.samples, strict=True)
        return median(mine.requests_per_s / its.requests_per_s for mine, its in pairs if its.requests_per_s)

    def cpu_share(self, other: Cell) -> float:
        """How many times less CPU a request costs than with *other*, likewise."""
        pairs = zip(self.samples, other.samples, strict=True)
        return median(its.cpu_us / mine.cpu_us for mine, its in pairs if mine.cpu_us)


@dataclass
class Results:
    """Cells by case, connections and server; resident memory by server, in MB, idle and after the load."""

    cells: dict[tuple[Case, int, str], Cell] = field(default_factory=dict)
    memory_mb: dict[str, tuple[float, float]] = field(default_factory=dict)

    def cell(self, case: Case, connections: int, server: str) -> Cell:
        return self.cells.setdefault((case, connections, server), Cell())


def run(plan: Plan, cases: Sequence[Case], servers: Sequence[Server], cores: Cores) -> Results:
    """Measure every case on every server, round by round."""
    results = Results()
    idle_mb = {server.name: rss_mb(server.pid) for server in servers}
    for _ in range(plan.rounds):
        for case in cases:
            for connections in plan.connections:
                for server in servers:
                    sample = load(server, case, connections, plan.seconds, cores)
                    results.cell(case, connections, server.name).samples.append(sample)
    results.memory_mb = {server.name: (idle_mb[server.name], rss_mb(server.pid)) for server in servers}
    return results


def load(server: Server, case: Case, connections: int, seconds: int, cores: Cores) -> Sample:
    """Run wrk once."""
    url, request = server.targets[case]
    headers = [f"{name}: {value}" for name, value in request.headers.items()]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", _SCRIPT, url, "--", request.body, *headers]
    before_s = cpu_s(server.pid)
    with pinned(cores.load):
        said = json.loads(output(command).splitlines()[-1])
    used_s = cpu_s(server.pid) - before_s
    requests = max(said["requests"], 1)
    return Sample(
        requests=said["requests"],
        requests_per_s=said["requests"] / said["duration_us"] * 1e6,
        p50_us=said["p50_us"],
        p99_us=said["p99_us"],
        cpu_us=used_s / requests * 1e6,
        errors=said["errors"],
    )
