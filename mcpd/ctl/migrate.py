"""``mcpctl migrate``: bring over what the old system's databases hold, or show what was brought over."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mcpd import config
from mcpd.config import Config
from mcpd.ctl import migration_status, output
from mcpd.errors import AccessDenied, UsageError

if TYPE_CHECKING:
    from mcpd.legacy.migration import Job, Progress, ZoneFrom
    from mcpd.legacy.preflight import Plan
    from mcpd.legacy.report import Report

HELP = "bring over the data of the old system"

_LOCALTIME = Path("/etc/localtime")
_ZONES = "zoneinfo/"
_ZONE_FROM = {
    "--timezone": "as --timezone says",
    "last run": "as the last run read them; --timezone says otherwise",
    "machine": "as this machine has it; --timezone says otherwise",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``migrate`` takes."""
    what = "show how it went, report trouble, or show the old system's sessions"
    parser.add_argument("action", choices=["status", "report", "sessions"], nargs="?", help=what)
    parser.add_argument(
        "--from", metavar="FILE", dest="sources", type=Path, action="append", help="a database of the old system"
    )
    parser.add_argument("--timezone", metavar="ZONE", help="of the old system's local times; else as before")
    parser.add_argument("--snapshots", metavar="DIRECTORY", type=Path, help="where copies of the sources are kept")
    parser.add_argument("--plan", action="store_true", help="say what would be done; change nothing")
    parser.add_argument("--cutover", action="store_true", help="then switch from the old system to mcpd")
    parser.add_argument("--watch", action="store_true", help="watch the cut-over for an hour, or go on with that")
    parser.add_argument("--foreground", action="store_true", help="go on with the watch here; its unit does so")
    parser.add_argument("--adopt", action="store_true", help="with --cutover and sessions: start agents in their place")
    parser.add_argument("--reason", metavar="TEXT", help="for report: what is the matter")


def run(arguments: argparse.Namespace) -> int:
    """Show the status or the plan, report, cut over, or migrate and show the report."""
    settings = config.load(arguments.config)
    target = Path(settings.database.path).absolute()
    if arguments.action is not None:
        _check_alone(arguments)
        if arguments.action == "status":
            migration_status.show(target, as_json=arguments.json)
        elif arguments.action == "report":
            _report(settings, arguments.reason, as_json=arguments.json)
        else:
            _sessions(settings, adopt=arguments.adopt, as_json=arguments.json)
        return 0
    if arguments.reason:
        raise UsageError("--reason goes with mcpctl migrate report")
    if arguments.adopt and not arguments.cutover:
        raise UsageError("--adopt goes with --cutover, or with mcpctl migrate sessions")
    if arguments.foreground and (arguments.cutover or not arguments.watch):
        raise UsageError("--foreground goes with --watch alone")
    if arguments.cutover or arguments.watch:
        return _cut_over(arguments, settings, target)
    if not arguments.sources:
        raise UsageError("which database? mcpctl migrate --from /tmp/mcp_state.db, or mcpctl migrate status")
    found = job(arguments.sources, target, arguments.timezone, arguments.snapshots)
    _migrate(found, only_plan=arguments.plan, as_json=arguments.json)
    return 0


def _check_alone(arguments: argparse.Namespace) -> None:
    """Raise ``UsageError`` for options that the action does not take."""
    of_migration = (arguments.sources, arguments.plan, arguments.timezone, arguments.snapshots)
    reason = None if arguments.action == "report" else arguments.reason
    adopt = arguments.adopt and arguments.action != "sessions"
    of_cutover = (arguments.cutover, arguments.watch, arguments.foreground, adopt)
    if any(of_migration) or any(of_cutover) or reason:
        raise UsageError(f"mcpctl migrate {arguments.action} takes no such options")
    if arguments.action == "report" and not arguments.reason:
        raise UsageError("what is the matter? mcpctl migrate report --reason TEXT")


def _report(settings: Config, reason: str, *, as_json: bool) -> None:
    from mcpd.ctl import cutting_over

    cutting_over.report(settings, getpass.getuser(), reason, as_json=as_json)


def _sessions(settings: Config, *, adopt: bool, as_json: bool) -> None:
    from mcpd.ctl import cutting_over

    if adopt and os.geteuid() != 0:
        raise AccessDenied("only root may start agents in the place of others' sessions; run it by sudo")
    cutting_over.show_sessions(settings, adopt=adopt, as_json=as_json)


def _cut_over(arguments: argparse.Namespace, settings: Config, target: Path) -> int:
    from mcpd.ctl import cutting_over

    if arguments.plan:
        raise UsageError("--plan does not go with --cutover or --watch; mcpctl migrate --from FILE --plan")
    if not arguments.cutover:
        if arguments.sources:
            raise UsageError("--watch alone goes on with the last cut-over and takes no --from")
        go_on = cutting_over.watch_here if arguments.foreground else cutting_over.resume
        return go_on(settings, arguments.config, as_json=arguments.json)
    sources = arguments.sources or [Path(settings.legacy.database)]
    found = job(sources, target, arguments.timezone, arguments.snapshots)
    watch_s = settings.cutover.watch_s if arguments.watch else None
    return cutting_over.cut_over(
        settings, found, watch_s, arguments.config, adopt=arguments.adopt, as_json=arguments.json
    )


