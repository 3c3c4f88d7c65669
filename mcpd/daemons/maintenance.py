"""mcpd-maintenance: remove old events and what has expired, look after the file. systemd's timer runs it every hour."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from contextlib import suppress
from pathlib import Path

from mcpd import sd
from mcpd.config import LOW_DISK_BYTES, Config
from mcpd.daemons import runtime
from mcpd.errors import StoreUnavailable
from mcpd.store import upkeep

NAME = "mcpd-maintenance"


def parser() -> argparse.ArgumentParser:
    """Return the command line of mcpd-maintenance."""
    return runtime.parser(NAME, "Remove old events and what has expired.")


def main() -> None:
    """Run the maintenance."""
    sys.exit(runtime.run(_maintain, parser().parse_args().config))


def _maintain(settings: Config) -> None:
    log = logging.getLogger(sd.LOGGER_NAME)
    path = settings.database.path
    try:
        done = upkeep.run(path, settings.events.keep_days, settings.events.keep_count)
    except StoreUnavailable as error:
        with suppress(StoreUnavailable):  # what ended it may keep the event from being written too
            upkeep.alert(path, "maintenance", error.message)
        raise
    log.info("%s", upkeep.summary(done))
    free_bytes = shutil.disk_usage(Path(path).parent).free
    if free_bytes < LOW_DISK_BYTES:
        message = f"{free_bytes >> 20} MiB are free beside {path}; make room on its file system"
        log.warning("%s", message)
        upkeep.alert(path, "disk", message)


if __name__ == "__main__":
    main()
