"""mcpd-backup: make a backup, prove it, and remove what no rule keeps any more. systemd's timer runs it at night."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from mcpd import config, sd
from mcpd.backup import nightly
from mcpd.config import Config
from mcpd.daemons import runtime

NAME = "mcpd-backup"


def parser() -> argparse.ArgumentParser:
    """Return the command line of mcpd-backup."""
    return runtime.parser(NAME, "Back the database and the configuration up.")


def main() -> None:
    """Run the backup."""
    files = parser().parse_args().config
    sys.exit(runtime.run(lambda settings: _backup(settings, files), files))


def _backup(settings: Config, files: Sequence[Path] | None) -> None:
    log = logging.getLogger(sd.LOGGER_NAME)
    done = nightly.run(settings, config.files_of(config.effective(files), files))
    rows, size_kib = sum(done.backup.manifest.rows.values()), done.backup.size_bytes >> 10
    log.info("%s: made and proved in %.1f s; %d KiB, %d rows", done.backup.path, done.duration_s, size_kib, rows)
    for path in done.removed:
        log.info("%s: removed, no rule keeps it", path)


if __name__ == "__main__":
    main()
