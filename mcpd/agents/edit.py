"""Changes to agents' files on an operator's behalf; comments and order of what a person wrote are kept.

No daemon does this: /etc is the administrator's. A file is checked before it takes the place of the old one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import tomlkit

from mcpd.agents import files
from mcpd.agents.agent import Agent
from mcpd.agents.machine import Machine
from mcpd.errors import AgentFailed, ConfigError, Error

_PORTS = range(8101, 8200)
_LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_NULL = Path("/dev/null")


def path_of(name: str) -> Path:
    """Return the file in which an administrator describes the agent *name*."""
    return files.ADMIN / f"{name}.toml"


def compose(values: Mapping[str, Any]) -> str:
    """Return a new agent's file with *values*; tables (limits, env) come last, as TOML wants them."""
    document = tomlkit.document()
    for key, value in sorted(values.items(), key=lambda item: isinstance(item[1], dict)):
        document[key] = value
    return tomlkit.dumps(document)


def changed(text: str, values: Mapping[str, object]) -> str:
    """Return the file *text* with *values* set, within its tables too; None takes one away."""
    document = tomlkit.parse(text)
    _lay_over(document, values)
    return tomlkit.dumps(document)


def _lay_over(table: Any, values: Mapping[str, object]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping):
            _lay_over(table.setdefault(key, tomlkit.table()), value)
        elif value is None:
            table.pop(key, None)
        else:
            table[key] = value


def save(path: Path, text: str, machine: Machine | None = None) -> Agent:
    """Write *text* as the agent's file *path*, if it describes one that can run; raises ``ConfigError`` if not."""
    agent = files.parse(path, text.encode())
    faults = list((machine or Machine.here()).faults(agent))
    if faults:
        raise ConfigError("; ".join(faults))
    _replace(path, lambda new: new.write_text(text, encoding="utf-8"))
    return agent


def take_away(name: str) -> None:
    """Remove the agent's file, and hide the one that came with mcpd by a link to /dev/null."""
    path = path_of(name)
    try:
        if (files.SHIPPED / path.name).exists():
            _replace(path, lambda new: new.symlink_to(_NULL))
        else:
            path.unlink()
    except OSError as exc:
        raise _failed(path, exc) from exc


def is_masked(path: Path) -> bool:
    """Say whether *path* is there only to hide an agent."""
    try:
        return path.stat().st_size == 0
    except OSError:
        return False


def free_port(taken: Collection[int]) -> int:
    """Return a port for a terminal that is neither *taken* nor in use; raises ``AgentFailed`` if there is none."""
    for port in _PORTS:
        if port not in taken and is_free(port):
            return port
    raise AgentFailed(f"no free port from {_PORTS.start} to {_PORTS.stop - 1}; give one with --port")


def is_free(port: int) -> bool:
    """Say whether nobody listens on *port* of loopback."""
    return not any(_is_taken(family, host, port) for family, host in _LOOPBACK)


def _is_taken(family: socket.AddressFamily, host: str, port: int) -> bool:
    try:
        with socket.socket(family) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as systemd does: what is over takes no port
            sock.bind((host, port))
    except OSError as exc:
        return exc.errno == errno.EADDRINUSE
    return False


def _replace(path: Path, make: Callable[[Path], object]) -> None:
    """Have *make* write a file beside *path*, and put it there in one step."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        make(new)
        new.replace(path)
    except OSError as exc:
        with contextlib.suppress(OSError):
            new.unlink()
        raise _failed(path, exc) from exc


def _failed(path: Path, exc: OSError) -> Error:
    return AgentFailed(f"{path}: cannot be changed: {exc.strerror}")
