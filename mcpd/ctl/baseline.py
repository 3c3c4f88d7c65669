"""``mcpctl baseline``: measure how fast mcpd's port answers, for a cut-over to be compared with."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from mcpd import config
from mcpd.ctl import output
from mcpd.errors import UsageError

HELP = "record how fast the server on mcpd's port answers"

_MAX_REQUESTS = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``baseline`` takes."""
    parser.add_argument("--requests", metavar="N", type=int, help="how many to measure; 200 without it")


def run(arguments: argparse.Namespace) -> int:
    """Measure, keep and print."""
    from mcpd.ctl.cutover import latency
    from mcpd.ctl.cutover.flow import BASELINE_REQUESTS
    from mcpd.ctl.cutover.record import Record, now_us

    requests = BASELINE_REQUESTS if arguments.requests is None else arguments.requests
    if not 1 <= requests <= _MAX_REQUESTS:
        raise UsageError(f"--requests {requests}: expected a number from 1 to {_MAX_REQUESTS}")
    settings = config.load(arguments.config)
    record = Record(Path(settings.database.path).absolute())
    found = latency.measure(requests, now_us(), settings.server.port)
    record.keep_baseline(found)
    if arguments.json:
        output.print_json(dataclasses.asdict(found))
        return 0
    whose = "mcpd" if found.server == "mcpd" else "the old system"
    times = f"p50 {found.p50_us / 1000:.2f} ms, p95 {found.p95_us / 1000:.2f} ms, slowest {found.max_us / 1000:.2f} ms"
    output.write(f"{whose}, {found.requests} requests: {times}\n")
    return 0
