"""What ``mcpctl migrate --cutover`` and ``mcpctl rollback`` share: the job, what is said meanwhile, the result."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mcpd.agents import files as agent_files
from mcpd.config import Config
from mcpd.ctl import output
from mcpd.ctl.cutover import following, order, sessions, standing, watch
from mcpd.ctl.cutover.adopting import Adopter, Outcome
from mcpd.ctl.cutover.flow import Flow
from mcpd.ctl.cutover.record import REPORT, Record, now_us
from mcpd.ctl.cutover.trail import Trail
from mcpd.errors import EX_DATAERR, EX_REFUSED, Error, UsageError
from mcpd.legacy import migration, preflight
from mcpd.legacy.migration import Job
from mcpd.store.cutovers import Cutover


def flow(settings: Config, *, as_json: bool) -> Flow:
    """Return what a switch needs; what is done is said on stdout, unless JSON is to stand there."""

    def say(text: str) -> None:
        with suppress(Error, OSError):  # a switch must not stop in the middle because nobody reads on
            _write(text)

    return Flow(settings, Record(Path(settings.database.path).absolute()), (lambda _: None) if as_json else say)


def cut_over(
    settings: Config, job: Job, watch_s: float | None, files: Sequence[Path] | None, *, adopt: bool, as_json: bool
) -> int:
    """Switch to mcpd, deal with the old sessions and, for *watch_s*, watch; return the exit status."""
    found = flow(settings, as_json=as_json)
    with following.undisturbed():
        switch = _to_mcpd("cutover", job, found)
        deal(found, switch.id, adopt=adopt)
        if watch_s is not None:
            watched = _begin_watch(found, switch, watch_s, files)
    if watch_s is None:
        _print(found, as_json=as_json)
        return _status(switch)
    return _follow(found, watched, as_json=as_json) or _status(switch)


def deal(found: Flow, number: int | None, *, adopt: bool) -> list[Outcome]:
    """Adopt those of the old system's sessions that can be, if told; note and return what became of each."""
    adopter = Adopter(agent_files.load(), found.record.path)
    outcomes = adopter.deal(sessions.everywhere(), adopt=adopt, say=found.say)
    found.record.keep_sessions(number, outcomes)
    if any(outcome.commands for outcome in outcomes):
        found.say("mcpctl migrate sessions says how to move and end them")
    return outcomes


def show_sessions(settings: Config, *, adopt: bool, as_json: bool) -> None:
    """Print the old system's sessions and how to move them; adopt those that can be, if told."""
    found = flow(settings, as_json=True)
    adopter = Adopter(agent_files.load(), found.record.path)
    if adopt:
        found.lead_sessions(str(found.record.path))
    outcomes = deal(found, None, adopt=True) if adopt else adopter.look(sessions.everywhere())
    if as_json:
        output.print_json([outcome.as_json() for outcome in outcomes])
        return
    rows = [
        (
            each.session.name,
            each.session.user,
            each.agent,
            each.session.program,
            each.session.cwd,
            each.outcome,
            each.why,
        )
        for each in outcomes
    ]
    columns = ("session", "user", "agent", "program", "directory", "outcome", "why")
    output.print_tables(output.table("", columns, rows, "no session of the old system is there"))
    for each in outcomes:
        output.write(f"\n{output.visible(each.session.name)}:\n")
        said = [*each.notes, *([f"its screen is kept in {each.saved}"] if each.saved else []), *each.commands]
        output.write("".join(f"    {output.visible(line)}\n" for line in said))


def resume(settings: Config, files: Sequence[Path] | None, *, as_json: bool) -> int:
    """Follow the watch of the last switch, which begins or goes on if it does not run; return the exit status."""
    found = flow(settings, as_json=as_json)
    last = found.record.settled()
    if last is None or last.direction == "rollback" or last.state not in ("switched", "watching"):
        raise UsageError("there is no cut-over to watch; mcpctl migrate --cutover --watch")
    if last.state == "switched":
        last = _begin_watch(found, last, settings.cutover.watch_s, files)
    elif not standing.is_watching():
        following.start(found.record.path, last, files)
    return _follow(found, last, as_json=as_json)


def watch_here(settings: Config, files: Sequence[Path] | None, *, as_json: bool) -> int:
    """Go on with the watch that is recorded, in this process, as its unit does; return the exit status."""
    found = flow(settings, as_json=as_json)
    try:
        last = found.record.settled()
    except Error:  # a damaged database is what is to be watched for
        last = order.load(found.record.path)
        if last is None:
            raise
    if last is None or last.state != "watching":
        following.end(found.record.path)
        raise UsageError("no cut-over is being watched; mcpctl migrate --watch")
    state = watch.watch(found, last, files)
    following.end(found.record.path)
    _print(found, last.id, as_json=as_json)
    return 0 if state == "success" else EX_REFUSED


