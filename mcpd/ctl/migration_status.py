"""What was migrated, as ``mcpctl migrate`` and ``mcpctl migrate status`` show it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mcpd.ctl import output
from mcpd.errors import ConfigError
from mcpd.times import rfc3339

_COUNTS = ("rows", "migrated", "merged", "kept", "set_aside", "known")
_MAX_RUNS = 20
_MAX_REJECTS = 50


def show(target: Path, *, as_json: bool) -> None:
    """Print what the database *target* says of migrations into it."""
    status = gather(target)
    if as_json:
        output.print_json(status)
        return
    if status["running"]:
        output.write("A migration is running.\n")
    if status["cutovers"]:
        output.print_tables(_cutovers(status), *_sessions(status))
        output.write("\n")
    if not status["runs"]:
        output.write("Nothing was migrated yet.\n")
        return
    runs = [
        (run["run"], run["finished"], run["timezone"], *(source["path"] for source in run["sources"][:1]), _sum(run))
        for run in status["runs"]
    ]
    rejects = [(r["table"], r["reason"], r["rows"], r["example_key"]) for r in status["set_aside"]]
    output.print_tables(
        output.table("Runs", ("run", "finished", "time zone", "source", "rows"), runs),
        output.pairs("Rows", status["rows"]),
        output.table("Set aside", ("table", "reason", "rows", "for example"), rejects),
        *tables(status["runs"][0]),
    )


def gather(target: Path) -> dict[str, Any]:
    """Return what *target* says of migrations into it; it is opened read-only."""
    from mcpd import files
    from mcpd.ctl.cutover import standing, unwritten
    from mcpd.store import cutovers, legacy, schema
    from mcpd.store.database import Database, store_errors

    files.check_access(target)
    try:
        target.open("rb").close()
    except OSError as exc:
        raise ConfigError(f"{target}: {exc.strerror}; mcpctl config shows where the database should be") from exc
    db = Database(str(target), read_only=True)
    try:
        with store_errors():
            schema.check(db)
            return {
                "running": files.is_locked(target.parent),
                "rows": legacy.totals(db),
                "set_aside": [
                    {"table": table, "reason": reason, "rows": rows, "example_key": key}
                    for table, reason, rows, key in legacy.rejects(db, _MAX_REJECTS)
                ],
                "runs": [json.loads(run.report) for run in legacy.runs(db, _MAX_RUNS)],
                "cutovers": [
                    {
                        **dataclasses.asdict(each),
                        "state": standing.state(each),
                        "sessions": json.loads(each.sessions or "[]"),
                    }
                    for each in unwritten.merged(target, cutovers.newest(db, _MAX_RUNS))
                ],
                "baselines": {
                    server: found and dataclasses.asdict(found)
                    for server in ("legacy", "mcpd")
                    for found in [cutovers.baseline(db, server)]
                },
            }
    finally:
        db.close()


def _cutovers(status: dict[str, Any]) -> Any:
    from mcpd.ctl.cutover import standing

    rows = [
        (
            each["direction"],
            each["state"],
            rfc3339(each["started_us"]),
            "–" if each["outage_us"] is None else f"{each['outage_us'] / 1000:.0f} ms",
            each["reason"] or standing.ADVICE.get(each["state"]),
        )
        for each in status["cutovers"]
    ]
    return output.table("Switches", ("direction", "state", "began", "callers refused for", "why"), rows)


def _sessions(status: dict[str, Any]) -> Iterator[Any]:
    """Yield a table of the sessions that the last switch to find some found."""
    found: list[dict[str, Any]] = next((each["sessions"] for each in status["cutovers"] if each["sessions"]), [])
    columns = ("session", "user", "agent", "outcome", "why", "saved")
    if found:
        yield output.table("Sessions of the old system", columns, [[each[name] for name in columns] for each in found])


def tables(report: dict[str, Any]) -> Iterator[Any]:
    """Yield a table for each source of *report* (JSON), with what became of the rows of each of its tables."""
    for source in report["sources"]:
        rows = [
            (table["table"], table["target"] or "–", *(table[name] for name in _COUNTS), table["checksum"][:12])
            for table in source["tables"]
        ]
        names = ("table", "to", *(name.replace("_", " ") for name in _COUNTS), "checksum")
        yield output.coloured(source["path"], "bold")
        yield output.table("", names, rows)
        said = [
            (table["table"], text, number)
            for table in source["tables"]
            for text, number in (table["reasons"] | table["notes"]).items()
        ]
        if said:
            yield output.table("", ("table", "what was found", "rows"), said)


def _sum(run: dict[str, Any]) -> int:
    return sum(table["rows"] for source in run["sources"] for table in source["tables"])
