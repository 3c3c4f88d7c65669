"""``python -m tests.bench.backups [--mib N] [--seconds N] [--rows N]``: what backups and a migration take, and cost.

A database of that size is backed up, verified, kept as before an upgrade, and restored; an old one with that many
activities is migrated into it. Then writers go on during a backup, and before without one, at a thousand writes a
second and as fast as they can; that backup runs as its unit has it: niced and in the batch class.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import apsw

from tests.functional.conftest import UNLIMITED
from tests.functional.daemon import Daemon
from tests.functional.test_migrate import many
from tests.functional.writer import writing

PACED = 1000
_AS_THE_UNIT = ("nice", "-n", "10", "chrt", "--batch", "0", "ionice", "-c", "3")
_FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000)
INSERT INTO activities (at_us, agent, activity, category, status, details)
SELECT 1790000000000000 + i, 'agent-' || (i % 9), 'Reworked the parser of module ' || hex(randomblob(8)), 'task',
    'completed', '{"file": "src/' || hex(randomblob(24)) || '.py", "note": "' || hex(randomblob(80)) || '"}' FROM n
"""


@dataclass(frozen=True)
class Run:
    """A program that ran: how long, and the most memory that it had."""

    seconds: float
    rss_mib: float


@dataclass(frozen=True)
class Writes:
    """Writes a second and how long one in a hundred took, without a backup and during one."""

    alone_per_s: float
    during_per_s: float
    alone_p99_us: int
    during_p99_us: int
    failed: int

    @property
    def ratio(self) -> float:
        """How much of the throughput is left during a backup."""
        return self.during_per_s / self.alone_per_s


@dataclass(frozen=True)
class Figures:
    """All that was measured."""

    database_mib: float
    archive_mib: float
    backup: Run
    verify: Run
    snapshot: Run
    restore: Run
    paced: Writes
    flat_out: Writes
    migrated_rows: int
    migrate: Run

    def __str__(self) -> str:
        size = self.database_mib
        lines = [f"database {size:.0f} MiB, archive {self.archive_mib:.0f} MiB"]
        for name in ("backup", "verify", "snapshot", "restore"):
            run: Run = getattr(self, name)
            lines.append(f"{name:9} {run.seconds:7.1f} s {size / run.seconds:7.1f} MiB/s {run.rss_mib:6.0f} MiB RSS")
        for name, writes in {"paced": self.paced, "flat out": self.flat_out}.items():
            rates = f"alone {writes.alone_per_s:.0f}/s, during {writes.during_per_s:.0f}/s, ratio {writes.ratio:.2f}"
            p99 = f"p99 {writes.alone_p99_us / 1000:.1f} ms and {writes.during_p99_us / 1000:.1f} ms"
            lines.append(f"{name}: {rates}; {p99}; {writes.failed} failed")
        rate = self.migrated_rows / self.migrate.seconds
        taken = f"{self.migrate.seconds:.1f} s, {rate:.0f} rows/s, {self.migrate.rss_mib:.0f} MiB RSS"
        return "\n".join([*lines, f"migration of {self.migrated_rows} activities: {taken}"])


def run(command: Sequence[str]) -> Run:
    """Run *command*, which has to succeed."""
    started_s = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: status {process.returncode}")
    return Run(time.monotonic() - started_s, used.ru_maxrss / 1024)


def fill(path: Path, mib: float) -> None:
    """Let the database *path* grow to *mib* with activities."""
    db = apsw.Connection(str(path))
    while path.stat().st_size < mib * (1 << 20):
        db.execute(_FILL)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    db.close()


class Machine:
    """A daemon with its database, and mcpctl on both; *seconds* is how long writers write without a backup."""

    def __init__(self, directory: Path, seconds: float) -> None:
        self.daemon = Daemon(directory, UNLIMITED)
        self.backups = directory / "backups"
        self.daemon.config.write_text(self.daemon.config.read_text() + f'[backup]\ndirectory = "{self.backups}"\n')
        self._seconds = seconds

    def mcpctl(self, *words: str) -> list[str]:
        """Return a command line of mcpctl."""
        return [sys.executable, "-m", "mcpd.ctl.main", *words, "--config", str(self.daemon.config)]

    def backup(self, *prefix: str) -> Run:
        """Make a backup, by *prefix* as the unit does."""
        return run([*prefix, sys.executable, "-m", "mcpd.daemons.backup", "--config", str(self.daemon.config)])

    def newest(self) -> Path:
        """Return the archive that was made last."""
        return max(self.backups.glob("mcp_backup_*.tar.gz"))

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Run the daemon for the block."""
        self.daemon.start()
        try:
            yield
        finally:
            self.daemon.stop()

    def writes(self, rate: int) -> Writes:
        """Measure writers at *rate* without and with a backup."""
        with self.serving(), writing(self.daemon.port, rate) as written:
            marks_ns = [time.monotonic_ns()]
            for meanwhile in (self._alone, partial(self.backup, *_AS_THE_UNIT), self._alone):
                meanwhile()
                marks_ns.append(time.monotonic_ns())
        before, during, after = pairwise(marks_ns)
        alone_per_s = (written.per_s(*before) + written.per_s(*after)) / 2
        alone_p99_us = (written.p99_us(*before) + written.p99_us(*after)) // 2
        rates = alone_per_s, written.per_s(*during)
        return Writes(*rates, alone_p99_us, written.p99_us(*during), len(written.failed))

    def _alone(self) -> None:
        time.sleep(self._seconds / 2)


def measure(directory: Path, mib: float, seconds: float, rows: int) -> Figures:
    """Measure in *directory*, which is empty."""
    machine = Machine(directory, seconds)
    try:
        machine.daemon.migrate()
        fill(machine.daemon.database, mib)
        size = machine.daemon.database.stat().st_size / (1 << 20)
        backup = machine.backup()
        archive = machine.newest()
        snapshot = ["--snapshot", "1", "2", "--config", str(machine.daemon.config)]
        kept = run([sys.executable, "-m", "mcpd.daemons.migrate", *snapshot])
        verified = run(machine.mcpctl("backup", "verify", str(archive)))
        restored = run(machine.mcpctl("backup", "restore", str(archive)))
        archive_mib = archive.stat().st_size / (1 << 20)
        source = many(directory / "mcp_state.db", rows)
        migrated = run(machine.mcpctl("--json", "migrate", "--from", str(source), "--timezone", "UTC"))
        # Last: what they remember is in our memory, and would count as that of what we start.
        paced, flat_out = machine.writes(PACED), machine.writes(0)
        return Figures(size, archive_mib, backup, verified, kept, restored, paced, flat_out, rows, migrated)
    finally:
        machine.daemon.close()


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.backups", description="Measure backups.")
    parser.add_argument("--mib", type=float, default=1024, help="size of the database")
    parser.add_argument("--seconds", type=float, default=10, help="how long writers write without a backup")
    parser.add_argument("--rows", type=int, default=1_000_000, help="activities to migrate")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="mcpd-bench-") as directory:
        figures = measure(Path(directory), options.mib, options.seconds, options.rows)
    print(figures)
    if options.json is not None:
        options.json.write_text(json.dumps(asdict(figures), indent=1))


if __name__ == "__main__":
    main()