def report(settings: Config, user: str, reason: str, *, as_json: bool) -> None:
    """Note that *user* reports trouble, for the watch to take into account; raises ``UsageError`` without one."""
    record = flow(settings, as_json=as_json).record
    last = record.settled()
    if last is None or last.state != "watching":
        raise UsageError("no cut-over is being watched; mcpctl rollback leads back to the old system")
    record.tell(REPORT, user=user, reason=reason)
    if not standing.is_watching():
        output.warn("the watch is interrupted; mcpctl migrate --watch goes on with it")
    if as_json:
        output.print_json({"cutover": last.id, "user": user, "reason": reason})
    else:
        _write(f"reported to the watch of switch {last.id}; it follows what cutover.report of the configuration says")


def _begin_watch(found: Flow, switch: Cutover, watch_s: float, files: Sequence[Path] | None) -> Cutover:
    """Have *switch* watched; return it as it is noted."""
    noted = Trail(found.record, switch, found.say)
    noted.change("watching", watch_until_us=now_us() + round(watch_s * 1e6))
    following.start(found.record.path, noted.switch, files)
    return noted.switch


def _follow(found: Flow, watched: Cutover, *, as_json: bool) -> int:
    """Show what the watch of *watched* says until it ends; return the exit status."""
    since_us = (watched.watch_until_us or now_us()) - round(found.settings.cutover.watch_s * 1e6)
    following.follow(since_us, (lambda _: None) if as_json else _write)
    try:
        ended = found.record.get(watched.id)
    except Error as error:  # a damaged database, which the watch has told of
        if as_json:
            raise
        output.warn(error.message)
        return EX_REFUSED
    if ended is not None and ended.state == "watching":
        output.warn("the watch was interrupted; mcpctl migrate --watch goes on with it")
    _print(found, watched.id, as_json=as_json)
    return 0 if ended is not None and ended.state == "success" else EX_REFUSED


def back(settings: Config, to: Path | None, reason: str | None, *, as_json: bool) -> None:
    """Switch to the old system."""
    found = flow(settings, as_json=as_json)
    with following.undisturbed():
        _supersede(found, found.to_old(to, reason))
    _print(found, as_json=as_json)


def forward(settings: Config, timezone: str | None, *, as_json: bool) -> int:
    """Switch to mcpd again, with the rows that the old system wrote meanwhile; return the exit status."""
    from mcpd.ctl.migrate import job

    found = flow(settings, as_json=as_json)
    wanted = job((Path(settings.legacy.database),), found.record.path, timezone)
    with following.undisturbed():
        switch = _to_mcpd("forward", wanted, found)
    _print(found, as_json=as_json)
    return _status(switch)


def _to_mcpd(direction: str, job: Job, found: Flow) -> Cutover:
    """Find out what can be before anything changes, then switch."""

    def migrate() -> None:
        report = migration.run(job, lambda *_: None)
        rows = sum(table.new.rows for source in report.sources for table in source.tables)
        found.say(f"migrated and verified: {rows} new rows; local times are those of {job.timezone}")

    plan = preflight.plan(job)
    for line in plan.described():
        found.say(line)
    plan.check_room()
    switch = found.to_mcpd(direction, migrate)
    _supersede(found, switch)
    return switch


def _status(switch: Cutover) -> int:
    """Return the exit status of a *switch* to mcpd, which has a reason only if something was left undone."""
    return EX_DATAERR if switch.reason else 0


def _supersede(found: Flow, switch: Cutover) -> None:
    """End the watch that went on before *switch*; where that cannot be recorded, the watch sees it too."""
    try:
        found.record.supersede(switch.id)
    except Error as error:
        found.say(f"a watch that went on is not ended in the record: {error.message}")


def _print(found: Flow, number: int | None = None, *, as_json: bool) -> None:
    """Print the switch *number*, or the last, if JSON is wanted."""
    if not as_json:
        return
    shown = found.record.newest() if number is None else found.record.get(number)
    if shown is not None:
        output.print_json({**dataclasses.asdict(shown), "sessions": json.loads(shown.sessions or "[]")})


def _write(text: str) -> None:
    output.write(f"{output.visible(text)}\n")
