"""The hour after a cut-over: look, judge, tell, and go back where the configuration says so."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mcpd.ctl import client, health
from mcpd.ctl.cutover import criteria, latency
from mcpd.ctl.cutover.criteria import Look
from mcpd.ctl.cutover.flow import Flow
from mcpd.ctl.cutover.record import ALERT, now_us
from mcpd.ctl.cutover.trail import Trail
from mcpd.errors import Error, Unreachable

_REQUESTS = 20  # of each look, for the p95
_JOURNAL = ("--unit=mcpd-*", "--unit=mcp-terminal@*", "--unit=mcp-ttyd@*")
_TIMEOUT_S = 30.0


def watch(flow: Flow, number: int, until_us: int, files: Sequence[Path] | None) -> str:
    """Watch the switch *number* until then; return how it ended: "success", "unfulfilled" or "rolled back".

    *files* are those of ``--config``. Raises as ``Flow.to_old`` does.
    """
    settings = flow.settings.cutover
    flow.record.change(number, "watching", watch_until_us=until_us)
    noted = Trail(flow.record, flow.record.get(number), flow.say)
    baseline, started_us = flow.record.baseline(), now_us()
    looks: list[Mapping[str, str]] = []
    while True:
        look = _look(flow, started_us, files)
        wrong = criteria.judge(look, baseline.p95_us if baseline else None, settings)
        _tell(flow, number, wrong, looks[-1] if looks else {})
        looks = [*looks, wrong][-criteria.SLOW_LOOKS :]
        if reason := criteria.decide(looks, settings):
            return _roll_back(flow, noted, reason)
        if now_us() >= until_us:
            return _end(flow, number, wrong)
        time.sleep(min(settings.interval_s, max(0.0, (until_us - now_us()) / 1e6)))


def _look(flow: Flow, since_us: int, files: Sequence[Path] | None) -> Look:
    try:
        p95_us: int | None = latency.measure(_REQUESTS, now_us(), flow.port).p95_us
    except Unreachable:
        p95_us = None
    try:
        reports = flow.record.reports(since_us)
    except Error:  # the checks say what is the matter with the database
        reports = 0
    return Look(tuple(health.checks(client.DEFAULT_URL, files)), p95_us, _errors(since_us), reports)


def _errors(since_us: int) -> tuple[str, ...]:
    """Return what mcpd's units logged as errors since then."""
    command = ["journalctl", "--quiet", "--priority=err", f"--since=@{since_us / 1e6:.6f}", "--output=json", *_JOURNAL]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Unreachable(f"journalctl: {exc}") from exc
    return criteria.errors(map(json.loads, done.stdout.splitlines()))


def _tell(flow: Flow, number: int, wrong: Mapping[str, str], before: Mapping[str, str]) -> None:
    for name, detail in wrong.items():
        if name not in before:
            flow.say(f"ALERT {name}: {detail}")
            _event(flow, number, name, detail)
    for name in before.keys() - wrong.keys():
        flow.say(f"{name}: fulfilled again")


def _event(flow: Flow, number: int, name: str, detail: str) -> None:
    try:
        flow.record.tell(ALERT, cutover=number, criterion=name, detail=detail)
    except Error as error:  # a damaged database takes no event, and is why
        flow.say(f"no event was written: {error.message}")


def _roll_back(flow: Flow, noted: Trail, reason: str) -> str:
    flow.say(f"rolling back: {reason}")
    flow.to_old(None, reason, may_return=not reason.startswith("corruption"))
    noted.change("rolled back", finished_us=now_us(), reason=reason)
    flow.say("ROLLED BACK")
    return "rolled back"


def _end(flow: Flow, number: int, wrong: Mapping[str, str]) -> str:
    state = "unfulfilled" if wrong else "success"
    reason = "; ".join(f"{name}: {detail}" for name, detail in wrong.items()) or None
    flow.record.change(number, state, finished_us=now_us(), reason=reason)
    flow.say("SUCCESS" if not wrong else f"not all criteria are fulfilled: {reason}; mcpctl rollback leads back")
    return state
