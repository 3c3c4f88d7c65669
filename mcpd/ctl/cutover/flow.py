"""To mcpd and back: each way is prepared and proved before anything stops, then systemd switches the targets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mcpd import files
from mcpd.agents import files as agent_files
from mcpd.config import Config
from mcpd.ctl.cutover import adopting, latency, old, old_database, sessions, switching, trail
from mcpd.ctl.cutover.record import Record, now_us
from mcpd.ctl.cutover.trail import Trail
from mcpd.errors import AccessDenied, Error, SourceUnusable, Unreachable, UsageError
from mcpd.store.cutovers import Cutover

BASELINE_REQUESTS = 200


@dataclass(frozen=True, slots=True)
class Flow:
    """What a switch needs: the settings, the record of it, and whom to *say* what is being done."""

    settings: Config
    record: Record
    say: Callable[[str], None]

    @property
    def port(self) -> int:
        """What both systems listen on, one at a time."""
        return self.settings.server.port

    def to_mcpd(self, direction: str, migrate: Callable[[], None]) -> Cutover:
        """Switch to mcpd; return the switch. *migrate* brings the old system's rows over.

        It runs twice: for nearly all rows while the old system serves, and for the rest when that has stopped; the
        switch has a reason if that failed. When mcpd does not answer, the old system is started again and
        ``Unreachable`` raised.
        """
        with self._alone():
            self._keep_baseline()
            migrate()
            strays = old.strays(self.settings.legacy, self.port)
            noted = trail.begin(self.record, direction, self.say)
            self.say("switching to mcpd")
            try:
                outage_us = switching.switch(switching.MCPD, self.port, self._expect_mcpd, lambda: old.end(strays))
            except Unreachable as error:
                raise self._started_old_again(noted, error) from error
            complaints = [self._prefer(switching.MCPD), self._migrate_rest(migrate)]
            noted.change("switched", outage_us=outage_us, finished_us=now_us(), reason=_joined(complaints))
            self.lead_sessions(str(self.record.path))
            self.say(f"mcpd answers; port {self.port} refused callers for {outage_us / 1000:.0f} ms")
            return noted.switch

    def to_old(self, to: Path | None, reason: str | None, *, may_return: bool = True) -> Cutover:
        """Switch back to the old system; return the switch. No state of mcpd's database keeps from that.

        The old database stays, if it is there and whole: nothing of ours ever wrote to it. Otherwise, or when *to*
        names one, a snapshot takes its place. Raises ``SourceUnusable`` before anything is stopped, and ``Unreachable``
        when the old system does not answer; then mcpd is started again if it served and *may_return*.
        """
        with self._alone():
            served = self._who_answers()
            if served == "legacy":
                raise UsageError("the old system runs already; mcpctl rollback --forward leads to mcpd")
            snapshot = self._snapshot(to)
            strays = old.strays(self.settings.legacy, self.port)
            noted = trail.begin_anyway(self.record, "rollback", self.say)
            kept = None if snapshot is None else self._restore(noted, snapshot)
            self.say("switching to the old system")
            try:
                outage_us = switching.switch(switching.LEGACY, self.port, self._expect_old, lambda: old.end(strays))
            except Unreachable as error:
                raise self._stayed(noted, error, kept, may_return=may_return and served == "mcpd") from error
            complaint = self._prefer(switching.LEGACY)
            reason = _joined([reason, complaint])
            noted.change("rolled back", outage_us=outage_us, finished_us=now_us(), reason=reason)
            self.lead_sessions(self.settings.legacy.database)
            self.say(f"the old system answers; port {self.port} refused callers for {outage_us / 1000:.0f} ms")
            return noted.switch

    def lead_sessions(self, database: str) -> None:
        """Lead the old system's sessions to who has the ports now, whose *database* that is."""
        try:
            adopting.export(sessions.everywhere(), agent_files.load(), database, self.settings.ports, self.say)
        except Error as error:
            self.say(f"the sessions' environment stays: {error.message}")

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
            found = latency.measure(BASELINE_REQUESTS, now_us(), self.port)
        except Unreachable:
            self.say("no baseline: the old system does not answer")
            return
        if found.server == "legacy":
            self.record.keep_baseline(found)
            self.say(f"baseline: p95 {found.p95_us / 1000:.1f} ms")

    def _migrate_rest(self, migrate: Callable[[], None]) -> str | None:
        """Bring over what was written since the first time; return the complaint if that fails, since mcpd serves."""
        try:
            migrate()
        except Error as error:
            complaint = f"the last rows were not brought over: {error.message}"
            self.say(f"{complaint}; mcpctl migrate --from {self.settings.legacy.database} brings them")
            return complaint
        return None

    def _prefer(self, target: str) -> str | None:
        """Let *target* come back after a reboot; return the complaint if that fails, since it serves."""
        try:
            switching.prefer(target)
        except Unreachable as error:
            self.say(f"{target} may not come back after a reboot: {error.message}")
            return f"{target} may not come back after a reboot"
        return None

    def _started_old_again(self, noted: Trail, error: Unreachable) -> Unreachable:
        """Start the old system again, since mcpd does not answer; return the error to raise."""
        noted.change("failed", finished_us=now_us(), reason=error.message)
        self.say(f"{error.message}; starting the old system again")
        try:
            switching.switch(switching.LEGACY, self.port, self._expect_old)
        except Unreachable as again:
            return Unreachable(f"{error.message}; nor does the old system: {again.message}")
        self._prefer(switching.LEGACY)
        noted.change("rolled back", reason=error.message)
        return error

    def _stayed(self, noted: Trail, error: Unreachable, kept: Path | None, *, may_return: bool) -> Unreachable:
        """Start mcpd again if it *may_return*, since the old system does not answer; return the error to raise."""
        noted.change("failed", finished_us=now_us(), reason=error.message)
        message = f"{error.message}; journalctl -u 'mcp-legacy@*' says why"
        if not may_return:
            return Unreachable(f"{message}; mcpd did not serve, or is damaged, and is not started again")
        self.say(f"{error.message}; starting mcpd again")
        try:
            switching.switch(switching.MCPD, self.port, self._expect_mcpd)
        except Unreachable as again:
            return Unreachable(f"{message}; nor does mcpd answer: {again.message}")
        self._prefer(switching.MCPD)
        if kept is not None:
            old_database.take_back(kept, self.settings.legacy)
        return Unreachable(f"{message}; mcpd serves again")

    def _snapshot(self, to: Path | None) -> Path | None:
        """Return the verified snapshot to restore; None where the old database may stay."""
        if to is not None:
            old_database.verify(to, self.record.digest_of(to.absolute()))
            return to
        database = self.settings.legacy.database
        state = old_database.look(Path(database))
        kept = None if state == "whole" else self.record.snapshot_of(database)
        if kept is None:
            if state in ("damaged", "missing"):
                raise SourceUnusable(f"{database}: is {state}, and no migration kept a snapshot of it")
            self.say(f"{database}: is {state} and stays as it is")
            return None
        self.say(f"{database}: is {state}")
        old_database.verify(*kept)
        return kept[0]

    def _restore(self, noted: Trail, snapshot: Path) -> Path | None:
        """Put *snapshot* in the place of the old database; return where that is kept."""
        try:
            if switching.is_active(switching.LEGACY):  # it answers nobody, but may write
                switching.systemctl("stop", switching.LEGACY)
            kept = old_database.restore(snapshot, self.settings.legacy)
        except Error as error:
            noted.change("failed", finished_us=now_us(), reason=error.message)
            raise
        self.say(f"{self.settings.legacy.database}: restored from {snapshot}")
        if kept is not None:
            self.say(f"what was there is {kept}")
        return kept

    def _who_answers(self) -> str | None:
        try:
            return latency.ask(self.port)
        except Unreachable:
            return None

    def _expect_mcpd(self) -> None:
        if latency.ask(self.port) != "mcpd":
            raise Unreachable(f"port {self.port} is answered by the old system")

    def _expect_old(self) -> None:
        if latency.ask(self.port) != "legacy":
            raise Unreachable(f"port {self.port} is answered by mcpd")


def _joined(complaints: list[str | None]) -> str | None:
    return "; ".join(filter(None, complaints)) or None
