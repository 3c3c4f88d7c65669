"""systemd's own opinion of units/, and what the units promise each other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcpd.agents import generator, names
from mcpd.agents.agent import Agent
from mcpd.ctl.cutover import standing

ROOT = Path(__file__).parents[2]
UNITS = sorted(path for path in (ROOT / "units").iterdir() if path.is_file())
SERVICES = [path for path in UNITS if path.suffix == ".service"]
DAEMONS = [path for path in SERVICES if path.name.startswith("mcpd-")]
LEGACY = ROOT / "units" / "mcp-legacy@.service"
THAW = ROOT / "units" / "mcp-thaw.service"
CUTOVER = ROOT / "units" / "mcp-cutover.service"
AGENTS = [path for path in SERVICES if path not in (*DAEMONS, LEGACY, CUTOVER, THAW)]
INSTANCE = Agent("docs", 9000, "Docs", workdir="/var/lib/mcp-agents/docs")
GUEST = str(ROOT / "packaging" / "guest")
UNIT_DIRECTORY = "usr/lib/systemd/system"


def values(unit: Path, key: str) -> list[str]:
    """Every word that *key* is given in the unit."""
    lines = re.findall(rf"^{key}=(.*)$", unit.read_text(), flags=re.MULTILINE)
    return [word for line in lines for word in line.split()]


def programs(service: Path) -> Iterator[str]:
    """What the unit starts."""
    for key in ("ExecStart", "ExecStartPost"):
        yield from (
            word.lstrip("+") for word in values(service, key) if word.lstrip("+").startswith(("/usr/bin", "/usr/l"))
        )


def instance(unit: Path) -> str:
    """The unit's name; of a template, that of the one agent that is staged."""
    return unit.name.replace("@.", f"@{INSTANCE.name}.")


def stage(directory: Path) -> None:
    """Lay out what the units need to be complete: themselves, an agent's drop-ins, something executable to start."""
    shutil.copytree(ROOT / "units", directory / UNIT_DIRECTORY)
    for name, text in generator.drop_ins([INSTANCE], ipv6=True).items():
        (directory / UNIT_DIRECTORY / name).parent.mkdir()
        (directory / UNIT_DIRECTORY / name).write_text(text)
    for unit in UNITS:
        if instance(unit) != unit.name:
            (directory / UNIT_DIRECTORY / instance(unit)).symlink_to(unit.name)
    for program in (directory / name.lstrip("/") for service in SERVICES for name in programs(service)):
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)


