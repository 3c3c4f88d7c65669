"""The health check's judgement, over facts."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import pytest

from mcpd.agents import files
from mcpd.agents.machine import Machine
from mcpd.backup import proof
from mcpd.ctl import health
from mcpd.ctl.checks import agents, backups, database, legacy, ports, units
from mcpd.ctl.checks.check import Check, Outcome, failed, ok, skipped, warning
from mcpd.ctl.checks.database import Facts
from mcpd.ctl.checks.ports import Holder, Probe
from mcpd.ctl.checks.units import Unit
from mcpd.ports import DEFAULTS, Ports
from mcpd.store import schema
from mcpd.store.database import Database

GOOD = {
    unit.name: unit
    for unit in (
        Unit("mcp.target", active="active", sub="active"),
        Unit("mcpd-rpc.socket", active="active", sub="listening", ports=(8099,)),
        Unit("mcpd-rpc6.socket", active="active", sub="listening", ports=(8099,)),
        Unit("mcpd-rpc.service"),
        Unit("mcpd-ws.socket", active="active", sub="listening"),
        Unit("mcpd-ws6.socket", active="active", sub="listening"),
        Unit("mcpd-ws.service"),
        Unit("mcpd-ttyd-manager.socket", active="active", sub="listening"),
        Unit("mcpd-ttyd-control.socket", active="active", sub="listening"),
        Unit("mcpd-ttyd-manager.service"),
        Unit("mcpd-migrate.service", active="active", sub="exited"),
        Unit("mcpd-backup.timer", active="active", sub="waiting"),
        Unit("mcpd-backup.service"),
        Unit("mcpd-maintenance.timer", active="active", sub="waiting"),
        Unit("mcpd-maintenance.service"),
    )
}


def outcomes(checks: list[Check]) -> dict[str, str]:
    return {check.name: check.outcome.value for check in checks}


def test_the_state_of_a_unit_is_said_once() -> None:
    details = {check.name: check.detail for check in units.judge(GOOD)}
    assert (details["mcp.target"], details["mcpd-rpc.socket"]) == ("active", "active (listening)")


def judge_with(unit: Unit, *others: Unit) -> Check:
    """The check of *unit*, which takes its namesake's place among units that are in order."""
    judged = units.judge(GOOD | {each.name: each for each in (unit, *others)})
    return next(check for check in judged if check.name == unit.name)


def test_units_in_order_pass_and_a_daemon_may_wait_for_its_first_request() -> None:
    checks = units.judge(GOOD)
    assert outcomes(checks) == dict.fromkeys(GOOD, "ok") | {"terminals": "skipped"}
    assert next(check.detail for check in checks if check.name == "mcpd-rpc.service") == "starts with the next request"


def test_without_systemd_the_units_are_skipped() -> None:
    assert units.judge(None) == [skipped("units", "systemd is not running here")]


def test_where_no_unit_is_installed_they_are_skipped() -> None:
    absent = {name: Unit(name, load="not-found") for name in GOOD}
    assert units.judge(absent) == [skipped("units", "mcpd's package is not installed here")]
    assert not health.is_healthy(units.judge(absent | {"mcp.target": GOOD["mcp.target"]}))


@pytest.mark.parametrize(
    ("unit", "outcome", "detail", "advice"),
    [
        (Unit("mcp.target"), "failed", "is stopped", "systemctl start mcp.target"),
        (Unit("mcpd-rpc.socket"), "failed", "does not listen", "systemctl start mcp.target"),
        (Unit("mcpd-rpc6.socket", condition=False), "skipped", "its condition is not met", ""),
        (Unit("mcpd-rpc.socket", load="not-found"), "failed", "is not installed", "install"),
        (Unit("mcpd-rpc.service", load="masked"), "failed", "is masked", "systemctl status mcpd-rpc.service"),
        (Unit("mcpd-rpc.service", active="active", sub="running"), "ok", "active (running)", ""),
        (Unit("mcpd-rpc.service", active="activating", sub="auto-restart"), "warning", "auto-restart", "logs mcpd-rpc"),
        (
            Unit("mcpd-rpc.service", active="failed", result="watchdog"),
            "failed",
            "failed: watchdog",
            "mcpctl logs mcpd-rpc; then systemctl start mcp.target",
        ),
        (
            Unit("mcpd-migrate.service", active="failed", result="exit-code", status=78),
            "failed",
            "failed: exit-code (exit status 78)",
            "mcpctl logs mcpd-migrate; then systemctl start mcp.target",
        ),
        (Unit("mcpd-migrate.service"), "warning", "has not run", "systemctl start mcp.target"),
    ],
)
def test_a_unit_out_of_order_is_told_with_what_to_do(unit: Unit, outcome: str, detail: str, advice: str) -> None:
    check = judge_with(unit)
    assert check.outcome == outcome
    assert detail in check.detail
    assert advice in check.advice


