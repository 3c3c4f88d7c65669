"""What every daemon shares: the command line, the exit status of an error, signals, the watchdog, the sockets."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mcpd import __version__, config, files, sd
from mcpd.config import Config
from mcpd.errors import EX_TEMPFAIL, EX_USAGE, ConfigError, Error, StoreUnavailable
from mcpd.protocol.signing import KEY_BYTES

_SESSION_KEY = "session.key"
CONNECTION = "connection"
"""The name under which a stopping daemon leaves its open connections with systemd."""


class _Parser(argparse.ArgumentParser):
    """argparse, with the exit status of sysexits(3) for a wrong command line."""

    def error(self, message: str) -> NoReturn:
        self.exit(EX_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def parser(program: str, purpose: str) -> argparse.ArgumentParser:
    """Return the command line that every daemon takes."""
    result = _Parser(prog=program, description=purpose, epilog=f"See {program}(8).")
    result.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    result.add_argument(
        "--config", metavar="FILE", type=Path, action="append", help="read this file instead of the system's"
    )
    return result


def run(main: Callable[[Config], None], files: Sequence[Path] | None) -> int:
    """Load the configuration and run *main*; return the exit status and say on stderr or in the journal why."""
    try:
        settings = config.load(files)
    except ConfigError as error:
        sd.last_words(error.message)
        return error.exit_status
    sd.logger(settings.log.level)
    try:
        main(settings)
    except Error as error:
        sd.last_words(error.message)
        return EX_TEMPFAIL if isinstance(error, StoreUnavailable) else error.exit_status
    return 0


def session_key(settings: Config) -> bytes:
    """Return the key that signs what clients carry for us; made once and kept, so that sessions outlive us."""
    return files.secret(Path(settings.database.path).with_name(_SESSION_KEY), KEY_BYTES)


def bind(address: str) -> socket.socket:
    """Return a socket bound to ``HOST:PORT``, ``[HOST]:PORT`` or ``unix:PATH``; for development, else systemd binds."""
    if address.startswith("unix:"):
        path = Path(address.removeprefix("unix:"))
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path))
        return sock
    host, found, port = address.rpartition(":")
    if not found or not port.isdigit() or not host:
        raise ConfigError(f"--listen {address!r}: expected HOST:PORT, [HOST]:PORT or unix:PATH")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    sock = socket.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host.strip("[]"), int(port)))
    except (OSError, OverflowError) as exc:
        raise ConfigError(f"--listen {address}: {exc}") from exc
    return sock


@dataclass(frozen=True, slots=True)
class Sockets:
    """What a daemon starts with: sockets to ``listen`` on, and open ``connections`` that its predecessor left."""

    listen: list[socket.socket]
    connections: list[socket.socket]


def address_of(sock: socket.socket) -> str:
    """Return where *sock* listens, for a person to read."""
    name = sock.getsockname()
    if isinstance(name, str):
        return name
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


def sockets(name: str, addresses: Sequence[str]) -> Sockets:
    """Return the sockets that systemd passed under *name* or kept for us, and one for each of *addresses*."""
    passed = sd.listen_sockets()
    listen = [sock for label, sock in passed if label in (name, "unknown")] + [bind(address) for address in addresses]
    if not listen:
        raise ConfigError(f"no sockets: start {name} by its socket unit, systemd-socket-activate or with --listen")
    return Sockets(listen, [sock for label, sock in passed if label == CONNECTION])


def stop_event() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set; made before READY=1, since a stop may follow at once."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    return stopped


async def feed_watchdog(notifier: sd.Notifier, probe: Callable[[], None]) -> None:
    """Ping the watchdog from the event loop while *probe* passes; a loop or a database that hangs gets no ping."""
    interval_s = sd.watchdog_interval_s()
    if interval_s is None:
        return
    while True:
        try:
            probe()
        except StoreUnavailable as error:
            notifier.status(f"unhealthy: {error.message}")
        else:
            notifier.alive()
        await asyncio.sleep(interval_s)
