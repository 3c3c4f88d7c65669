"""packaging/install: one command, on a machine with systemd and on one without."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from .machine import ROOT, Guest, script

HEALTH = "http://127.0.0.1:8099/api/mcp/health"
COPIED = ("debian", "man", "mcpd", "packaging", "units", "pyproject.toml", "README.md", "LICENSE")
MACHINE = "mcpd"


@pytest.fixture
def builder() -> Iterator[Guest]:
    """A machine as the script wants it: booted by systemd, the build dependencies at hand, the checkout copied in."""
    machine = Guest("builder")
    script("up", machine.name, "--tree", "build")
    machine.exec("mkdir", "/root/checkout")
    machine.push(*(ROOT / name for name in COPIED), to="/root/checkout/")
    machine.exec("useradd", "sudoer")
    yield machine
    script("clean", machine.name)


def test_on_debian_13_it_builds_installs_starts_and_admits_its_caller_and_can_run_again(builder: Guest) -> None:
    install = ("env", "SUDO_USER=sudoer", "/root/checkout/packaging/install")
    for _ in range(2):
        output = builder.exec(*install, timeout_s=300)
        assert "http://127.0.0.1:8099/mcp" in output
        answer = builder.call("log_activity", user="sudoer", agent="a", activity="after install", category="task")
        assert answer.body["result"]["success"] is True
    assert builder.activities() == ["after install"] * 2


def test_on_debian_13_it_says_who_holds_the_port(builder: Guest) -> None:
    builder.exec("systemd-run", "--quiet", "python3", "-m", "http.server", "--bind", "127.0.0.1", "8099")
    builder.exec("sh", "-c", "until ss -Hltn 'sport = :8099' | grep -q .; do sleep 0.05; done")
    output = builder.exec("sh", "-c", "/root/checkout/packaging/install 2>&1 && echo 'it went on' || true")
    assert "port 8099 is taken" in output
    assert "python3" in output
    assert "it went on" not in output


@pytest.fixture
def free_port() -> None:
    """The guest shares the host's network, so a mcpd on this host would be in the way."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 8099))


def interruptible(command: list[str], environment: dict[str, str]) -> subprocess.Popen[str]:
    """Start *command* with SIGINT as a terminal would leave it: a job in the background ignores it, and so would we."""
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_elsewhere_mcpd_answers_from_a_guest_until_it_is_interrupted(free_port: None, tmp_path: Path) -> None:
    command = [str(ROOT / "packaging" / "install"), "--guest"]
    environment = os.environ | {"GUEST_STATE": str(tmp_path), "MCPD_GUEST_DATA": str(tmp_path / "data")}
    with interruptible(command, environment) as process:
        assert process.stdout is not None
        output = ""
        for line in process.stdout:
            output += line
            if "Ctrl-C powers the guest off" in line:
                break
        try:
            assert "http://127.0.0.1:8099/mcp" in output
            with urllib.request.urlopen(HEALTH, timeout=30) as answer:
                assert answer.status == 200
            again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
            assert again.returncode == 0, again.stderr
            assert "updated the guest that runs already" in again.stderr
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    assert not (tmp_path / MACHINE).exists()
    assert (tmp_path / "data" / "mcp.db").exists()
    assert not list(Path("/sys/fs/cgroup").glob(f"**/guest-{MACHINE}"))
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(HEALTH, timeout=5)
