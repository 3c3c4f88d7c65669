"""What mcpd's database says of switches: their state, baselines, alerts and reports, each change with its event."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcpd.ctl.cutover import unwritten
from mcpd.ctl.cutover.adopting import Outcome
from mcpd.errors import Error
from mcpd.legacy import kept, migration
from mcpd.store import cutovers, events
from mcpd.store.cutovers import Baseline, Cutover
from mcpd.store.database import Database, store_errors

REPORT, ALERT, SESSION, SUPERSEDED = "cutover.report", "cutover.alert", "cutover.session", "cutover.superseded"
_TOLD = ("watch_until_us", "finished_us", "outage_us", "reason")
_MAX_KNOWN = 20


@dataclass(frozen=True, slots=True)
class Record:
    """The switches as the database at *path* has them; each call opens it anew, since mcpd may be any side of it."""

    path: Path

    @contextmanager
    def opened(self) -> Iterator[Database]:
        """Give the database for the block; raises as ``migration.open_target`` does."""
        with store_errors():
            db = migration.open_target(self.path)
            try:
                yield db
            finally:
                db.close()

    def begin(self, direction: str, at_us: int | None = None) -> int:
        """Add a switch that begins, now or *at_us*; return its number. Those that could not be noted go before it."""
        with self.opened() as db, db.transaction():
            for switch in unwritten.load(self.path):
                _tell_state(db, cutovers.keep(db, switch), dataclasses.asdict(switch))
            number = cutovers.begin(db, direction, at_us or now_us())
            events.add(db, now_us(), f"cutover.{direction}", None, {"cutover": number})
        unwritten.forget(self.path)
        return number

    def change(self, number: int, state: str, **more: Any) -> None:
        """Note the *state* of the switch *number*, and *more* as ``cutovers.change`` takes it."""
        with self.opened() as db, db.transaction():
            cutovers.change(db, number, state, **more)
            _tell_state(db, number, {"state": state, **more})

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
        """Return the last switch, None if there was none; one that the database could not note, too."""
        return next(iter(self._known()), None)

    def get(self, number: int) -> Cutover | None:
        """Return the switch *number*, None where nothing is known of it any more."""
        return next((each for each in self._known() if each.id == number), None)

    def settled(self) -> Cutover | None:
        """Return the last switch that took place, None if there was none: neither one at work nor one that failed."""
        return next((each for each in self._known() if each.state not in ("switching", "failed")), None)

    def _known(self) -> list[Cutover]:
        try:
            with self.opened() as db:
                found = cutovers.newest(db, _MAX_KNOWN)
        except Error:
            if not unwritten.load(self.path):
                raise
            found = []
        return unwritten.merged(self.path, found)

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
        """Return the newest snapshot of the old *database* and its SHA-256; migrations' reports tell, too."""
        try:
            with self.opened() as db:
                found = cutovers.snapshot_of(db, database)
        except Error:  # a damaged database is a reason to want the snapshot
            found = None
        return kept.newest(self._reports, database) if found is None else (Path(found[0]), found[1])

    def digest_of(self, snapshot: Path) -> str | None:
        """Return the SHA-256 that *snapshot* had when it was made, None if no migration made it."""
        try:
            with self.opened() as db:
                found = cutovers.digest_of(db, str(snapshot))
        except Error:
            found = None
        return kept.digest(self._reports, snapshot) if found is None else found

    @property
    def _reports(self) -> Path:
        return self.path.parent / migration.SNAPSHOTS


def _tell_state(db: Database, number: int, said: Mapping[str, Any]) -> None:
    """Add the event of the state that the switch *number* is *said* to be in."""
    topic = f"cutover.{said['state'].replace(' ', '_')}"
    told = {name: said[name] for name in _TOLD if said.get(name) is not None}
    events.add(db, now_us(), topic, None, {"cutover": number, **told})


def now_us() -> int:
    """Return the time in µs since the epoch."""
    return time.time_ns() // 1000