def test_a_stopped_daemon_whose_socket_does_not_listen_failed() -> None:
    check = judge_with(Unit("mcpd-rpc.service"), Unit("mcpd-rpc.socket"))
    assert check.outcome is Outcome.FAILED


def test_a_unit_that_systemd_did_not_show_is_not_installed() -> None:
    checks = units.judge({name: unit for name, unit in GOOD.items() if name != "mcpd-rpc.service"})
    assert failed("mcpd-rpc.service", "is not installed", "install the package mcpd again") in checks


def test_terminals_are_judged_where_there_are_some() -> None:
    listening = Unit("mcp-terminal@testing.socket", active="active", sub="listening")
    broken = Unit("mcp-terminal@master.socket", active="failed", result="resources")
    judged = units.judge(GOOD | {unit.name: unit for unit in (listening, broken)})
    checks = outcomes(judged)
    assert checks["mcp-terminal@testing.socket"] == "ok"
    assert checks["mcp-terminal@master.socket"] == "failed"
    advice = "mcpctl logs mcp-terminal@master.socket; then systemctl restart mcpd-ttyd-manager.service"
    assert advice in {check.advice for check in judged}
    assert "terminals" not in checks


def test_what_systemctl_shows_is_read() -> None:
    shown = (
        "Id=mcpd-rpc.socket\nListen=127.0.0.1:8099 (Stream)\nListen=/run/mcpd/mcp.sock (Stream)\n"
        "LoadState=loaded\nActiveState=active\nSubState=listening\nResult=success\nConditionResult=yes\n\n"
        "ExecMainStatus=78\nResult=exit-code\nId=mcpd-migrate.service\nLoadState=loaded\nActiveState=failed\n"
        "SubState=failed\nConditionResult=no\n\n"
        "Id=mcpd-rpc6.socket\nListen=[::1]:8099 (Stream)\nListen=[::1]:53 (Datagram)\n"
    )
    found = units.parse(shown)
    assert found["mcpd-rpc.socket"] == GOOD["mcpd-rpc.socket"]
    migration = Unit("mcpd-migrate.service", "loaded", "failed", "failed", "exit-code", 78, condition=False)
    assert found["mcpd-migrate.service"] == migration
    assert found["mcpd-rpc6.socket"].ports == (8099,)
    assert units.parse("") == {}


WEB_SOCKET = Unit("mcpd-ws.socket", active="active", sub="listening", ports=(8100,))
STOPPED = dataclasses.replace(WEB_SOCKET, active="inactive")
NGINX = Holder("0.0.0.0:8100", 12, "nginx")
SOMEBODY = Holder("127.0.0.1:8100")
RPC = ok("port 8099", "answers in 2 ms")
RELISTEN = "systemctl daemon-reload && systemctl restart mcpd-rpc.socket mcpd-ws.socket"
LISTENING = {unit.name: unit for unit in (GOOD["mcpd-rpc.socket"], WEB_SOCKET)}


