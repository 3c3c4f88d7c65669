"""mcpd-migrate: check the configuration and bring the database to this version's schema, before any daemon runs."""

from __future__ import annotations

import argparse
import logging
import sys
import time

from mcpd import sd
from mcpd.config import Config
from mcpd.daemons import runtime
from mcpd.store import schema
from mcpd.store.database import Database

NAME = "mcpd-migrate"


def parser() -> argparse.ArgumentParser:
    """Return the command line of mcpd-migrate."""
    return runtime.parser(NAME, "Create or update the database.")


def main() -> None:
    """Run the migration."""
    arguments = parser().parse_args()
    sys.exit(runtime.run(_migrate, arguments.config))


def _migrate(config: Config) -> None:
    log = logging.getLogger(sd.LOGGER_NAME)
    db = Database(config.database.path, durability="power", busy_timeout_s=30.0)
    try:
        steps = schema.migrate(db, time.time_ns() // 1000)
        for step in steps:
            log.info("applied migration %03d %s", step.version, step.name)
        if not steps:
            log.info("schema %d is current", schema.version(db))
    finally:
        db.close()


if __name__ == "__main__":
    main()
