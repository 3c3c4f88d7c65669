"""mcpctl baseline, migrate report and rollback where no systemd is needed, and what they say where one is."""

from __future__ import annotations

import getpass
import json
from pathlib import Path

import pytest

from mcpd.ctl.cutover import latency, standing
from mcpd.ctl.cutover.record import Record
from mcpd.errors import Unreachable
from tests.functional.conftest import MakeDaemon
from tests.functional.test_mcpctl import answer, at, mcpctl


def test_a_server_s_latency_is_measured_and_told_from_the_other_s(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    found = latency.measure(20, 1, daemon.port)
    assert (found.server, found.requests) == ("mcpd", 20)
    assert 0 < found.p50_us <= found.p95_us <= found.max_us
    daemon.stop()
    with pytest.raises(Unreachable, match="does not answer"):
        latency.measure(1, 1, daemon.port)


def test_switches_and_reports_are_recorded(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon()
    record = Record(daemon.database)
    number = record.begin("cutover")
    record.change(number, "switched", outage_us=49_000)
    record.change(number, "watching", watch_until_us=5)
    done = mcpctl("migrate", "report", "--reason", "all is grey", *at(daemon))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"reported to the watch of switch {number}; ")
    told = mcpctl("--json", "migrate", "report", "--reason", "still grey", *at(daemon))
    assert json.loads(told.stdout) == {"cutover": number, "user": getpass.getuser(), "reason": "still grey"}
    assert record.reports(0) == 2
    record.change(number, "success")
    refused = mcpctl("--json", "migrate", "report", "--reason", "too late", *at(daemon))
    assert refused.returncode == 64
    assert json.loads(refused.stdout)["error"]["message"].startswith("no cut-over is being watched")
    assert record.reports(0) == 2
    shown = answer(mcpctl("--json", "migrate", "status", *at(daemon)))["cutovers"]
    assert [(each["state"], each["outage_us"], each["watch_until_us"]) for each in shown] == [("success", 49_000, 5)]
    assert "49 ms" in mcpctl("migrate", "status", *at(daemon)).stdout


@pytest.mark.parametrize(("state", "expected"), [("switching", "interrupted"), ("watching", "watch interrupted")])
def test_what_the_record_says_goes_on_and_nobody_does_is_interrupted(
    state: str, expected: str, make_daemon: MakeDaemon
) -> None:
    if Path("/run/systemd/system").is_dir():
        pytest.skip("a machine on which something may go on")
    daemon = make_daemon()
    record = Record(daemon.database)
    record.change(record.begin("cutover"), state, watch_until_us=5)
    [shown] = answer(mcpctl("--json", "migrate", "status", *at(daemon)))["cutovers"]
    assert shown["state"] == expected
    assert standing.ADVICE[expected] in mcpctl("migrate", "status", *at(daemon)).stdout


def test_another_switch_ends_a_watch_and_one_that_failed_does_not(make_daemon: MakeDaemon) -> None:
    record = Record(make_daemon().database)
    watched = record.begin("cutover")
    record.change(watched, "watching", watch_until_us=5)
    failed = record.begin("rollback")
    assert (found := record.settled()) is not None
    assert found.id == watched, "one that is at work took nobody's place yet"
    record.change(failed, "failed")
    assert (found := record.settled()) is not None
    assert found.id == watched
    back = record.begin("rollback")
    record.change(back, "rolled back", reason="by hand")
    record.supersede(back)
    record.supersede(back)
    assert (ended := record.get(watched)) is not None
    assert (ended.state, ended.reason) == ("superseded", f"by switch {back}")
    assert (found := record.settled()) is not None
    assert (found.id, found.reason) == (back, "by hand")
    with record.opened() as db:
        assert db.value("SELECT count(*) FROM events WHERE topic = 'cutover.superseded'") == 1


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["baseline", "--requests", "0"], 64, "expected a number from 1"),
        (["migrate", "report"], 64, "what is the matter?"),
        (["migrate", "status", "--cutover"], 64, "takes no such options"),
        (["migrate", "--reason", "x"], 64, "goes with mcpctl migrate report"),
        (["migrate", "--adopt"], 64, "--adopt goes with --cutover"),
        (["migrate", "status", "--adopt"], 64, "takes no such options"),
        (["migrate", "sessions", "--reason", "x"], 64, "takes no such options"),
        (["migrate", "--watch"], 64, "there is no cut-over to watch"),
        (["migrate", "--watch", "--foreground"], 64, "no cut-over is being watched"),
        (["migrate", "--foreground"], 64, "goes with --watch alone"),
        (["migrate", "--cutover", "--watch", "--foreground"], 64, "goes with --watch alone"),
        (["migrate", "status", "--foreground"], 64, "takes no such options"),
        (["migrate", "report", "--reason", "x"], 64, "no cut-over is being watched"),
        (["migrate", "--cutover", "--plan"], 64, "--plan does not go"),
        (["migrate", "--watch", "--from", "x"], 64, "takes no --from"),
        (["rollback", "--timezone", "UTC"], 64, "goes with --forward"),
        (["rollback", "--forward", "--reason", "x"], 64, "takes no --to and no --reason"),
    ],
)
def test_what_is_wrong_is_said(words: list[str], status: int, said: str, make_daemon: MakeDaemon) -> None:
    done = mcpctl(*words, *at(make_daemon()))
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr


def test_nothing_is_switched_where_there_is_nothing_to_switch(make_daemon: MakeDaemon) -> None:
    if Path("/run/systemd/system").is_dir():
        pytest.skip("a machine that could be switched")
    done = mcpctl("rollback", *at(make_daemon()))
    assert done.returncode in (69, 77), done.stderr
