"""The switch itself: systemd starts one target, which stops the other, while somebody knocks at the port all along."""

from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mcpd.errors import Unreachable

MCPD, LEGACY = "mcp.target", "mcp-legacy.target"
_UNITS = ("mcpd-*", "mcp-*")
_KNOCK_EVERY_S = 0.002
_SETTLE_S = 30.0
_TIMEOUT_S = 120.0


class Knocker:
    """Connects to *port* all the time from a thread; ``outage_us`` is the longest time in which it could not."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="knocker", daemon=True)
        self.outage_us = 0
        self.is_answered = False

    def __enter__(self) -> Knocker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def wait_answered(self) -> None:
        """Wait until the port takes connections, half a minute at most."""
        until_s = time.monotonic() + _SETTLE_S
        while not self.is_answered and time.monotonic() < until_s:
            time.sleep(_KNOCK_EVERY_S)

    def _run(self) -> None:
        refused_ns: int | None = None
        while not self._stop.is_set():
            began_ns = time.monotonic_ns()
            self.is_answered = self._knock()
            if not self.is_answered and refused_ns is None:
                refused_ns = began_ns
            elif self.is_answered and refused_ns is not None:
                self.outage_us = max(self.outage_us, (time.monotonic_ns() - refused_ns) // 1000)
                refused_ns = None
            self._stop.wait(_KNOCK_EVERY_S)

    def _knock(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=1.0).close()
        except OSError:
            return False
        return True


def switch(target: str, port: int, answers: Callable[[], object], first: Callable[[], None] = lambda: None) -> int:
    """Start *target* and wait until *answers* raises no ``Unreachable`` any more; return the outage of *port* in µs.

    *first* is what may let go of the port before. Raises ``Unreachable`` when systemd refuses, or nobody answers within
    half a minute.
    """
    with Knocker(port) as knocker:
        first()
        systemctl("reset-failed", *_UNITS)  # else what failed too often a moment ago is not started
        systemctl("start", target)
        until_s = time.monotonic() + _SETTLE_S
        while True:
            try:
                answers()
                break
            except Unreachable:
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.05)
        knocker.wait_answered()
    return knocker.outage_us


def systemctl(*words: str) -> str:
    """Run systemctl; return what it printed. Raises ``Unreachable`` with what it complained of."""
    command = ["systemctl", "--quiet", *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise Unreachable(f"{' '.join(command)}: {exc}") from exc
    if done.returncode:
        raise Unreachable(f"{' '.join(command)}: {done.stderr.strip() or f'status {done.returncode}'}")
    return done.stdout


def is_active(unit: str) -> bool:
    """Say whether *unit* is active."""
    command = ["systemctl", "is-active", "--quiet", unit]
    return subprocess.run(command, check=False, timeout=_TIMEOUT_S).returncode == 0  # noqa: S603


def runs_systemd() -> bool:
    """Say whether systemd runs this machine."""
    return Path("/run/systemd/system").is_dir()


def old_serves() -> bool:
    """Say whether the old system has the ports, by the word of systemd."""
    return runs_systemd() and is_active(LEGACY)


def prefer(target: str) -> None:
    """Let *target*, and not the other one, come back after a reboot."""
    systemctl("disable", MCPD if target == LEGACY else LEGACY)
    systemctl("enable", target)