@pytest.mark.parametrize(
    ("unit", "holders", "expected"),
    [
        (WEB_SOCKET, [SOMEBODY], ok("port 8100", "mcpd-ws.socket listens")),
        (
            STOPPED,
            [NGINX],
            failed(
                "port 8100",
                "held by nginx (pid 12) on 0.0.0.0:8100, so mcpd-ws.socket cannot listen",
                "stop that; then systemctl start mcpd-ws.socket",
            ),
        ),
        (
            dataclasses.replace(STOPPED, name="mcp-terminal@extra.socket"),
            [NGINX],
            failed(
                "port 8100",
                "held by nginx (pid 12) on 0.0.0.0:8100, so mcp-terminal@extra.socket cannot listen",
                "stop that; then systemctl restart mcpd-ttyd-manager.service",
            ),
        ),
        (
            STOPPED,
            [],
            failed("port 8100", "nobody listens, mcpd-ws.socket is inactive", "systemctl start mcpd-ws.socket"),
        ),
        (
            WEB_SOCKET,
            [],
            failed("port 8100", "is configured, but mcpd-ws.socket does not listen there", RELISTEN),
        ),
    ],
)
def test_a_port_of_a_unit_is_judged_by_who_listens(unit: Unit, holders: list[Holder], expected: Check) -> None:
    assert ports.judge({unit.name: unit}, {8100: holders} if holders else {}, RPC, DEFAULTS) == [expected, RPC]


def test_ports_that_no_unit_has_are_not_asked_for() -> None:
    assert ports.judge(LISTENING, {8099: [SOMEBODY], 8100: [NGINX], 5173: [NGINX], 8090: [NGINX]}, RPC, DEFAULTS) == [
        RPC,
        ok("port 8100", "mcpd-ws.socket listens"),
    ]
    assert ports.judge(None, {8100: [NGINX]}, RPC, DEFAULTS) == [RPC]


@pytest.mark.parametrize("told", [False, True], ids=["before systemd was told", "before the sockets were restarted"])
def test_a_socket_that_does_not_listen_on_the_configured_port_is_told_with_what_to_do(*, told: bool) -> None:
    configured = Ports(9099, 9100)
    units = LISTENING
    if told:
        moved = dataclasses.replace(LISTENING["mcpd-rpc.socket"], ports=(9099,))
        units = LISTENING | {moved.name: moved, WEB_SOCKET.name: dataclasses.replace(WEB_SOCKET, ports=(9100,))}
    rpc = failed("port 9099", "nobody listens", "systemctl start mcp.target")
    found = {check.name: check for check in ports.judge(units, {8099: [SOMEBODY], 8100: [NGINX]}, rpc, configured)}
    for port, unit in ((9099, "mcpd-rpc.socket"), (9100, "mcpd-ws.socket")):
        what = f"is configured, but {unit} does not listen there"
        assert found[f"port {port}"] == failed(f"port {port}", what, RELISTEN)
    held = {check.name: check for check in ports.judge(LISTENING, {9100: [NGINX]}, rpc, configured)}["port 9100"]
    assert held.detail.endswith("does not listen there; held by nginx (pid 12) on 0.0.0.0:8100")


def test_a_unit_whose_condition_is_not_met_has_no_port() -> None:
    unneeded = dataclasses.replace(STOPPED, condition=False)
    assert ports.judge({unneeded.name: unneeded}, {}, RPC, DEFAULTS) == [RPC]


def test_a_holder_whom_the_kernel_hides_is_called_so() -> None:
    assert str(SOMEBODY) == "another user's process on 127.0.0.1:8100 (root may see which)"


@pytest.mark.parametrize(
    ("probe", "holders", "expected"),
    [
        (Probe(duration_ms=1.6), [NGINX], ok("port 8099", "answers in 2 ms")),
        (Probe("nobody listens", "start it"), [], failed("port 8099", "nobody listens", "start it")),
        (Probe("is unhealthy", "see the logs"), [NGINX], failed("port 8099", "is unhealthy", "see the logs")),
        (
            Probe("is not mcpd"),
            [Holder("127.0.0.1:8099", 7, "python3"), Holder("127.0.0.1:8099", 7, "python3")],
            failed(
                "port 8099",
                "is not mcpd; held by python3 (pid 7) on 127.0.0.1:8099",
                "stop that; then systemctl start mcp.target",
            ),
        ),
    ],
)
def test_the_daemons_own_port_is_judged_by_its_answer(probe: Probe, holders: list[Holder], expected: Check) -> None:
    assert ports.judge_probe("port 8099", probe, holders) == expected


