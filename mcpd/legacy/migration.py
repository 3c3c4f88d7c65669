"""The migration itself: snapshot, check, map, take over in one transaction, verify, report.

Up to the transaction everything goes into files of our own beside the database; a run that ends anywhere, by an error
or by SIGKILL, leaves the database as it was. What such a run leaves behind, the next one removes.
"""

from __future__ import annotations

import getpass
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import partial
from pathlib import Path
from typing import Literal

import orjson

from mcpd import __version__, files
from mcpd.errors import ConfigError, SourceUnusable, StoreUnavailable, described
from mcpd.legacy import mapping, report, rows
from mcpd.legacy.report import Report, SourceReport, TableReport, VerificationFailed
from mcpd.legacy.rows import Torn
from mcpd.store import audit, earlier, events, foreign, legacy, schema, staging
from mcpd.store.database import Database, store_errors
from mcpd.store.foreign import Foreign, Table
from mcpd.store.staging import Stage, Staged

Progress = Callable[[str, int, int], None]
"""Told what is being done, and how many rows of how many."""

ZoneFrom = Literal["--timezone", "last run", "machine"]
LOCK_TIMEOUT_S = 30.0  # for the daemons to let us write; they commit many times a second
SNAPSHOTS = "legacy"
"""The directory beside the database where copies of the sources and reports are kept, unless another one is named."""

_SCRATCH = ".mcpd-migrate-"
_TOLD_EVERY = 2_000
_UNCHANGED = "nothing was changed"


@dataclass(frozen=True, slots=True)
class Job:
    """What to migrate and where to; *zone* is that of the sources' local timestamps, *snapshots* a directory.

    ``zone_from`` is who says that it is that zone.
    """

    sources: tuple[Path, ...]
    target: Path
    zone: tzinfo
    timezone: str
    snapshots: Path
    zone_from: ZoneFrom = "--timezone"


@dataclass(frozen=True, slots=True)
class _Copy:
    """A source's snapshot, still under its temporary name."""

    partial: Path
    snapshot: Path
    report: SourceReport


def run(job: Job, progress: Progress) -> Report:
    """Carry *job* out; raises ``SourceUnusable``, ``StoreUnavailable``, ``ConfigError``, ``VerificationFailed``.

    After any of them the database is as it was.
    """
    with files.alone(job.target.parent, "migration"), _nothing_changed():
        _remove_leftovers(job)
        db = open_target(job.target)
        try:
            with tempfile.TemporaryDirectory(
                prefix=_SCRATCH, dir=job.target.parent, ignore_cleanup_errors=True
            ) as scratch:
                result = _run(job, db, Path(scratch), progress)
        finally:
            db.close()
    if result.file is not None:
        _write_report(job, result, Path(result.file))
    return result


def open_target(path: Path) -> Database:
    """Return mcpd's own database at *path*; raises ``ConfigError`` where it is missing or of another schema."""
    files.check_access(path, os.W_OK)
    if not path.exists():
        raise ConfigError(f"{path}: there is no database yet; systemctl start mcpd-migrate.service makes it")
    found = Database(str(path), read_only=True)  # to open it for writing would change it, whoever's it is
    try:
        with store_errors():
            schema.check(found)
    finally:
        found.close()
    return Database(str(path), durability="power", busy_timeout_s=LOCK_TIMEOUT_S)


def open_source(path: Path) -> Foreign:
    """Return the old system's database at *path*; raises ``SourceUnusable``, also where it is one of ours."""
    source = Foreign(path)
    if source.application_id == schema.APPLICATION_ID:
        source.close()
        raise SourceUnusable(f"{path}: is mcpd's own database, not one of the system before it")
    return source


