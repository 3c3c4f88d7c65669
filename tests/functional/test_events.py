"""Events by a real daemon: streams over its restarts, mcpctl that follows, other processes that commit, maintenance."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from mcpd.store import events
from mcpd.store.database import Database
from tests.functional.conftest import MakeDaemon
from tests.functional.daemon import TIMEOUT_S, Daemon
from tests.functional.mcp import call
from tests.functional.streams import EventStream
from tests.functional.test_mcpctl import MCPCTL, at, environment, mcpctl, refused
from tests.functional.websocket import make

PATH = "/api/mcp/events"


def sse(rpc: Daemon, query: str = "", last_event_id: str | None = None) -> EventStream:
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    return EventStream(rpc, "GET", b"", headers, TIMEOUT_S, path=f"{PATH}?{query}")


def page(rpc: Daemon, query: str) -> Any:
    return rpc.request("GET", f"{PATH}?follow=false&{query}").json


def whole(rpc: Daemon) -> list[int]:
    """The numbers of all events that there are."""
    found, place, more = [], 0, True
    while more:
        answer = page(rpc, f"since={place}&limit=1000")
        found += [event["seq"] for event in answer["events"]]
        place, more = answer["next"], answer["more"]
    return found


@contextmanager
def load(rpc: Daemon) -> Iterator[None]:
    """Heartbeats from two clients, over restarts too, until the block ends."""
    stopped = threading.Event()

    def beat(name: str) -> None:
        while not stopped.is_set():
            try:
                call(rpc, "heartbeat", agent=name)
            except (OSError, KeyError, ValueError):
                time.sleep(0.01)

    threads = [threading.Thread(target=beat, args=(f"a{number}",)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def test_a_stream_has_the_form_that_browsers_read(rpc: Daemon) -> None:
    stream = sse(rpc)
    assert (stream.response.status, stream.response.headers["Content-Type"]) == (200, "text/event-stream")
    assert stream.response.headers["X-Accel-Buffering"] == "no"
    call(rpc, "heartbeat", agent="a")
    first, second, third = stream.take(3)
    assert [(event.id, event.data["topic"]) for event in (first, second, third)] == [
        ("1", "agent.new"), ("2", "agent.heartbeat"), ("3", "tool.called"),
    ]  # fmt: skip
    rpc.stop()
    assert list(stream.events()) == [], "it ends whole, without a word"
    rpc.start()


def test_who_comes_back_by_number_misses_nothing_over_restarts(rpc: Daemon) -> None:
    heard: list[int] = []
    done = threading.Event()

    def listen() -> None:
        last = None
        while not done.is_set():
            stream = sse(rpc, "" if last else "since=0", last)
            try:
                for event in stream.events():
                    heard.append(event.data["seq"])
                    last = event.id
                    if done.is_set() and heard[-1] >= end[0]:
                        return
            except (OSError, ValueError):
                pass
            finally:
                stream.close()

    end = [10**12]
    listener = threading.Thread(target=listen)
    with load(rpc):
        listener.start()
        for signal_number in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
            time.sleep(0.3)
            rpc.stop(signal_number)
            rpc.start()
    call(rpc, "heartbeat", agent="last")
    end[0] = page(rpc, "limit=1")["newest"]
    wait_until(lambda: bool(heard) and heard[-1] >= end[0], "the listener has all")
    done.set()
    call(rpc, "heartbeat", agent="end")
    listener.join(TIMEOUT_S)
    expected = [number for number in whole(rpc) if number <= heard[-1]]
    assert heard == expected


def test_what_another_process_commits_is_heard(rpc: Daemon) -> None:
    stream = sse(rpc, "topic=terminal")
    db = Database(str(rpc.database))
    with db.transaction():
        events.add(db, 1, "terminal.opened", "a", {"caller": "root", "viewer": "v"})
    db.close()
    (heard,) = stream.take(1)
    assert heard.data["data"] == {"caller": "root", "viewer": "v"}


@contextmanager
def following(rpc: Daemon, *words: str) -> Iterator[tuple[subprocess.Popen[str], list[Any]]]:
    """``mcpctl events --follow --json``, and what it has printed so far."""
    command = [*MCPCTL, *at(rpc), "events", "--follow", "--json", *words]
    process = subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/"
    )
    printed: list[Any] = []

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            printed.append(json.loads(line))  # noqa: PERF401 - as they come

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield process, printed
    finally:
        process.terminate()
        reader.join(TIMEOUT_S)
        process.communicate(timeout=TIMEOUT_S)


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not holds():
        assert time.monotonic() < deadline, f"not within {TIMEOUT_S} s: {what}"
        time.sleep(0.02)


def test_mcpctl_follows_over_restarts_without_losing_or_repeating(rpc: Daemon) -> None:
    call(rpc, "heartbeat", agent="first")
    with following(rpc, "--since", "0") as (_, printed):
        wait_until(lambda: len(printed) >= 3, "the first events are there")
        with load(rpc):
            for signal_number in (signal.SIGTERM, signal.SIGKILL):
                time.sleep(0.3)
                rpc.stop(signal_number)
                rpc.start()
        call(rpc, "heartbeat", agent="last")
        newest = page(rpc, "limit=1")["newest"]
        wait_until(lambda: printed[-1]["seq"] >= newest, "the last event is there")
    assert [event["seq"] for event in printed] == whole(rpc)


def test_mcpctl_waits_for_a_daemon_that_is_away_and_says_so(rpc: Daemon) -> None:
    call(rpc, "heartbeat", agent="a")
    with following(rpc, "--topic", "agent.new") as (process, printed):
        wait_until(lambda: len(printed) == 1, "the event is there")
        rpc.stop()
        moved = rpc.socket_path.with_name("away")
        rpc.socket_path.rename(moved)
        time.sleep(1.2)
        assert process.poll() is None
        moved.rename(rpc.socket_path)
        rpc.start()
        call(rpc, "heartbeat", agent="b")
        wait_until(lambda: len(printed) == 2, "it goes on")
        assert [event["agent"] for event in printed] == ["a", "b"]
        process.terminate()
        assert process.stderr is not None
        said = process.stderr.read()
    assert "waiting for it" in said
    assert "mcpd is there again" in said


def test_mcpctl_shows_what_happened(rpc: Daemon) -> None:
    for name in ("a", "b", "c"):
        call(rpc, "heartbeat", agent=name)
    lines = mcpctl(*at(rpc), "events", "--topic", "agent.new,tool", "--agent", "b").stdout.splitlines()
    assert [line.split()[3:5] for line in lines] == [["agent.new", "b"], ["tool.called", "b"]]
    assert lines[0].split()[0] == "4"
    found = [json.loads(line) for line in mcpctl(*at(rpc), "events", "--json", "--limit", "2").stdout.splitlines()]
    assert [event["seq"] for event in found] == [8, 9]
    assert len(mcpctl(*at(rpc), "events", "--since", "1h").stdout.splitlines()) == 9
    assert mcpctl(*at(rpc), "events", "--since", "9").stdout == ""
    ahead = mcpctl(*at(rpc), "events", "--since", "900")
    assert (ahead.returncode, ahead.stdout) == (0, "")
    assert "no event has number 900 yet, the newest is 9" in ahead.stderr


def test_mcpctl_shows_more_than_a_page_and_tells_of_a_gap(rpc: Daemon) -> None:
    db = Database(str(rpc.database))
    with db.transaction():
        for number in range(2500):
            events.add(db, number, "agent.heartbeat", "a", {})
    assert len(mcpctl(*at(rpc), "events", "--since", "0").stdout.splitlines()) == 2500
    assert len(mcpctl(*at(rpc), "events", "--since", "0", "--limit", "1700").stdout.splitlines()) == 1700
    assert len(mcpctl(*at(rpc), "events").stdout.splitlines()) == 100
    with db.transaction():
        events.remove_to(db, 2000)
    db.close()
    late = mcpctl(*at(rpc), "events", "--since", "100")
    assert len(late.stdout.splitlines()) == 500
    assert late.stderr == "mcpctl: events up to number 2000 are not kept any more\n"


def test_who_listens_is_told_that_an_older_database_was_restored(rpc: Daemon, tmp_path: Path) -> None:
    """Whatever he listens to, wherever he had come to; and no number is that of two events."""
    call(rpc, "heartbeat", agent="before")
    where = ["--directory", str(tmp_path / "backups")]
    made = json.loads(mcpctl("--json", "backup", "now", *where, *at(rpc)).stdout)["path"]
    before = page(rpc, "since=0")["newest"]
    call(rpc, "heartbeat", agent="after")
    last = page(rpc, "since=0")["newest"]
    assert last > before
    rpc.stop()
    assert mcpctl("backup", "restore", made, *at(rpc)).returncode == 0
    rpc.start()
    call(rpc, "heartbeat", agent="later")
    told = {"asked": last, "after": last}
    for place in (0, before, last - 1, last):
        answer = page(rpc, f"since={place}&topic=agent.new")
        assert (answer["reset"], answer["gap"]) == (told | {"asked": place}, None)
        agents = ["before", "later"][place >= before :]
        assert [event["agent"] for event in answer["events"]] == agents
        stream = sse(rpc, f"since={place}&topic=agent.new")
        *_, named, event = stream.take(len(agents) + 1)
        stream.close()
        assert (named.id, named.data["after"], event.data["agent"]) == (str(last), last, "later")
    assert page(rpc, f"since={last + 1}")["reset"] is None
    assert page(rpc, f"since={last}&topic=database")["events"][0]["data"]["after"] == before
    shown = mcpctl(*at(rpc), "events", "--since", str(before))
    assert f"an older database was restored: what was told up to number {last} may not hold" in shown.stderr
    with closing(make(tmp_path / "ws", rpc)) as ws, ws.client() as client:
        client.ask(type="subscribe", topics=["agent.new"], since=before)
        assert client.take() == {"type": "lagged", "from": None, "to": last, "lost": None}
        assert client.events(1)[0]["agent"] == "later"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--since", "soon"], 64, "expected an event's number, a time such as"),
        (["--since", "2026-13-01"], 64, "expected an event's number, a time such as"),
        (["--limit", "0"], 64, "expected a number of events from 1"),
        (["--limit", "x"], 64, "expected a number of events from 1"),
        (["--topic", "agent.st*"], 1, "is no pattern of topics"),
        (["--follow", "--topic", "a..b"], 1, "is no pattern of topics"),
    ],
)
def test_mcpctl_names_what_is_wrong(shared_rpc: Daemon, words: list[str], status: int, said: str) -> None:
    refused(mcpctl(*at(shared_rpc), "--json", "events", *words), status, said)


def test_other_settings_at_a_start_are_an_event(rpc: Daemon) -> None:
    rpc.config.write_text(rpc.config.read_text() + '[log]\nlevel = "warning"\n')
    rpc.restart()
    (event,) = page(rpc, "since=0&topic=config")["events"]
    assert event["data"] == {"changes": [{"key": "log.level", "before": "info", "after": "warning"}]}


def maintain(rpc: Daemon) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mcpd.daemons.maintenance", "--config", str(rpc.config)]
    return subprocess.run(
        command, env=environment(), capture_output=True, text=True, check=False, timeout=TIMEOUT_S, cwd="/"
    )


def test_maintenance_removes_while_others_write(make_daemon: MakeDaemon) -> None:
    rpc = make_daemon("[events]\nkeep_count = 1000\n")
    db = Database(str(rpc.database))
    with db.transaction():
        for _ in range(5000):
            events.add(db, time.time_ns() // 1000, "agent.heartbeat", "a", {})
        db.execute(
            "INSERT INTO claims (agent, mode, kind, target, reason, since_us, until_us)"
            " VALUES ('a', 'edit', 'path', 'p', 'r', 1, 10)"
        )
    stream = sse(rpc, "since=4900&topic=claim,maintenance,agent.heartbeat")
    with load(rpc):
        done = maintain(rpc)
        assert done.returncode == 0, done.stderr
    heard = []
    for event in stream.events():
        heard.append(event.data["topic"])
        if heard[-1] == "maintenance.finished":
            break
    assert "claim.released" in heard
    assert event.data["data"]["removed_to"] >= 4000
    assert db.value("SELECT min(seq) FROM events") > 4000
    assert db.value("SELECT count(*) FROM audit") > 0
    db.close()
    shown = json.loads(mcpctl(*at(rpc), "--json", "maintenance", "status").stdout)
    assert (shown["oldest"], shown["keep_count"]) == (event.data["data"]["removed_to"] + 1, 1000)
    assert shown["last_removal"] is not None
    again = json.loads(mcpctl(*at(rpc), "--json", "maintenance", "now").stdout)
    assert set(again["removed"]) == {"events", "claims", "calls", "sessions", "idempotent_results"}
    assert mcpctl(*at(rpc), "maintenance", "now").stdout.startswith("removed ")


def test_maintenance_that_cannot_write_says_so_and_makes_no_database(rpc: Daemon, tmp_path: Path) -> None:
    rpc.stop()
    with closing(sqlite3.connect(rpc.database)) as db:
        db.execute("DROP TABLE claims")
        db.commit()
    done = maintain(rpc)
    assert done.returncode == 75
    with closing(sqlite3.connect(rpc.database)) as db:
        alerts = db.execute("SELECT data ->> 'source' FROM events WHERE topic = 'alert.raised'").fetchall()
    assert alerts == [("maintenance",)]
    rpc.database.unlink()
    done = maintain(rpc)
    assert (done.returncode, rpc.database.exists()) == (78, False)
    assert "there is no database" in done.stderr
    refused(mcpctl(*at(rpc), "maintenance", "now"), 78, "there is no database")
    refused(mcpctl(*at(rpc), "maintenance", "status"), 75, "cannot be opened")