@pytest.mark.parametrize(
    ("probe", "expected"),
    [
        (Probe(duration_ms=1.6), ok("port 8099", "the old system answers in 2 ms")),
        (Probe("does not answer"), failed("port 8099", "does not answer", legacy.LOGS)),
    ],
)
def test_while_the_old_system_serves_nothing_advises_to_end_it(probe: Probe, expected: Check) -> None:
    checks = legacy.judge(probe, 8099)
    assert outcomes(checks) == {"mcp-legacy.target": "warning", "units": "skipped", "port 8099": expected.outcome}
    assert checks[-1] == expected
    assert health.is_healthy(checks) is (probe.wrong is None)
    assert "mcp.target" not in "".join(check.advice for check in checks)


MIB = 1 << 20
SOUND = Facts("/db", "open", None, 4096, 0, 5000 * MIB, schema=3, newest_schema=3)


@pytest.mark.parametrize(
    ("changes", "name", "outcome"),
    [
        ({}, "database", "ok"),
        ({"damage": "row 3 missing from index"}, "integrity", "failed"),
        ({"damage": None}, "integrity", "warning"),
        ({"schema": 2}, "schema", "failed"),
        ({"schema_error": "made by somebody else"}, "schema", "failed"),
        ({"wal_bytes": 128 * MIB}, "WAL", "ok"),
        ({"wal_bytes": 128 * MIB + 1}, "WAL", "warning"),
        ({"free_bytes": 1024 * MIB}, "disk space", "ok"),
        ({"free_bytes": 1024 * MIB - 1}, "disk space", "warning"),
        ({"free_bytes": 64 * MIB - 1}, "disk space", "failed"),
    ],
)
def test_one_fault_of_the_database_shows_in_one_check(changes: dict[str, object], name: str, outcome: str) -> None:
    checks = outcomes(database.judge(dataclasses.replace(SOUND, **changes)))  # type: ignore[arg-type]
    assert checks == dict.fromkeys(("database", "integrity", "schema", "WAL", "disk space"), "ok") | {name: outcome}


@pytest.mark.parametrize(
    ("facts", "outcome", "detail"),
    [
        (Facts("/db", "denied"), Outcome.SKIPPED, "you may not read /db; root and the user mcpd may"),
        (Facts("/db", "missing", "No such file or directory"), Outcome.FAILED, "/db: No such file or directory"),
        (
            Facts("/db", "open", "the database is damaged"),
            Outcome.FAILED,
            "/db: the database is damaged",
        ),
    ],
)
def test_a_database_that_cannot_be_read_is_one_check(facts: Facts, outcome: Outcome, detail: str) -> None:
    [check] = database.judge(facts)
    assert (check.outcome, check.detail) == (outcome, detail)


def test_a_real_database_is_sound_and_looking_does_not_change_it(path: str, db: Database) -> None:
    before = db.value("PRAGMA data_version")
    facts = database.gather(path)
    assert (facts.access, facts.error, facts.damage, facts.schema_error) == ("open", None, "", None)
    assert facts.schema == facts.newest_schema == schema.migrations()[-1].version
    assert facts.size_bytes + facts.wal_bytes > 0
    assert db.value("PRAGMA data_version") == before


def test_a_damaged_page_is_found(path: str, db: Database) -> None:
    with db.transaction():
        for number in range(500):
            db.execute("INSERT INTO schema_migrations VALUES (?, ?, 0)", (1000 + number, "x" * 200))
    db.close()
    file = Path(path)
    content = bytearray(file.read_bytes())
    content[-8000:-4000] = b"\xff" * 4000
    file.write_bytes(content)
    facts = database.gather(path)
    assert facts.damage or facts.error
    assert not health.is_healthy(database.judge(facts))


@pytest.mark.parametrize(
    ("content", "detail"),
    [(b"not a database at all" * 100, "is not an SQLite file"), (None, "No such file or directory")],
)
def test_what_is_no_database_is_told(tmp_path: Path, content: bytes | None, detail: str) -> None:
    file = tmp_path / "mcp.db"
    if content is not None:
        file.write_bytes(content)
    [check] = database.judge(database.gather(str(file)))
    assert check.outcome is Outcome.FAILED
    assert detail in check.detail
    assert content is not None or not file.exists()


