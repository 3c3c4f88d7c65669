"""What mcpd's database says of switches: their state, baselines, alerts and reports, each change with its event."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcpd.ctl.cutover.adopting import Outcome
from mcpd.legacy import migration
from mcpd.store import cutovers, events
from mcpd.store.cutovers import Baseline, Cutover
from mcpd.store.database import Database, store_errors

REPORT, ALERT, SESSION, SUPERSEDED = "cutover.report", "cutover.alert", "cutover.session", "cutover.superseded"


@dataclass(frozen=True, slots=True)
class Record:
    """The switches as the database at *path* has them; each call opens it anew, since mcpd may be any side of it."""

    path: Path

    @contextmanager
    def opened(self) -> Iterator[Database]:
        """Give the database for the block; raises as ``migration.open_target`` does."""
        db = migration.open_target(self.path)
        try:
            with store_errors():
                yield db
        finally:
            db.close()

    def begin(self, direction: str) -> int:
        """Add a switch that begins; return its number."""
        with self.opened() as db, db.transaction():
            number = cutovers.begin(db, direction, now_us())
            events.add(db, now_us(), f"cutover.{direction}", None, {"cutover": number})
            return number

    def change(self, number: int, state: str, **more: Any) -> None:
        """Note the *state* of the switch *number*, and *more* as ``cutovers.change`` takes it."""
        with self.opened() as db, db.transaction():
            cutovers.change(db, number, state, **more)
            topic = f"cutover.{state.replace(' ', '_')}"
            events.add(
                db, now_us(), topic, None, {"cutover": number, **{k: v for k, v in more.items() if v is not None}}
            )

    def keep_sessions(self, number: int | None, outcomes: Sequence[Outcome]) -> None:
        """Note what became of the sessions that the switch *number*, or nobody's, found; an event for each."""
        found = [outcome.as_json() for outcome in outcomes]
        with self.opened() as db, db.transaction():
            if number is not None:
                cutovers.keep_sessions(db, number, json.dumps(found))
            for outcome in found:
                said = {name: outcome[name] for name in ("session", "user", "socket", "agent", "outcome", "why")}
                events.add(db, now_us(), SESSION, None, {"cutover": number, **said})

    def tell(self, topic: str, **data: object) -> None:
        """Add an event of *topic*."""
        with self.opened() as db, db.transaction():
            events.add(db, now_us(), topic, None, data)

    def reports(self, since_us: int) -> int:
        """Return how many users reported trouble since then."""
        with self.opened() as db:
            return events.count_of(db, REPORT, since_us)

    def newest(self) -> Cutover | None:
        """Return the last switch, None if there was none."""
        with self.opened() as db:
            return next(iter(cutovers.newest(db, 1)), None)

    def get(self, number: int) -> Cutover:
        """Return the switch *number*, which is there."""
        with self.opened() as db:
            return cutovers.get(db, number)

    def settled(self) -> Cutover | None:
        """Return the last switch that took place, None if there was none; see ``cutovers.settled``."""
        with self.opened() as db:
            return cutovers.settled(db)

    def supersede(self, number: int) -> None:
        """End the watch of every switch before *number*, whose place that has taken; an event for each."""
        with self.opened() as db, db.transaction():
            ended_us = now_us()
            more = {"finished_us": ended_us, "reason": f"by switch {number}"}
            for each in cutovers.supersede(db, number, ended_us):
                events.add(db, ended_us, SUPERSEDED, None, {"cutover": each, **more})

    def keep_baseline(self, baseline: Baseline) -> None:
        """Keep *baseline*."""
        with self.opened() as db, db.transaction():
            cutovers.add_baseline(db, baseline)
            events.add(db, now_us(), "cutover.baseline", None, dataclasses.asdict(baseline))

    def baseline(self) -> Baseline | None:
        """Return the newest baseline of the old system."""
        with self.opened() as db:
            return cutovers.baseline(db, "legacy")

    def snapshot_of(self, database: str) -> tuple[Path, str] | None:
        """Return the newest snapshot of the old *database* and its SHA-256."""
        with self.opened() as db:
            found = cutovers.snapshot_of(db, database)
        return None if found is None else (Path(found[0]), found[1])

    def digest_of(self, snapshot: Path) -> str | None:
        """Return the SHA-256 that *snapshot* had when it was made, None if no migration made it."""
        with self.opened() as db:
            return cutovers.digest_of(db, str(snapshot))


def now_us() -> int:
    """Return the time in µs since the epoch."""
    return time.time_ns() // 1000
