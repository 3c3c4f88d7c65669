"""mcpd-backup: make a backup, prove it, and remove what no rule keeps any more. systemd's timer runs it at night."""

from __future__ import annotations

import argparse
import logging
import os
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
    result = runtime.parser(NAME, "Back the database and the configuration up.")
    result.add_argument("--alert", action="store_true", help="say how the unit's backup ended, if badly; it runs this")
    return result


def main() -> None:
    """Run the backup, or say how the one of our unit ended (``$SERVICE_RESULT`` of systemd.exec(5))."""
    arguments = parser().parse_args()
    files = arguments.config
    if not arguments.alert:
        sys.exit(runtime.run(lambda settings: _backup(settings, files), files))
    result, status = os.environ.get("SERVICE_RESULT", "success"), os.environ.get("EXIT_STATUS", "")
    if result != "success":
        # First, since what ended the backup may keep us from telling it in any other way.
        sd.last_words(f"{NAME} failed: {result} ({status}); mcpctl logs backup says why", sd.ALERT)
        sys.exit(runtime.run(lambda settings: nightly.alert(settings, result, status), files))


def _backup(settings: Config, files: Sequence[Path] | None) -> None:
    log = logging.getLogger(sd.LOGGER_NAME)
    done = nightly.run(settings, config.files_of(config.effective(files), files))
    rows, size_kib = sum(done.backup.manifest.rows.values()), done.backup.size_bytes >> 10
    log.info("%s: made and proved in %.1f s; %d KiB, %d rows", done.backup.path, done.duration_s, size_kib, rows)
    for path in done.pruned.removed:
        log.info("%s: removed, no rule keeps it", path)
    for reason in done.pruned.unusable.values():
        log.warning("%s; so it takes no other backup's place", reason)


if __name__ == "__main__":
    main()