def _run(job: Job, db: Database, scratch: Path, progress: Progress) -> Report:
    result = Report(str(job.target), job.timezone, _now_us())
    copies: list[_Copy] = []
    try:
        copies += (_snapshot(job, path, place, scratch, progress) for place, path in enumerate(job.sources))
        result.sources = [copy.report for copy in copies]
        stage = Stage(scratch / "stage.db")
        is_first = legacy.is_empty(db)
        for place, copy in enumerate(copies):
            path = copy.report.path
            known = (lambda _: False) if is_first else partial(legacy.is_known, db, path=path)
            _stage_source(copy, place, job.zone, known, stage, progress)
        stage.close()
        with staging.attached(db, scratch / "stage.db"):
            if not staging.is_empty(db):
                earlier.relate(db, [str(path) for path in job.sources])
                _take_over(job, db, copies, result, progress)
    finally:
        for copy in copies:
            files.remove_database(copy.partial)
            if result.run is None:
                copy.snapshot.unlink(missing_ok=True)
                copy.report.snapshot = copy.report.sha256 = None
    result.finished_us = result.finished_us or _now_us()
    return result


def _snapshot(job: Job, path: Path, place: int, scratch: Path, progress: Progress) -> _Copy:
    progress(f"snapshot of {path.name}", 0, 0)
    files.make_directory(job.snapshots, job.target)
    readable = path
    if foreign.is_rollback_pending(path):
        directory = scratch / f"rolled-back-{place}"
        directory.mkdir()
        readable = foreign.roll_back_copy(path, directory)
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    snapshot = files.unused(job.snapshots / f"{path.stem}_{stamp}.db")
    partial = files.partial(snapshot)
    source = open_source(readable)
    try:
        source.snapshot(partial)
    except BaseException:
        files.remove_database(partial)
        raise
    finally:
        source.close()
    files.own_as(partial, job.target)
    progress(f"integrity of {path.name}", 0, 0)
    return _Copy(partial, snapshot, SourceReport(str(path), source.journal_mode, partial.stat().st_size))


def _stage_source(
    copy: _Copy, place: int, zone: tzinfo, known: Callable[[bytes], bool], stage: Stage, progress: Progress
) -> None:
    """Check the snapshot *copy* and stage the rows that are not *known*."""
    source = Foreign(copy.partial)
    try:
        with _named(copy):
            source.check_integrity()
            tables = source.tables()
            if not tables:
                raise SourceUnusable(f"{copy.partial}: is empty: it holds no tables")
            total, done = sum(table.rows for table in tables), 0
            for table in tables:
                found = TableReport(table.name.lower(), mapping.target(table.name.lower(), table.columns), table.rows)
                copy.report.tables.append(found)
                for staged, values in _map(source, table, place, zone, known, found):
                    if stage.add(staged, values):
                        found.new.add(staged.digest)
                    else:
                        found.identical += 1
                    if found.all.rows % _TOLD_EVERY == 0:
                        progress(f"rows of {Path(copy.report.path).name}", done + found.all.rows, total)
                done += table.rows
            progress(f"rows of {Path(copy.report.path).name}", total, total)
    finally:
        source.close()


def _map(
    source: Foreign, table: Table, place: int, zone: tzinfo, known: Callable[[bytes], bool], found: TableReport
) -> Iterator[tuple[Staged, Sequence[object]]]:
    name = found.table
    for values in source.rows(table):
        row = {
            column: Torn(value[0], source.encoding) if isinstance(value, tuple) else value
            for column, value in zip(table.columns, values, strict=True)
        }
        encoded = rows.encode(row)
        digest = rows.digest(name, encoded)
        found.all.add(digest)
        if known(digest):
            found.known += 1
            continue
        fate = mapping.KEPT if found.target is None else mapping.fate(name, row, zone)
        for note in fate.notes:
            found.notes[note] += 1
        key = rows.key(row, table.key)
        staged = Staged(place, name, key, encoded.decode(), digest, fate.outcome, fate.reason, fate.target)
        yield staged, fate.values


