"""The old system as units: its scripts, whose they are, its database, and the process that still holds the port."""

from __future__ import annotations

import os
import pwd
import shutil
from datetime import UTC, datetime
from pathlib import Path

from mcpd import files
from mcpd.config import Legacy
from mcpd.ctl.cutover import switching
from mcpd.errors import ConfigError, SourceUnusable, Unreachable
from mcpd.store.foreign import Foreign

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


def end_strays(legacy: Legacy, port: int) -> None:
    """End who holds *port* but is no unit, if it runs from the old system's directory; else raise ``Unreachable``."""
    import psutil

    directory = str(check(legacy).resolve())
    for connection in psutil.net_connections("tcp"):
        if connection.status != psutil.CONN_LISTEN or connection.laddr[1:2] != (port,):
            continue
        if connection.pid in (None, 1):
            continue
        process = psutil.Process(connection.pid)
        if _is_unit(process.pid):
            continue
        if not _is_from(process, directory):
            raise Unreachable(
                f"port {port} is held by {process.name()} (pid {process.pid}), which is not of {directory};"
                " stop it, then try again"
            )
        process.terminate()
        try:
            process.wait(_END_TIMEOUT_S)
        except psutil.TimeoutExpired as exc:
            raise Unreachable(f"{process.name()} (pid {process.pid}) does not end; stop it, then try again") from exc


def _is_unit(pid: int) -> bool:
    try:
        groups = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False
    return "mcp-legacy@" in groups or "mcpd-rpc.service" in groups


def _is_from(process: object, directory: str) -> bool:
    import psutil

    assert isinstance(process, psutil.Process)
    places = [process.cwd(), *(word for word in process.cmdline() if word.startswith("/"))]
    return any(os.path.commonpath([directory, os.path.realpath(place)]) == directory for place in places)


def verify(snapshot: Path, sha256: str | None) -> None:
    """Raise ``SourceUnusable`` unless *snapshot* is a whole database, and the one that was made if *sha256* tells."""
    found = Foreign(snapshot)
    try:
        found.check_integrity()
    finally:
        found.close()
    if sha256 is not None and files.sha256(snapshot) != sha256:
        raise SourceUnusable(f"{snapshot}: is not as it was made: its SHA-256 differs")


def is_sound(database: Path) -> bool:
    """Say whether the old *database* is there and whole."""
    try:
        verify(database, None)
    except SourceUnusable:
        return False
    return True


def restore(snapshot: Path, legacy: Legacy) -> Path | None:
    """Put *snapshot* in the place of the old database; return where that one went, None if there was none."""
    database = Path(legacy.database)
    staged = files.partial(database)
    shutil.copyfile(snapshot, staged)
    owner = check(legacy).stat()
    os.chown(staged, owner.st_uid, owner.st_gid)
    staged.chmod(0o644)
    files.sync(staged)
    kept = None
    if database.exists():
        kept = files.unused(database.with_name(f"{database.name}.replaced-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"))
        database.rename(kept)
    for suffix in ("-wal", "-shm", "-journal"):  # they belong to the replaced file
        beside = Path(f"{database}{suffix}")
        if beside.exists():
            beside.rename(f"{kept or database.with_name(f'{database.name}.lost')}{suffix}")
    staged.rename(database)
    files.sync(database.parent)
    return kept
