"""To mcpd and back: each way is prepared and proved before anything stops, then systemd switches the targets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mcpd import files
from mcpd.config import Config
from mcpd.ctl.cutover import latency, old, switching
from mcpd.ctl.cutover.record import Record, now_us
from mcpd.errors import AccessDenied, SourceUnusable, Unreachable, UsageError

BASELINE_REQUESTS = 200


@dataclass(frozen=True, slots=True)
class Flow:
    """What a switch needs: the settings, the record of it, and whom to *say* what is being done."""

    settings: Config
    record: Record
    say: Callable[[str], None]

    def to_mcpd(self, direction: str, migrate: Callable[[], None]) -> int:
        """Switch to mcpd; return the number of the switch. *migrate* brings the old system's rows over.

        It runs twice: for nearly all rows while the old system serves, and for the rest when that has stopped. When
        mcpd does not answer, the old system is started again and ``Unreachable`` raised.
        """
        with self._alone():
            self._keep_baseline()
            migrate()
            old.end_strays(self.settings.legacy)
            number = self.record.begin(direction)
            self.say("switching to mcpd")
            try:
                outage_us = switching.switch(switching.MCPD, lambda: _expect("mcpd"))
            except Unreachable as error:
                self._back(number, error)
                raise
            migrate()
            switching.prefer(switching.MCPD)
            self.record.change(number, "switched", outage_us=outage_us, finished_us=now_us())
            self.say(f"mcpd answers; port 8099 refused callers for {outage_us / 1000:.0f} ms")
            return number

    def to_old(self, to: Path | None, reason: str | None) -> int:
        """Switch back to the old system; return the number of the switch.

        Its database stays, if it is there and whole: nothing of ours ever wrote to it. Otherwise, or when *to* names
        one, a snapshot takes its place. Raises ``SourceUnusable`` before anything is stopped, and ``Unreachable`` when
        the old system does not answer.
        """
        with self._alone():
            if switching.is_active(switching.LEGACY):
                raise UsageError("the old system runs already; mcpctl rollback --forward leads to mcpd")
            snapshot = self._snapshot(to)
            number = self.record.begin("rollback")
            if snapshot is not None:
                kept = old.restore(snapshot, self.settings.legacy)
                self.say(f"{self.settings.legacy.database}: restored from {snapshot}")
                if kept is not None:
                    self.say(f"what was there is {kept}")
            self.say("switching to the old system")
            try:
                outage_us = switching.switch(switching.LEGACY, lambda: _expect("legacy"))
            except Unreachable as error:
                self.record.change(number, "failed", finished_us=now_us(), reason=error.message)
                raise Unreachable(f"{error.message}; journalctl -u 'mcp-legacy@*' says why") from error
            switching.prefer(switching.LEGACY)
            self.record.change(number, "rolled back", outage_us=outage_us, finished_us=now_us(), reason=reason)
            self.say(f"the old system answers; port 8099 refused callers for {outage_us / 1000:.0f} ms")
            return number

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if os.geteuid() != 0:
            raise AccessDenied("only root may switch systems; run it by sudo")
        if not switching.runs_systemd():
            raise Unreachable("systemd does not run this machine, so it cannot switch")
        old.install(self.settings.legacy)
        with files.alone(old.DROP_IN.parent, "switch between mcpd and the old system"):
            yield

    def _keep_baseline(self) -> None:
        if self.record.baseline() is not None:
            return
        try:
            found = latency.measure(BASELINE_REQUESTS, now_us())
        except Unreachable:
            self.say("no baseline: the old system does not answer")
            return
        if found.server == "legacy":
            self.record.keep_baseline(found)
            self.say(f"baseline: p95 {found.p95_us / 1000:.1f} ms")

    def _back(self, number: int, error: Unreachable) -> None:
        """Start the old system again, since mcpd does not answer."""
        self.record.change(number, "failed", finished_us=now_us(), reason=error.message)
        self.say(f"{error.message}; starting the old system again")
        switching.switch(switching.LEGACY, lambda: _expect("legacy"))
        switching.prefer(switching.LEGACY)
        self.record.change(number, "rolled back", reason=error.message)

    def _snapshot(self, to: Path | None) -> Path | None:
        """Return the verified snapshot to restore; None where the old database is whole and may stay."""
        database = self.settings.legacy.database
        if to is not None:
            old.verify(to, self.record.digest_of(to.absolute()))
            return to
        kept = self.record.snapshot_of(database)
        if kept is not None:
            old.verify(*kept)
        if old.is_sound(Path(database)):
            self.say(f"{database}: is whole and stays as it is")
            return None
        if kept is None:
            raise SourceUnusable(f"{database}: is missing or damaged, and no migration kept a snapshot of it")
        return kept[0]


def _expect(server: str) -> None:
    found = latency.ask()
    if found != server:
        raise Unreachable(f"port 8099 is answered by {'mcpd' if found == 'mcpd' else 'the old system'}")
