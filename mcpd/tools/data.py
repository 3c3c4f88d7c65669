"""What takes a while on a large database: a report on a span of time, and an export. Both run as tasks."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import orjson
from msgspec import Meta

from mcpd.errors import StoreUnavailable
from mcpd.protocol.content import ResourceLink, Text
from mcpd.store import exports, reports
from mcpd.store.database import Database
from mcpd.store.exports import Table
from mcpd.times import rfc3339
from mcpd.tools.asynchronous import AsyncTool, Outcome
from mcpd.tools.context import Context, Stopped

SCHEME = "export://"
KEPT = 20
_HOUR_US = 3_600_000_000
_Hours = Annotated[int, Meta(ge=1, le=87600, description="How far to look back.")]
_ALL: tuple[Table, ...] = Table.__args__  # type: ignore[attr-defined]


class ReportArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a report is on."""

    hours: _Hours = 24


class Report(msgspec.Struct):
    """What happened: counts by name."""

    since: str
    until: str
    work: dict[str, dict[str, int]]
    calls: dict[str, dict[str, int]]


class ExportArguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is exported."""

    tables: Annotated[list[Table], Meta(min_length=1, description="Left out, all of them.")] | None = None
    hours: _Hours | None = None


class Export(msgspec.Struct):
    """The file that was written, a JSON object with table and row a line."""

    uri: str
    path: str
    rows: dict[str, int]
    size_bytes: int
    sha256: str


class _Cut(Exception):
    """Nobody wants the rest."""


async def _report(context: Context, arguments: ReportArguments) -> Outcome:
    await context.as_task()
    now_us = await context.store(lambda call: call.now_us)
    since_us = now_us - arguments.hours * _HOUR_US

    def count(db: Database, _: Stopped) -> Report:
        return Report(rfc3339(since_us), rfc3339(now_us), reports.work(db, since_us), reports.calls(db, since_us))

    report = await context.snapshot(count)
    return Outcome((Text(_markdown(report)),), report)


def _markdown(report: Report) -> str:
    lines = [f"# Report, {report.since} to {report.until}"]
    for title, counts in (*report.work.items(), *report.calls.items()):
        lines += ["", f"## {title.capitalize()}", ""]
        lines += [f"- {name}: {number}" for name, number in counts.items()] or ["none"]
    return "\n".join(lines)


CREATE_REPORT = AsyncTool(
    name="create_report",
    title="Create report",
    description="Count what agents did and which tools were called in the last hours. Runs as a task.",
    arguments=ReportArguments,
    result=Report,
    function=_report,
    read_only=True,
    idempotent=True,
)


class Exporter:
    """Write exports into *directory*, of which the newest are kept."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def tool(self) -> AsyncTool:
        """The tool that exports."""
        return AsyncTool(
            name="export_data",
            title="Export data",
            description="Write tables as JSON lines into a file, readable as a resource. Runs as a task.",
            arguments=ExportArguments,
            result=Export,
            function=self._export,
            idempotent=True,
            classification="confidential",
        )

    async def _export(self, context: Context, arguments: ExportArguments) -> Outcome:
        await context.as_task()
        now_us = await context.store(lambda call: call.now_us)
        since_us = 0 if arguments.hours is None else now_us - arguments.hours * _HOUR_US
        tables = tuple(dict.fromkeys(arguments.tables or _ALL))
        name = f"{rfc3339(now_us)[:19].replace(':', '')}Z-{secrets.token_hex(4)}.jsonl"

        def write(db: Database, stopped: Stopped) -> Export:
            return self._write(db, name, tables, since_us, context, stopped)

        try:
            export = await context.snapshot(write)
        except OSError as exc:
            raise StoreUnavailable(f"the export cannot be written: {exc.strerror}") from exc
        link = ResourceLink(export.uri, name, mime_type="application/jsonl", size=export.size_bytes)
        await context.store(lambda call: call.event("export.created", None, {"name": name, "rows": export.rows}))
        return Outcome((Text(f"{sum(export.rows.values())} rows are in {export.path}"), link), export)

    def _write(
        self, db: Database, name: str, tables: tuple[Table, ...], since_us: int, context: Context, stopped: Stopped
    ) -> Export:
        self._directory.mkdir(mode=0o750, exist_ok=True)
        path, partial = self._directory / name, self._directory / f"{name}.part"
        total = sum(exports.count(db, table, since_us) for table in tables)
        digest, written = hashlib.sha256(), dict.fromkeys(map(str, tables), 0)
        try:
            with partial.open("xb") as file:
                for table, rows in _pages(db, tables, since_us):
                    if stopped.is_set():
                        raise _Cut
                    data = b"".join(orjson.dumps({"table": table, "row": row}) + b"\n" for row in rows)
                    digest.update(data)
                    file.write(data)
                    written[table] += len(rows)
                    context.progress(sum(written.values()), total, f"{table}: {written[table]} rows")
            partial.rename(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        self._forget_old()
        return Export(SCHEME + name, str(path), written, path.stat().st_size, digest.hexdigest())

    def _forget_old(self) -> None:
        for path in sorted(self._directory.glob("*.jsonl"))[:-KEPT]:
            path.unlink(missing_ok=True)


def _pages(db: Database, tables: tuple[Table, ...], since_us: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for table in tables:
        for rows in exports.pages(db, table, since_us):
            yield table, rows
