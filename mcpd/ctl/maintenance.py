"""``mcpctl maintenance``: remove now what is not kept, or see what is there."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

from mcpd import config, files
from mcpd.ctl import output
from mcpd.errors import StoreUnavailable
from mcpd.times import stated

HELP = "remove old events and what has expired, or say what is kept"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``maintenance`` takes."""
    parser.add_argument("action", choices=("now", "status"), help="what to do")


def run(arguments: argparse.Namespace) -> int:
    """Do it, on the database itself, as who may write or read it."""
    settings = config.load(arguments.config)
    files.check_access(Path(settings.database.path), os.W_OK if arguments.action == "now" else os.R_OK)
    if arguments.action == "now":
        _now(settings, as_json=arguments.json)
    else:
        _status(settings, as_json=arguments.json)
    return 0


def _now(settings: config.Config, *, as_json: bool) -> None:
    from mcpd.compliance import duties
    from mcpd.store import upkeep

    path = settings.database.path
    done = upkeep.run(path, settings.events.keep_days, settings.events.keep_count)
    due = duties.perform(path, time.time_ns() // 1000) if settings.compliance.enabled else duties.Done({}, 0)
    if as_json:
        shown = {"removed": done.removed, "removed_to": done.removed_to, "duration_s": done.duration_s}
        output.print_json(shown | {"retention": due.rows, "overdue_breaches": due.overdue})
        return
    output.write(f"{upkeep.summary(done)}\n{duties.summary(due)}\n")


def _status(settings: config.Config, *, as_json: bool) -> None:
    from mcpd.store import upkeep
    from mcpd.store.database import Database, store_errors

    try:
        db = Database(settings.database.path, read_only=True)
        try:
            with store_errors():
                kept = upkeep.kept(db)
        finally:
            db.close()
    except StoreUnavailable as error:
        raise StoreUnavailable(
            f"{settings.database.path}: {error.message}; root and the user mcpd may read it"
        ) from error
    shown: dict[str, Any] = {
        "keep_days": settings.events.keep_days,
        "keep_count": settings.events.keep_count,
        "events": kept.events,
        "oldest": kept.oldest,
        "newest": kept.newest,
        "oldest_time": stated(kept.oldest_us),
        "last_removal": stated(kept.last_removal_us),
    }
    if as_json:
        output.print_json(shown)
    else:
        output.print_tables(output.pairs("", shown))
