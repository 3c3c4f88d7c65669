"""mcpd-maintenance: remove old events and what has expired, look after the file. systemd's timer runs it every hour."""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path

from mcpd import sd
from mcpd.compliance import duties
from mcpd.config import LOW_DISK_BYTES, Config
from mcpd.daemons import recorder, runtime
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
        due = duties.perform(path, time.time_ns() // 1000) if settings.compliance.enabled else None
    except StoreUnavailable as error:
        with suppress(StoreUnavailable):  # what ended it may keep the event from being written too
            upkeep.alert(path, "maintenance", error.message)
        raise
    log.info("%s", upkeep.summary(done))
    _prune_recordings(settings, log)
    if due is not None and (due.overdue or any(due.rows.values())):
        log.log(logging.WARNING if due.overdue else logging.INFO, "%s", duties.summary(due))
    free_bytes = shutil.disk_usage(Path(path).parent).free
    if free_bytes < LOW_DISK_BYTES:
        message = f"{free_bytes >> 20} MiB are free beside {path}; make room on its file system"
        log.warning("%s", message)
        upkeep.alert(path, "disk", message)


def _prune_recordings(settings: Config, log: logging.Logger) -> None:
    limits = settings.terminals
    folder = Path(settings.database.path).with_name(recorder.FOLDER)
    max_age_us = limits.recording_max_age_days * recorder.DAY_US
    pruned = recorder.prune(folder, time.time_ns() // 1000, limits.recording_max_bytes, max_age_us)
    if pruned:
        log.info("removed %d recordings of terminals", pruned)


if __name__ == "__main__":
    main()
