"""``python -m tests.bench [--short] [--json FILE]``"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

from rich.console import Console

from tests.bench.benchmark import benchmark
from tests.bench.measure import FULL, SHORT


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure mcpd against its peers.")
    parser.add_argument("--short", action="store_true", help="one round of one second: whether it works, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every sample there")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that the servers are stopped too
    try:
        report = benchmark(SHORT if options.short else FULL)
    except LookupError as error:
        sys.exit(str(error))
    report.print(Console())
    if options.json is not None:
        options.json.write_text(report.json())


if __name__ == "__main__":
    main()