def job(paths: Sequence[Path], target: Path, timezone: str | None, directory: Path | None = None) -> Job:
    """Return the job to bring the databases *paths* over into *target*; snapshots go to *directory*, or beside that."""
    from mcpd.legacy.migration import SNAPSHOTS, Job

    sources = tuple(dict.fromkeys(path.absolute() for path in paths))
    before = None if timezone else _zone_before(sources, target)
    name = timezone or before or local_zone(_LOCALTIME)
    snapshots = (directory or target.parent / SNAPSHOTS).absolute()
    if not snapshots.parent.is_dir():
        raise UsageError(f"--snapshots {snapshots}: there is no directory {snapshots.parent}")
    said: ZoneFrom = "--timezone" if timezone else "last run" if before else "machine"
    return Job(sources, target, zone(name), name, snapshots, said)


def _zone_before(sources: Sequence[Path], target: Path) -> str | None:
    """Return the time zone in which *sources* were read before, None if none was; raises ``UsageError`` for several."""
    from mcpd.store import legacy, schema
    from mcpd.store.database import Database, store_errors

    if not os.access(target, os.W_OK):
        return None  # nothing can be migrated into it either, and the migration says why
    db = Database(str(target), read_only=True)
    try:
        with store_errors():
            schema.check(db)
            found = {str(path): legacy.timezone(db, str(path)) for path in sources}
    finally:
        db.close()
    known = {path: name for path, name in found.items() if name is not None}
    if len(set(known.values())) > 1:
        said = ", ".join(f"{path} in {name}" for path, name in known.items())
        raise UsageError(f"the last runs read {said}; migrate them one by one, or say --timezone")
    return next(iter(known.values()), None)


def zone(name: str) -> tzinfo:
    """Return the time zone *name* of the IANA database; raises ``UsageError``."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise UsageError(
            f"--timezone {name}: there is no such time zone; expected one like Europe/Rome or UTC"
        ) from exc


def local_zone(localtime: Path) -> str:
    """Return the name of the zone that *localtime*, as a rule /etc/localtime, links to; UTC without one."""
    if not localtime.exists():
        return "UTC"
    _, found, name = str(localtime.resolve()).rpartition(_ZONES)
    if not found:
        raise UsageError(f"{localtime} does not say which time zone this machine is in; use --timezone")
    return name


def _migrate(job: Job, *, only_plan: bool, as_json: bool) -> None:
    from mcpd.legacy import migration, preflight

    plan = preflight.plan(job)
    if only_plan or not as_json:
        _print_plan(plan, as_json=as_json)
    plan.check_room()
    if only_plan:
        return
    with _progress() as progress:
        report = migration.run(job, progress)
    _print_report(report, as_json=as_json)


@contextmanager
def _progress() -> Iterator[Progress]:
    """Show a bar on stderr if that is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    if not sys.stderr.isatty():  # even a bar that is disabled ends with an empty line there
        yield lambda _what, _done, _total: None
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total or None)


def _print_plan(plan: Plan, *, as_json: bool) -> None:
    from mcpd.legacy.preflight import MINIMUM, is_old

    if as_json:
        output.print_json(plan_json(plan))
        return
    rows: list[tuple[str, str, Any]] = []
    for name, version in plan.versions.items():
        needed = ".".join(map(str, MINIMUM[name]))
        if version is None:
            rows.append((name, "not installed", output.coloured(f"{needed} or newer is needed", "yellow")))
        elif is_old(name, version):
            rows.append((name, version, output.coloured(f"{needed} or newer is needed", "yellow")))
        else:
            rows.append((name, version, output.coloured("ok", "green")))
    fits = plan.free_bytes >= plan.needed_bytes
    room = f"{plan.free_bytes >> 20} MiB free, {plan.needed_bytes >> 20} MiB may be needed"
    rows.append(("disk", room, output.coloured("ok", "green") if fits else output.coloured("too little", "bold red")))
    rows.append(("local times", plan.job.timezone, _ZONE_FROM[plan.job.zone_from]))
    output.print_tables(output.table("Preflight", ("what", "found", ""), rows), *_planned(plan))
    output.write("\n")


def _planned(plan: Plan) -> Iterator[Any]:
    for source in plan.sources:
        title = f"{source.path}, {source.size_bytes >> 10} KiB, journal mode {source.journal_mode}"
        rows = [(table.name, table.rows, target or "kept as it is") for table, target in source.tables]
        nothing = "a writer died in a transaction; it is rolled back in a copy before that is read"
        yield output.coloured(title, "bold")
        yield output.table("", ("table", "rows", "goes to"), rows, nothing)
        if source.writers:
            names = ", ".join(f"{writer.program} (pid {writer.pid})" for writer in source.writers)
            yield output.coloured(f"Open in {names}: what it writes later, another run brings over", "yellow")


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return *plan* as JSON knows it."""
    return {
        "target": str(plan.job.target),
        "snapshots": str(plan.job.snapshots),
        "timezone": plan.job.timezone,
        "timezone_from": plan.job.zone_from,
        "versions": plan.versions,
        "needed_bytes": plan.needed_bytes,
        "free_bytes": plan.free_bytes,
        "sources": [
            {
                "path": str(source.path),
                "size_bytes": source.size_bytes,
                "journal_mode": source.journal_mode,
                "rollback_pending": source.is_rollback_pending,
                "writers": [{"pid": writer.pid, "program": writer.program} for writer in source.writers],
                "tables": [
                    {"table": table.name, "columns": table.columns, "rows": table.rows, "target": target}
                    for table, target in source.tables
                ],
            }
            for source in plan.sources
        ],
    }


def _print_report(report: Report, *, as_json: bool) -> None:
    if as_json:
        output.print_json(report.as_json())
        return
    output.print_tables(*migration_status.tables(report.as_json()))
    if report.run is None:
        output.write("\nNothing was new; nothing was changed.\n")
    else:
        where = report.file or "the database alone, since its file could not be written"
        output.write(f"\nMigrated and verified, run {report.run}; the report is in {where}.\n")