def _take_over(job: Job, db: Database, copies: Sequence[_Copy], result: Report, progress: Progress) -> None:
    """Publish the snapshots, then take the stage over, verify it and commit."""
    for copy in copies:
        copy.partial.replace(copy.snapshot)
        copy.report.snapshot, copy.report.sha256 = str(copy.snapshot), files.sha256(copy.snapshot)
    files.sync(copies[0].snapshot.parent)
    progress("commit", 0, 0)
    sources = [legacy.Source(s.path, str(s.snapshot), str(s.sha256)) for s in result.sources]
    unfinished = legacy.Run(0, result.started_us, 0, result.timezone, __version__, "{}")
    with db.transaction():
        run_id, first_source = legacy.begin(db, unfinished, sources)
        taken = staging.take_over(db, first_source)
        _verify(db, result, first_source, taken)
        result.finished_us = _now_us()
        result.file = str(job.snapshots / f"migration_{run_id}.json")
        final = {**result.as_json(), "run": run_id, "changed": True}
        legacy.finish(db, run_id, result.finished_us, orjson.dumps(final).decode())
        _tell(db, result, run_id)
    result.run = run_id


def _verify(db: Database, result: Report, first_source: int, taken: staging.Taken) -> None:
    """Raise ``VerificationFailed`` unless *db* holds, verbatim and mapped, what was read."""
    tables = report.by_table(result.sources, first_source)
    copies = 0
    for source_id, name, row, times in legacy.stored(db, taken.first):
        tables[source_id, name].stored.add(rows.digest(name, row.encode()))
        copies += times - 1
    report.account(result.sources, first_source, legacy.outcomes(db, taken.first))
    for table in tables.values():
        table.verify()
    if copies != sum(table.identical for table in tables.values()):
        raise VerificationFailed(f"{copies} identical rows were written, which is not how many were read")
    for name in (*staging.APPENDED, *staging.NAMED):
        if missing := staging.altered(db, name, taken):
            raise VerificationFailed(f"{missing} rows of {name} are not as they were mapped")


def _tell(db: Database, result: Report, run_id: int) -> None:
    """Write the event and the audit entry of the run *run_id*, in its transaction."""
    counts: dict[str, int] = {}
    for source in result.sources:
        for table in source.tables:
            for outcome, number in table.outcomes.items():
                counts[outcome] = counts.get(outcome, 0) + number
    data = {"run": run_id, "sources": [source.path for source in result.sources], "rows": counts}
    events.add(db, result.finished_us, "migration.finished", None, data)
    entry = audit.Entry(
        result.finished_us, getpass.getuser(), "migrate", result.target, "ok",
        result.finished_us - result.started_us, f"migration-{run_id}", None, data,
    )  # fmt: skip
    audit.add(db, entry)


def _write_report(job: Job, result: Report, path: Path) -> None:
    """Write the report's file. Without it the migration is no less done; the database has the report too."""
    try:
        files.write(path, orjson.dumps(result.as_json(), option=orjson.OPT_INDENT_2) + b"\n", job.target)
    except OSError:
        result.file = None


def _remove_leftovers(job: Job) -> None:
    """Remove what a migration that was killed left behind; we hold the lock, so nobody uses it."""
    for path in job.target.parent.glob(f"{_SCRATCH}*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in job.snapshots.glob(f"{files.PARTIAL}*"):
        path.unlink(missing_ok=True)


@contextmanager
def _nothing_changed() -> Iterator[None]:
    """Say with every error of files and databases in the block that nothing was changed."""
    try:
        yield
    except OSError as exc:
        raise StoreUnavailable(f"{described(exc)}; {_UNCHANGED}") from exc
    except StoreUnavailable as error:
        raise StoreUnavailable(f"{error.message}; {_UNCHANGED}") from error


@contextmanager
def _named(copy: _Copy) -> Iterator[None]:
    """Let errors about the snapshot name the file that the user knows."""
    try:
        yield
    except SourceUnusable as error:
        raise SourceUnusable(error.message.replace(str(copy.partial), copy.report.path)) from error


def _now_us() -> int:
    return time.time_ns() // 1000
