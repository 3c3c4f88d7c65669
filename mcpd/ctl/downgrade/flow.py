"""An upgrade taken back: everything that can be wrong is found out first, then the database, then the package.

A newer version could go on with the older database; an older one not with the newer: hence the order.

The programs that this process would still load are another version's from the middle on, so nothing is imported late.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mcpd import files
from mcpd.backup import backups, upgrades
from mcpd.backup.upgrades import Snapshot
from mcpd.ctl.cutover import latency, switching
from mcpd.ctl.downgrade import packages, units
from mcpd.ctl.downgrade.packages import Source
from mcpd.errors import AccessDenied, StoreUnavailable, Unreachable, UsageError
from mcpd.store import events
from mcpd.store.database import Database, store_errors

TAKEN_BACK = "upgrade.taken_back"


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be done: *installed* goes, *source* and the database as *snapshot* has it come.

    *written* are the rows by table that came since, which are kept beside the database.
    """

    database: Path
    installed: str
    snapshot: Snapshot
    source: Source
    written: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Done:
    """What was done; *kept* is the database that was there, *outage_us* how long mcpd-rpc's port refused callers."""

    kept: Path | None
    written: Mapping[str, int]
    outage_us: int


def plan(database: Path, package: Path | None) -> Plan:
    """Look at everything that taking the last upgrade back needs; *package* is the file of the version before.

    Raises ``UsageError`` where there is nothing to go back to, ``SourceUnusable`` for what is not as it was made.
    """
    if os.geteuid() != 0:
        raise AccessDenied("only root may take an upgrade back; run it by sudo")
    installed = packages.installed()
    snapshot = _snapshot(database, installed)
    upgrades.verify(snapshot)
    if not snapshot.version and package is None:
        raise UsageError(f"{snapshot.path}: which version it is of is not known; name its package with --package FILE")
    version = snapshot.version or packages.version_of(package)
    return Plan(database, installed, snapshot, packages.find(version, package), _written(snapshot, database))


def _snapshot(database: Path, installed: str) -> Snapshot:
    found = upgrades.all_of(database)
    for snapshot in found:
        if snapshot.before == installed or not snapshot.version:
            return snapshot
    there = ", ".join(f"{snapshot.version} to {snapshot.before}" for snapshot in found) or "none"
    where = upgrades.directory_of(database)
    raise UsageError(
        f"no snapshot in {where} is from before an upgrade to {installed}, which is installed; there: {there}"
    )


def _written(snapshot: Snapshot, database: Path) -> Mapping[str, int]:
    return upgrades.written_since(snapshot, database) if database.exists() else {}


def carry_out(found: Plan, port: int, say: Callable[[str], None]) -> Done:
    """Do it; *port* is mcpd-rpc's.

    Raises ``Unreachable`` or ``StoreUnavailable``, after which mcpd runs with the database that it had.
    """
    if not switching.runs_systemd():
        raise Unreachable("systemd does not run this machine, so mcpd's daemons cannot be stopped for it")
    with tempfile.TemporaryDirectory(prefix="mcpd-package-") as directory:
        package = packages.fetch(found.source, Path(directory))
        packages.rehearse(package)
        staged = _stage(found)
        try:
            with units.paused(port) as pause:
                say("stopped; agents go on")
                written = _written(found.snapshot, found.database)
                kept = backups.put(staged, found.database)
                _install(package, kept, found.database)
                say(f"installed: {found.source}")
                say(f"what {found.installed} left is {kept}; written since: {described(written)}")
                _tell(found, kept, written)
        finally:
            staged.unlink(missing_ok=True)
    if switching.is_active(switching.MCPD):
        latency.ask(port)
    return Done(kept, written, pause.outage_us)


def _install(package: Path, kept: Path | None, database: Path) -> None:
    try:
        packages.install(package)
    except Unreachable:
        if kept is not None:
            backups.take_back(kept, database)
        raise


def described(written: Mapping[str, int]) -> str:
    """Say in words how many rows were *written*, by table."""
    tables = ", ".join(f"{name} {rows}" for name, rows in written.items())
    return f"{sum(written.values())} rows ({tables})" if tables else "nothing"


def _tell(found: Plan, kept: Path | None, written: Mapping[str, int]) -> None:
    """Leave an event in the database that is in place now, if the schema that it has takes one."""
    data = {"from": found.installed, "to": found.source.version, "kept": kept and str(kept), "written": dict(written)}
    with suppress(StoreUnavailable), store_errors():
        db = Database(str(found.database), durability="power")
        try:
            with db.transaction():
                events.add(db, time.time_ns() // 1000, TAKEN_BACK, None, data)
        finally:
            db.close()


def _stage(found: Plan) -> Path:
    """Copy the snapshot to where a rename puts it in place; it stays itself."""
    staged = files.partial(found.database)
    if shutil.disk_usage(staged.parent).free < found.snapshot.size_bytes:
        raise StoreUnavailable(f"{staged.parent}: has no room for a copy of {found.snapshot.path}; nothing was changed")
    try:
        shutil.copyfile(found.snapshot.path, staged)
        files.sync(staged)
    except OSError as exc:
        staged.unlink(missing_ok=True)
        raise StoreUnavailable(f"{staged}: {exc.strerror or exc}; nothing was changed") from exc
    return staged
