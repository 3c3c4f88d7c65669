"""The small parts: recordings, accounts, pages, kept relays, and what mcpctl makes of the daemon's answers."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from pathlib import Path

from mcpd.ctl import top, waiting
from mcpd.daemons import relay
from mcpd.daemons.recorder import Recorder
from mcpd.store import terminals
from mcpd.store.database import Database
from mcpd.store.terminals import LiveState, Viewer
from mcpd.terminals import asciicast, pages
from mcpd.terminals.accounts import Usage, usage
from mcpd.terminals.asciicast import Cast, Stored
from mcpd.terminals.states import Unit
from mcpd.terminals.systemd import unit_path

DAY_US = 86_400_000_000


def test_a_cast_is_asciicast_v2_and_keeps_characters_whole() -> None:
    cast = Cast(1_000_000, "a", 80, 24)
    assert json.loads(cast.header) == {"version": 2, "width": 80, "height": 24, "timestamp": 1, "title": "a"}
    assert cast.output("é".encode()[:1], 1_500_000) == b""
    assert json.loads(cast.output("é".encode()[1:] + b"x", 2_500_000)) == [1.5, "o", "éx"]
    assert json.loads(cast.resized(100, 30, 3_000_000)) == [2.0, "r", "100x30"]


def test_recordings_go_by_age_and_the_oldest_by_size() -> None:
    files = [Stored(Path(str(day)), 10, day * DAY_US) for day in range(1, 6)]
    assert set(asciicast.expired(files, 5 * DAY_US, 100 * DAY_US, 30)) == {Path("1"), Path("2")}
    assert set(asciicast.expired(files, 5 * DAY_US, DAY_US, 1000)) == {Path("1"), Path("2"), Path("3")}
    assert asciicast.expired(files, 5 * DAY_US, 100 * DAY_US, 1000) == []


def test_a_recorder_stays_below_its_limit(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "recordings", "a", "A", 40_000, DAY_US)
    for moment in range(100):
        recorder.printed(b"x" * 1000, moment * 1000)
    recorder.close()
    files = list((tmp_path / "recordings").glob("a.*.cast"))
    assert 1 < len(files) <= 5
    assert sum(path.stat().st_size for path in files) < 55_000
    assert all(json.loads(path.read_text().splitlines()[0])["version"] == 2 for path in files)


def test_a_recorder_without_room_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("in the way")
    Recorder(tmp_path / "recordings", "a", "A", 40_000, DAY_US).printed(b"x", 1)


def test_what_a_cgroup_used(tmp_path: Path) -> None:
    folder = tmp_path / "mcp.slice" / "a.service"
    folder.mkdir(parents=True)
    (folder / "cgroup.procs").touch()
    (folder / "cpu.stat").write_text("usage_usec 1234\nuser_usec 1000\n")
    assert usage("/mcp.slice/a.service", (tmp_path,)) == Usage(cpu_us=1234)
    (folder / "memory.current").write_text("4096\n")
    (folder / "pids.current").write_text("3\n")
    (folder / "io.stat").write_text("8:0 rbytes=5 wbytes=7 rios=1\n8:16 rbytes=1 wbytes=1\n")
    assert usage("/mcp.slice/a.service", (tmp_path,)) == Usage(1234, 4096, 3, 6, 8)
    assert usage("", (tmp_path,)) == usage("/gone", (tmp_path,)) == Usage()


def test_a_page_shows_text_as_text() -> None:
    body = pages.render("a", pages.Trouble(503, "no <b>", ("run & see",)), "<script>alert(1)</script>").decode()
    assert "&lt;script&gt;" in body
    assert "<script>" not in body
    assert "run &amp; see" in body
    assert (
        "exit status 3" in pages.not_started(Unit("u.service", "failed", "exit-code", exit_status=3), "failed").reason
    )
    assert "apt install ttyd" in pages.not_started(Unit("u.service"), "assert").advice


def test_a_unit_s_path_is_escaped_as_systemd_does() -> None:
    assert unit_path("mcp-agent@a.service") == "/org/freedesktop/systemd1/unit/mcp_2dagent_40a_2eservice"


def test_kept_relays_are_paired_and_the_rest_is_closed() -> None:
    first, second, alone = socket.socket(), socket.socket(), socket.socket()
    kept = [("relay.v1.front", first), ("relay.v2.back", alone), ("relay.v1.back", second)]
    assert relay.pairs(kept) == {"v1": (first, second)}
    assert alone.fileno() == -1
    first.close()
    second.close()


def test_live_states_and_viewers_are_rows_with_their_events(db: Database) -> None:
    with db.transaction():
        terminals.save(db, LiveState("a", "absent", 1), 1)
        terminals.save(db, LiveState("a", "idle", 2, pid=7), 2)
        terminals.save(db, LiveState("a", "idle", 2, pid=7, cpu_us=5), 3)
        viewer = Viewer("v", "a", "bob", 10)
        terminals.opened(db, viewer)
        assert terminals.viewers(db) == [viewer]
        terminals.closed(db, viewer, 35)
    assert terminals.states(db) == [LiveState("a", "idle", 2, pid=7, cpu_us=5)]
    assert terminals.viewers(db) == []
    found = db.rows("SELECT topic, agent FROM events ORDER BY seq")
    assert found == [("agent.state", "a"), ("terminal.opened", "a"), ("terminal.closed", "a")]
    assert db.rows("SELECT operation, caller, duration_us FROM audit ORDER BY id") == [
        ("terminal.opened", "bob", 0),
        ("terminal.closed", "bob", 25),
    ]


def state(status: str, since: str, cpu_us: int | None = None) -> dict[str, object]:
    numbers = dict.fromkeys(("memory_bytes", "tasks", "io_read_bytes", "io_write_bytes"))
    told = {"status": status, "since": since, "last_line": "x", "port": 1, "connected": True}
    return {**told, "cpu_us": cpu_us, **numbers}


def test_who_waits_longest_is_first() -> None:
    states = {
        "a": state("waiting_for_input", "2026-01-02"),
        "b": state("idle", "2026-01-01"),
        "c": state("waiting_for_permission", "2026-01-01"),
    }
    assert [(entry["agent"], entry["for"]) for entry in waiting.queue(states)] == [("c", "permission"), ("a", "input")]


def test_shares_of_a_core() -> None:
    before = {"a": state("idle", "", 1_000_000), "b": state("idle", "", 5), "c": state("idle", "")}
    now = {name: state("idle", "", used) for name, used in {"a": 2_000_000, "b": 1, "c": 3, "d": 4}.items()}
    assert top.shares(10.0, before, 12.0, now) == {"a": 0.5}
    assert top.table(now, {"a": 0.5}, datetime.now(UTC))
    assert [top.size(value) for value in (None, 0, 999, 1000, 2_500_000)] == [None, "0 B", "999 B", "1 kB", "2 MB"]
