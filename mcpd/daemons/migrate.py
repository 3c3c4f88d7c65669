"""mcpd-migrate: check the configuration and bring the database to this version's schema, before any daemon runs."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from functools import partial
from pathlib import Path

from mcpd import __version__, sd
from mcpd.backup import upgrades
from mcpd.config import Config
from mcpd.daemons import runtime
from mcpd.store import schema
from mcpd.store.database import Database

NAME = "mcpd-migrate"


def parser() -> argparse.ArgumentParser:
    """Return the command line of mcpd-migrate."""
    result = runtime.parser(NAME, "Create or update the database.")
    result.add_argument(
        "--snapshot", metavar=("OLD", "NEW"), nargs=2, help="only take a snapshot, before the package OLD becomes NEW"
    )
    return result


def main() -> None:
    """Run the migration."""
    arguments = parser().parse_args()
    what = _migrate if arguments.snapshot is None else partial(_snapshot, *arguments.snapshot)
    sys.exit(runtime.run(what, arguments.config))


def _snapshot(old: str, new: str, config: Config) -> None:
    made = upgrades.take(Path(config.database.path).absolute(), old, new, config.backup.keep_upgrades)
    if made is not None:
        logging.getLogger(sd.LOGGER_NAME).info("%s: made and verified before the upgrade to %s", made.path, new)


def _migrate(config: Config) -> None:
    log = logging.getLogger(sd.LOGGER_NAME)
    db = Database(config.database.path, durability="power", busy_timeout_s=30.0)
    try:
        current, path = schema.version(db), Path(config.database.path).absolute()
        if 0 < current < schema.migrations()[-1].version and not upgrades.is_covered(path, current):
            made = upgrades.take(path, "", __version__, config.backup.keep_upgrades)
            if made is not None:
                log.info("%s: made and verified before schema %d is changed", made.path, current)
        steps = schema.migrate(db, time.time_ns() // 1000)
        for step in steps:
            log.info("applied migration %03d %s", step.version, step.name)
        if not steps:
            log.info("schema %d is current", schema.version(db))
    finally:
        db.close()


if __name__ == "__main__":
    main()
