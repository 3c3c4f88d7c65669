"""systemd's side of a daemon: sockets by name, notifications, the watchdog, structured journal messages.

sd_listen_fds(3) and the journal come from python-systemd, sd_notify(3) from sdnotify. Outside systemd everything here
still works: no sockets, notifications go nowhere, log lines go to stderr.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import subprocess
import sys
from collections.abc import Sequence

import sdnotify
from systemd import daemon, journal

LOGGER_NAME = "mcpd"
ALERT = 1
"""syslog(3)'s priority of what somebody must act on at once."""

_MAX_FDS = 200  # in one message; the kernel takes 253
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def listen_sockets() -> list[tuple[str, socket.socket]]:
    """Take over the sockets that systemd passed, as (name, socket); the environment is cleared for our children."""
    return [(name, socket.socket(fileno=fd)) for name, fd in listen_descriptors()]


def listen_descriptors() -> list[tuple[str, int]]:
    """Take over the descriptors that systemd passed, which need not be sockets, as (name, descriptor)."""
    if not os.environ.get("LISTEN_FDS", "0").strip("0"):
        return []
    names: dict[int, str] = daemon.listen_fds_with_names(unset_environment=True)
    return [(name, fd) for fd, name in names.items()]


class Notifier:
    """Tell the service manager how the daemon fares (sd_notify(3)); silent where no manager asked."""

    def __init__(self) -> None:
        self._notifier = sdnotify.SystemdNotifier()

    def ready(self, status: str) -> None:
        self._notifier.notify(f"READY=1\nSTATUS={status}")

    def status(self, status: str) -> None:
        self._notifier.notify(f"STATUS={status}")

    def stopping(self) -> None:
        self._notifier.notify("STOPPING=1")

    def alive(self) -> None:
        self._notifier.notify("WATCHDOG=1")

    def can_store(self) -> bool:
        """Say whether the manager keeps descriptors for us (FileDescriptorStoreMax= is set; systemd 254 and newer)."""
        return os.environ.get("FDSTORE", "0") != "0"

    def store_socket(self, name: str, sock: socket.socket) -> None:
        """Put *sock* into the manager's file-descriptor store; it stays open and reaches the next start as *name*."""
        daemon.notify(f"FDSTORE=1\nFDNAME={name}", fds=[sock.fileno()])

    def store(self, name: str, fds: Sequence[int]) -> None:
        """Put the descriptors *fds* into the manager's store, all under *name*, even where nobody has the other end."""
        for start in range(0, len(fds), _MAX_FDS):
            daemon.notify(f"FDSTORE=1\nFDPOLL=0\nFDNAME={name}", fds=list(fds[start : start + _MAX_FDS]))

    def barrier(self, timeout_s: float) -> bool:
        """Wait until the manager has taken all that it was told (sd_notify_barrier(3)); False if it has not by then."""
        reader, writer = os.pipe()
        try:
            daemon.notify("BARRIER=1", fds=[writer])
            os.close(writer)
            poll = select.poll()
            poll.register(reader, 0)
            return bool(poll.poll(timeout_s * 1000))
        finally:
            os.close(reader)

    def forget_sockets(self, name: str) -> None:
        """Have the manager close what it stores under *name*; our own copies stay open."""
        self._notifier.notify(f"FDSTOREREMOVE=1\nFDNAME={name}")


def job_of(unit: str, timeout_s: float) -> str | None:
    """Return what the manager is doing to *unit*, such as stop or restart; None for nothing, or if it does not say."""
    command = ["systemctl", "--no-pager", "--plain", "--no-legend", "list-jobs", unit]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=timeout_s)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    jobs = [line.split() for line in done.stdout.splitlines()]
    return next((job[2] for job in jobs if len(job) > 2 and job[1] == unit), None)


def watchdog_interval_s() -> float | None:
    """How often to ping, half of what the unit's WatchdogSec= allows; None where no watchdog is set."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    usec = int(os.environ.get("WATCHDOG_USEC", "0"))
    return usec / 2e6 if usec else None


class _StderrFormatter(logging.Formatter):
    """``<6>message KEY=value``: the prefixes of sd-daemon(3), so that a plain stderr still carries the priority."""

    def format(self, record: logging.LogRecord) -> str:
        fields = [f"{key}={value}" for key, value in vars(record).items() if key.startswith("MCPD_")]
        text = f"<{_PRIORITIES[record.levelno]}>{' '.join([record.getMessage(), *fields])}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def last_words(message: str, priority: int = _PRIORITIES[logging.ERROR]) -> None:
    """Say why the program ends, as an error or with another *priority* of syslog(3), on stderr.

    journald knows the unit behind that stream even when the program is gone; of a datagram it finds out too late.
    """
    sys.stderr.write(f"<{priority}>{message}\n")
    sys.stderr.flush()


def logger(level: str, arguments: Sequence[str] = sys.argv) -> logging.Logger:
    """Return the daemon's logger: to the journal with fields when stderr is the journal's, else to stderr.

    A call's ``extra={"MCPD_…": …}`` becomes journal fields.
    """
    log = logging.getLogger(LOGGER_NAME)
    handler: logging.Handler
    if "JOURNAL_STREAM" in os.environ:
        handler = journal.JournalHandler(SYSLOG_IDENTIFIER=os.path.basename(arguments[0]))  # noqa: PTH119
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(_StderrFormatter())
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(level.upper())
    return log
