"""The old system as units: its scripts, whose they are, and the process that still holds the port."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from mcpd.config import Legacy
from mcpd.ctl.cutover import switching
from mcpd.errors import ConfigError, Unreachable

if TYPE_CHECKING:
    import psutil

DROP_IN = Path("/etc/systemd/system/mcp-legacy@.service.d/50-mcpctl.conf")
_WANTS = Path("/etc/systemd/system/mcp-legacy.target.wants")
_END_TIMEOUT_S = 10.0


def check(legacy: Legacy) -> Path:
    """Return the directory of the old system; raises ``ConfigError`` unless it and its scripts are there."""
    if not legacy.directory:
        raise ConfigError("key 'legacy.directory' is not set: there is no old system to go back to; see mcpd.toml(5)")
    directory = Path(legacy.directory)
    for path in (directory, *(directory / script for script in legacy.scripts)):
        if not path.is_absolute() or not path.exists():
            raise ConfigError(f"key 'legacy.directory': {path}: there is no such file or directory")
    if not legacy.scripts:
        raise ConfigError("key 'legacy.scripts' is empty: the old system would be nothing")
    return directory


def install(legacy: Legacy) -> None:
    """Tell systemd where the old system's scripts are, and which make it up; they run as who owns the directory."""
    directory = check(legacy)
    owner = pwd.getpwuid(directory.stat().st_uid).pw_name
    escaped = str(directory).replace("%", "%%")
    DROP_IN.parent.mkdir(exist_ok=True)
    DROP_IN.write_text(
        f"# Written by mcpctl from [legacy] of mcpd.toml.\n[Service]\nWorkingDirectory={escaped}\nUser={owner}\n"
    )
    wanted = {f"mcp-legacy@{script}.service" for script in legacy.scripts}
    for link in _WANTS.glob("mcp-legacy@*.service"):
        if link.name not in wanted:
            link.unlink()
    switching.systemctl("daemon-reload")
    switching.systemctl("enable", *sorted(wanted))


def strays(legacy: Legacy, port: int) -> list[psutil.Process]:
    """Return who holds *port* but is no unit; raises ``Unreachable`` if that is not of the old system's directory."""
    import psutil

    directory = str(check(legacy).resolve())
    found = []
    for connection in psutil.net_connections("tcp"):
        if connection.status != psutil.CONN_LISTEN or connection.laddr[1:2] != (port,):
            continue
        if connection.pid in (None, 1):
            continue
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(connection.pid)
            if _is_unit(process.pid):
                continue
            if not _is_from(process, directory):
                raise Unreachable(
                    f"port {port} is held by {process.name()} (pid {process.pid}), which is not of {directory};"
                    " stop it, then try again"
                )
            found.append(process)
    return found


def end(processes: Iterable[psutil.Process]) -> None:
    """End *processes*; raises ``Unreachable`` for one that does not."""
    import psutil

    for process in processes:
        try:
            process.terminate()
            process.wait(_END_TIMEOUT_S)
        except psutil.NoSuchProcess:
            continue
        except psutil.TimeoutExpired as exc:
            raise Unreachable(f"pid {process.pid} does not end; stop it, then try again") from exc


def _is_unit(pid: int) -> bool:
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False
    return "mcp-legacy@" in groups or "mcpd-rpc.service" in groups


def _is_from(process: psutil.Process, directory: str) -> bool:
    places = [process.cwd(), *(word for word in process.cmdline() if word.startswith("/"))]
    return any(os.path.commonpath([directory, os.path.realpath(place)]) == directory for place in places)