def test_somebody_elses_database_is_told(path: str) -> None:
    foreign = Database(path)
    foreign.execute("CREATE TABLE theirs (id INTEGER)")
    foreign.close()
    checks = {check.name: check for check in database.judge(database.gather(path))}
    assert checks["schema"].outcome is Outcome.FAILED
    assert "not made by mcpd" in checks["schema"].detail


def test_a_wrong_configuration_is_told_and_names_no_database(tmp_path: Path) -> None:
    file = tmp_path / "mcpd.toml"
    file.write_text('[database]\npth = "x"\n')
    check, settings = health.check_configuration([file])
    assert check.outcome is Outcome.FAILED
    assert "database.pth" in check.detail
    assert settings is None


def test_only_a_failed_check_makes_it_unhealthy() -> None:
    assert health.is_healthy([ok("a", ""), warning("b", "", ""), skipped("c", "")])
    assert not health.is_healthy([ok("a", ""), failed("b", "", "")])


def test_agents_with_faults_and_a_missing_tmux_are_told(tmp_path: Path) -> None:
    assert agents.judge(files.load([tmp_path], Machine(None)), None, None) == [
        skipped("agents", "this machine has none")
    ]
    (tmp_path / "good.toml").write_text("port = 9000\n")
    found = files.load([tmp_path], Machine(None))
    assert agents.judge(found, "/usr/bin/tmux", "/usr/bin/ttyd") == [
        ok("agents", "1 described, without faults"),
        ok("tmux", "/usr/bin/tmux"),
        ok("ttyd", "/usr/bin/ttyd"),
    ]
    assert [check.advice for check in agents.judge(found, None, None)[1:]] == ["apt install tmux", "apt install ttyd"]
    (tmp_path / "bad.toml").write_text("port = ")
    [fault, *_] = agents.judge(files.load([tmp_path], Machine(None)), "/usr/bin/tmux", None)
    assert (fault.name, fault.outcome) == ("agent bad", Outcome.WARNING)
    assert f"{tmp_path}/bad.toml: is not valid TOML" in fault.detail


HOUR_S = 3600.0


@pytest.mark.parametrize(
    ("facts", "database_age_s", "expected"),
    [
        (backups.Facts("/b"), 47 * HOUR_S, ok("backups", "none yet; the first is made at night")),
        (backups.Facts("/b"), 49 * HOUR_S, warning("backups", "there is none in /b", backups.NOW)),
        (backups.Facts("/b", newest=Path("/b/a"), age_s=47 * HOUR_S), 1e9,
         ok("backups", "the newest was made 47 hours ago")),
        (backups.Facts("/b", newest=Path("/b/a"), age_s=49 * HOUR_S), 1e9,
         warning("backups", "the newest was made 49 hours ago", backups.NOW)),
        (backups.Facts("/b", denied=True), 1e9,
         skipped("backups", "you may not read /b", "run as root: sudo mcpctl health")),
    ],
)  # fmt: skip
def test_backups_are_judged_by_the_newest_and_where_there_is_none_by_how_long_there_could_be(
    facts: backups.Facts, database_age_s: float, expected: Check
) -> None:
    assert backups.judge(facts, database_age_s) == expected


def test_the_newest_backup_goes_by_its_name(tmp_path: Path) -> None:
    assert backups.gather(str(tmp_path / "absent")).newest is None
    for name in ("mcp_backup_20260101T030000Z.tar.gz", "mcp_backup_20260102T030000Z.tar.gz.age", "notes"):
        (tmp_path / name).touch()
    facts = backups.gather(str(tmp_path))
    assert facts.newest == tmp_path / "mcp_backup_20260102T030000Z.tar.gz.age"
    assert facts.age_s > 300 * 24 * HOUR_S
    proof.write(facts.newest, facts.newest)
    assert backups.gather(str(tmp_path)).newest == facts.newest
    facts.newest.write_bytes(b"longer than when it was proved")
    assert backups.gather(str(tmp_path)).newest == tmp_path / "mcp_backup_20260101T030000Z.tar.gz"


def test_a_database_knows_for_how_long_it_has_been_ours(path: str, db: Database) -> None:
    assert schema.made_us(db) == 1
    assert database.gather(path).age_s == pytest.approx(time.time(), abs=60)
