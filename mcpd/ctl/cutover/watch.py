"""The hour after a cut-over: look, judge, tell, and go back where the configuration says so.

A database that is damaged is no reason to stop watching: what cannot be recorded is only said.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mcpd.ctl import client, health
from mcpd.ctl.cutover import criteria, journal, latency, standing, switching
from mcpd.ctl.cutover.criteria import Look
from mcpd.ctl.cutover.flow import Flow
from mcpd.ctl.cutover.record import ALERT, now_us
from mcpd.ctl.cutover.trail import Trail
from mcpd.errors import Error, Unreachable
from mcpd.store.cutovers import Cutover

_REQUESTS = 20  # of each look, for the p95
_JOURNAL = ("--unit=mcpd-*", "--unit=mcp-terminal@*", "--unit=mcp-ttyd@*")
_NO_WAY_BACK = "rollback"


def watch(flow: Flow, watched: Cutover, files: Sequence[Path] | None) -> str:
    """Watch until the time that *watched* says; return how it ended: "success", "unfulfilled", "rolled back" or
    "superseded".

    *files* are those of ``--config``.
    """
    until_us = watched.watch_until_us or now_us()
    since_us = until_us - round(flow.settings.cutover.watch_s * 1e6)  # a watch that goes on began before
    try:
        baseline = flow.record.baseline()
    except Error:  # the first look says what is the matter with the database
        baseline = None
    noted = Trail(flow.record, watched, flow.say)
    watching = _Watch(flow, noted, since_us, files, baseline.p95_us if baseline else None)
    while True:
        if ended := watching.step(is_last=now_us() >= until_us):
            return ended
        left_s, interval_s = (until_us - now_us()) / 1e6, flow.settings.cutover.interval_s
        time.sleep(min(interval_s, left_s) if left_s > 0 else interval_s)


@dataclass(slots=True)
class _Watch:
    """The last *looks*, what was wrong at each, and why there is no way back if that was tried."""

    flow: Flow
    noted: Trail
    since_us: int
    files: Sequence[Path] | None
    baseline_us: int | None
    looks: list[Mapping[str, str]] = field(default_factory=list)
    no_way_back: str = ""

    def step(self, *, is_last: bool) -> str | None:
        """Look once, and do what follows; return how the watch ended, None if it goes on."""
        settings = self.flow.settings.cutover
        look = self._look()
        if standing.is_switching():  # by hand; what comes of it, a later look will see
            return None
        if successor := self._successor():
            return self._end("superseded", successor, f"superseded {successor}")
        wrong = criteria.judge(look, self.baseline_us, settings)
        self._tell(wrong)
        self.looks = [*self.looks, wrong][-criteria.SLOW_LOOKS :]
        ended = self._roll_back(reason) if (reason := criteria.decide(self.looks, settings)) else None
        if ended is not None or not is_last:
            return ended
        if not wrong:
            return self._end("success", None, "SUCCESS")
        reason = "; ".join(f"{name}: {detail}" for name, detail in wrong.items())
        said = f"not all criteria are fulfilled: {reason}; mcpctl rollback leads back"
        return self._end("unfulfilled", reason + self.no_way_back, said)

    def _look(self) -> Look:
        try:
            p95_us: int | None = latency.measure(_REQUESTS, now_us(), self.flow.port).p95_us
        except Unreachable:
            p95_us = None
        try:
            reports = self.flow.record.reports(self.since_us)
        except Error:  # the checks say what is the matter with the database
            reports = 0
        # What was logged while the machine went down for a reboot is no news.
        since = ("--boot", f"--since=@{self.since_us / 1e6:.6f}", "--priority=err")
        errors = criteria.errors(journal.entries(*since, *_JOURNAL))
        return Look(tuple(health.checks(client.DEFAULT_URL, self.files)), p95_us, errors, reports)

    def _successor(self) -> str | None:
        """Say what took the place of the switch that is watched, None if nothing did."""
        try:
            last = self.flow.record.settled()
        except Error:
            last = None
        if last is not None and last.started_us != self.noted.switch.started_us:
            return f"by switch {last.id}" if last.id else "by a switch that the database could not note"
        return "by the old system, which was started" if switching.old_serves() else None

    def _tell(self, wrong: Mapping[str, str]) -> None:
        before = self.looks[-1] if self.looks else {}
        for name, detail in wrong.items():
            if name not in before:
                self._alert(name, detail)
        for name in before.keys() - wrong.keys():
            self.flow.say(f"{name}: fulfilled again")

    def _alert(self, criterion: str, detail: str) -> None:
        self.flow.say(f"ALERT {criterion}: {detail}")
        try:
            self.flow.record.tell(ALERT, cutover=self.noted.switch.id, criterion=criterion, detail=detail)
        except Error as error:  # a damaged database takes no event, and is why
            self.flow.say(f"no event was written: {error.message}")

    def _roll_back(self, reason: str) -> str | None:
        """Go back to the old system; return how the watch ended, None if that has to be tried again."""
        self.flow.say(f"rolling back: {reason}")
        try:
            self.flow.to_old(None, reason, may_return=not reason.startswith("corruption"))
        except Error as error:
            if standing.is_switching() or switching.old_serves():  # somebody was faster
                return None
            if error.message not in self.no_way_back:
                self._alert(_NO_WAY_BACK, error.message)
            self.no_way_back = f"; there was no way back: {error.message}"
            if not isinstance(error, Unreachable):  # nothing was stopped, and somebody may be writing
                return None
            return self._end("unfulfilled", reason + self.no_way_back, "the old system could not be started")
        return self._end("rolled back", reason, "ROLLED BACK")

    def _end(self, state: str, reason: str | None, said: str) -> str:
        if self._is_recorded_as_watching():
            self.noted.change(state, finished_us=now_us(), reason=reason)
        self.flow.say(said)
        return state

    def _is_recorded_as_watching(self) -> bool:
        try:
            found = self.flow.record.get(self.noted.switch.id)
        except Error:
            return True
        return found is None or found.state == "watching"
