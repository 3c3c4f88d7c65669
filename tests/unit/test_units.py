"""systemd's own opinion of units/, and what the units promise each other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNITS = sorted(path for path in (ROOT / "units").iterdir() if path.is_file())
SERVICES = [path for path in UNITS if path.suffix == ".service"]
GUEST = str(ROOT / "packaging" / "guest")
UNIT_DIRECTORY = "usr/lib/systemd/system"


def values(unit: Path, key: str) -> list[str]:
    """Every word that *key* is given in the unit."""
    lines = re.findall(rf"^{key}=(.*)$", unit.read_text(), flags=re.MULTILINE)
    return [word for line in lines for word in line.split()]


def stage(directory: Path) -> None:
    """Lay out the files that the units need to be complete: themselves, and something executable to start."""
    shutil.copytree(ROOT / "units", directory / UNIT_DIRECTORY)
    for service in SERVICES:
        program = directory / values(service, "ExecStart")[0].lstrip("/")
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)


def verify(directory: Path) -> str:
    """What `systemd-analyze verify` of the oldest supported distribution says about the staged units."""
    if os.geteuid() != 0 and not os.environ.get("CI"):
        pytest.skip("packaging/guest, whose tree has the systemd to ask, needs root")
    layers = subprocess.run([GUEST, "base"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    units = " ".join(f"/{UNIT_DIRECTORY}/{unit.name}" for unit in UNITS)
    command = [GUEST, "chroot", layers, "sh", "-c", f"cp -a /stage/. / && systemd-analyze verify --man=no {units}"]
    environment = os.environ | {"CHROOT_BIND": f"{directory}:/stage"}
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


@pytest.mark.parametrize("service", SERVICES, ids=lambda path: path.name)
def test_a_service_has_the_name_that_the_sandbox_applies_to_and_starts_the_program_of_that_name(service: Path) -> None:
    """units/mcpd-.service.d hardens every mcpd-*.service; a service of another name would run without it."""
    assert (ROOT / "units" / "mcpd-.service.d" / "10-sandbox.conf").exists()
    assert service.name.startswith("mcpd-")
    assert values(service, "ExecStart") == [f"/usr/bin/{service.stem}"]
    assert values(service, "User") == ["mcpd"]


@pytest.mark.parametrize("unit", [u for u in UNITS if u.suffix != ".target"], ids=lambda path: path.name)
def test_a_unit_stops_with_the_target(unit: Path) -> None:
    assert values(unit, "PartOf") == ["mcp.target"]


def test_the_target_starts_every_socket_and_a_failed_start_closes_every_socket() -> None:
    sockets = {unit.name for unit in UNITS if unit.suffix == ".socket"}
    assert sockets <= set(values(ROOT / "units" / "mcp.target", "Wants"))
    assert sockets == set(values(ROOT / "units" / "mcpd-refuse.target", "Conflicts"))
    for service in SERVICES:
        assert values(service, "OnFailure") == ["mcpd-refuse.target"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_a_unit_is_short_and_its_sections_are_in_order(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    assert len(lines) <= 35
    sections = [line for line in lines if line.startswith("[")]
    assert sections == [s for s in ("[Unit]", "[Socket]", "[Service]", "[Install]") if s in sections]