def verify(directory: Path) -> str:
    """What `systemd-analyze verify` of the oldest supported distribution says about the staged units."""
    if os.geteuid() != 0 and not os.environ.get("CI"):
        pytest.skip("packaging/guest, whose tree has the systemd to ask, needs root")
    layers = subprocess.run([GUEST, "base"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    units = " ".join(f"/{UNIT_DIRECTORY}/{instance(unit)}" for unit in UNITS)
    command = [GUEST, "chroot", layers, "sh", "-c", f"cp -a /stage/. / && systemd-analyze verify --man=no {units}"]
    # systemd-analyze asks the kernel which controllers there are.
    cgroups = next(path for path in ("/sys/fs/cgroup/unified", "/sys/fs/cgroup") if Path(path).exists())
    environment = os.environ | {"CHROOT_BIND": f"{directory}:/stage:{cgroups}:/sys/fs/cgroup"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


@pytest.mark.host
def test_systemd_has_nothing_to_say_about_the_units(tmp_path: Path) -> None:
    stage(tmp_path)
    assert verify(tmp_path) == ""


@pytest.mark.host
def test_a_misspelt_key_would_be_noticed(tmp_path: Path) -> None:
    stage(tmp_path)
    service = tmp_path / UNIT_DIRECTORY / "mcpd-rpc.service"
    service.write_text(service.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    assert "Unknown key" in verify(tmp_path)


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_names_man_pages_that_exist(unit: Path) -> None:
    pages = values(unit, "Documentation")
    assert pages, "no Documentation="
    for page in pages:
        match = re.fullmatch(r"man:(\S+)\((\d)\)", page)
        assert match, page
        assert (ROOT / "man" / f"{match[1]}.{match[2]}").exists(), page


@pytest.mark.parametrize("service", DAEMONS, ids=lambda path: path.name)
def test_a_daemon_s_unit_starts_the_program_of_its_name_as_the_user_of_daemons(service: Path) -> None:
    """units/mcpd-.service.d hardens every mcpd-*.service."""
    assert (ROOT / "units" / "mcpd-.service.d" / "10-sandbox.conf").exists()
    assert values(service, "ExecStart") == [f"/usr/bin/{service.stem}"]
    assert values(service, "User") == ["mcpd"]


@pytest.mark.parametrize("service", AGENTS, ids=lambda path: path.name)
def test_an_agent_s_unit_has_a_name_that_the_sandbox_does_not_apply_to(service: Path) -> None:
    """People's shells run there: limits, no sandbox."""
    assert re.fullmatch(r"mcp-\w+@\.service", service.name)
    assert values(service, "Slice") == (["mcp-agents.slice"] if service.stem == "mcp-agent@" else [])


@pytest.mark.parametrize(
    "unit",
    [u for u in UNITS if u.suffix not in (".target", ".slice") and u not in (CUTOVER, THAW)],
    ids=lambda path: path.name,
)
def test_a_unit_stops_with_the_target(unit: Path) -> None:
    """Agents by way of a target that a restart of mcp.target spares."""
    above = "mcp-agents.target" if unit in AGENTS else "mcp-legacy.target" if unit == LEGACY else "mcp.target"
    beside = [unit.name.replace("6.", ".")] if unit.name.endswith("6.socket") else []
    assert values(unit, "PartOf") == [above, *beside]
    if above == "mcp-agents.target":
        assert above in values(ROOT / "units" / "mcp.target", "Wants")
        assert values(ROOT / "units" / above, "StopWhenUnneeded") == ["yes"]


def test_agents_are_thawed_between_the_stops_of_the_two_targets() -> None:
    assert THAW.name in values(ROOT / "units" / "mcp.target", "Wants")
    assert values(THAW, "Wants") == ["mcp-agents.target"]
    assert values(THAW, "StopWhenUnneeded") == ["yes"]


def test_no_socket_of_the_manager_has_a_name_that_an_agent_can_have() -> None:
    """mcpd-ttyd-manager gets its agents' sockets by their names beside its own."""
    own = ("mcpd-ttyd-manager.socket", "mcpd-ttyd-control.socket")
    for unit in own:
        (name,) = values(ROOT / "units" / unit, "FileDescriptorName")
        assert not names.is_name(name), unit
    assert values(ROOT / "units" / "mcp-terminal@.socket", "FileDescriptorName") == ["%i"]


def test_the_watch_over_a_cut_over_survives_the_way_back_and_comes_with_the_target_alone() -> None:
    assert CUTOVER.name == standing.WATCH
    assert not values(CUTOVER, "PartOf")
    assert values(CUTOVER, "WantedBy") == values(CUTOVER, "After") == ["mcp.target"]
    assert CUTOVER.name not in values(ROOT / "units" / "mcp.target", "Wants")


def test_the_old_system_and_mcpd_exclude_each_other_and_wait_for_the_ports() -> None:
    with_port = [unit for unit in UNITS if unit.suffix == ".socket" and not unit.name.startswith("mcpd-ttyd-")]
    assert values(ROOT / "units" / "mcp-legacy.target", "Conflicts") == ["mcp.target"]
    assert values(LEGACY, "After") == ["mcp-legacy.target"]
    for unit in with_port:
        assert values(unit, "After") == ["mcp-legacy.target"], unit.name


def test_the_target_starts_every_socket_and_a_failed_start_closes_every_socket() -> None:
    """But the terminals' failure is not the server's: systemd closes the sockets of a service that starts too often."""
    sockets = {unit.name for unit in UNITS if unit.suffix == ".socket" and "@" not in unit.name}
    timers = {unit.name for unit in UNITS if unit.suffix == ".timer"}
    assert sockets | timers <= set(values(ROOT / "units" / "mcp.target", "Wants"))
    manager = "mcpd-ttyd-manager"
    assert sockets - {f"{manager}.socket", "mcpd-ttyd-control.socket"} == set(
        values(ROOT / "units" / "mcpd-refuse.target", "Conflicts")
    )
    spared = (manager, "mcpd-backup", "mcpd-maintenance", "mcpd-ws")
    for service in (service for service in DAEMONS if service.stem not in spared):
        assert values(service, "OnFailure") == ["mcpd-refuse.target"]


def test_a_failed_mcpd_ws_closes_its_own_sockets_only() -> None:
    assert values(ROOT / "units" / "mcpd-ws.service", "OnFailure") == ["mcpd-refuse-ws.target"]
    closed = set(values(ROOT / "units" / "mcpd-refuse-ws.target", "Conflicts"))
    assert closed == {unit.name for unit in UNITS if unit.name.startswith("mcpd-ws") and unit.suffix == ".socket"}


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_is_short_and_its_sections_are_in_order(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert len(lines) <= 45
    sections = [line for line in lines if line.startswith("[")]
    assert sections == [
        s for s in ("[Unit]", "[Socket]", "[Timer]", "[Path]", "[Service]", "[Slice]", "[Install]") if s in sections
    ]
