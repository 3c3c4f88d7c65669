"""The snapshots that migrations kept, as the reports beside them tell: for when the database cannot be asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson


def newest(directory: Path, source: str) -> tuple[Path, str] | None:
    """Return the newest snapshot of the old database *source* in *directory*'s reports, and its SHA-256."""
    found = (each for each in _sources(directory) if each["path"] == source)
    return next(((Path(each["snapshot"]), str(each["sha256"])) for each in found), None)


def digest(directory: Path, snapshot: Path) -> str | None:
    """Return the SHA-256 that *snapshot* had when it was made, None if no report in *directory* tells."""
    return next((str(each["sha256"]) for each in _sources(directory) if each["snapshot"] == str(snapshot)), None)


def _sources(directory: Path) -> Iterator[Mapping[str, Any]]:
    """Yield what the reports say of each source that a snapshot was kept of, the last report's first."""
    reports = []
    for path in directory.glob("migration_*.json"):
        try:
            report = orjson.loads(path.read_bytes())
            sources = [each for each in report["sources"] if each["path"] and each["snapshot"] and each["sha256"]]
            reports.append((str(report["finished"]), sources))
        except (OSError, ValueError, KeyError, TypeError):  # a damaged one must not hide the others
            continue
    for _, sources in sorted(reports, key=lambda report: report[0], reverse=True):
        yield from sources
