"""What ``mcpctl migrate --cutover`` and ``mcpctl rollback`` share: the job, what is said meanwhile, the result."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from mcpd.agents import files as agent_files
from mcpd.config import Config
from mcpd.ctl import output
from mcpd.ctl.cutover import sessions, watch
from mcpd.ctl.cutover.adopting import Adopter, Outcome
from mcpd.ctl.cutover.flow import Flow
from mcpd.ctl.cutover.record import Record, now_us
from mcpd.errors import EX_DATAERR, EX_REFUSED, UsageError
from mcpd.legacy import migration, preflight
from mcpd.legacy.migration import Job
from mcpd.store.cutovers import Cutover


def flow(settings: Config, *, as_json: bool) -> Flow:
    """Return what a switch needs; what is done is said on stdout, unless JSON is to stand there."""
    say: Callable[[str], None] = (lambda _: None) if as_json else lambda text: output.write(f"{output.visible(text)}\n")
    return Flow(settings, Record(Path(settings.database.path).absolute()), say)


def cut_over(
    settings: Config, job: Job, watch_s: float | None, files: Sequence[Path] | None, *, adopt: bool, as_json: bool
) -> int:
    """Switch to mcpd, deal with the old sessions and, for *watch_s*, watch; return the exit status."""
    found = flow(settings, as_json=as_json)
    switch = _to_mcpd("cutover", job, found)
    deal(found, switch.id, adopt=adopt)
    if watch_s is None:
        _print(found, as_json=as_json)
        return _status(switch)
    return resume(settings, switch.id, now_us() + round(watch_s * 1e6), files, as_json=as_json) or _status(switch)


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


def resume(
    settings: Config, number: int | None, until_us: int | None, files: Sequence[Path] | None, *, as_json: bool
) -> int:
    """Watch the switch *number* until then; without them, go on with the last one. Return the exit status."""
    found = flow(settings, as_json=as_json)
    if number is None:
        last = found.record.newest()
        if last is None or last.direction == "rollback" or last.state not in ("switched", "watching"):
            raise UsageError("there is no cut-over to watch; mcpctl migrate --cutover --watch")
        number = last.id
        until_us = until_us or last.watch_until_us
    state = watch.watch(found, number, until_us or now_us() + round(settings.cutover.watch_s * 1e6), files)
    _print(found, as_json=as_json)
    return 0 if state == "success" else EX_REFUSED


def back(settings: Config, to: Path | None, reason: str | None, *, as_json: bool) -> None:
    """Switch to the old system."""
    found = flow(settings, as_json=as_json)
    found.to_old(to, reason)
    _print(found, as_json=as_json)


def forward(settings: Config, timezone: str | None, *, as_json: bool) -> int:
    """Switch to mcpd again, with the rows that the old system wrote meanwhile; return the exit status."""
    from mcpd.ctl.migrate import job

    found = flow(settings, as_json=as_json)
    switch = _to_mcpd("forward", job((Path(settings.legacy.database),), found.record.path, timezone), found)
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
    return found.to_mcpd(direction, migrate)


def _status(switch: Cutover) -> int:
    """Return the exit status of a *switch* to mcpd, which has a reason only if something was left undone."""
    return EX_DATAERR if switch.reason else 0


def _print(found: Flow, *, as_json: bool) -> None:
    last = found.record.newest()
    if as_json and last is not None:
        output.print_json({**dataclasses.asdict(last), "sessions": json.loads(last.sessions or "[]")})
