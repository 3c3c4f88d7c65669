"""mcpd-agents, systemd's generator (systemd.generator(7)): agents' files and ports in, drop-ins of units out.

PID 1 runs it at boot and at each daemon-reload, and waits: so it asks no service, and no mistake in a file, nor a
missing directory, stops it. What an agent must have set is decided here as text; ``main`` only writes it.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from mcpd import ports
from mcpd.agents import files
from mcpd.agents.agent import MANAGER, Agent
from mcpd.agents.machine import Machine
from mcpd.errors import ConfigError
from mcpd.ports import Ports

DROP_IN = "50-mcpd.conf"
UNITS = Path("/usr/lib/systemd/system")
WANTED_BY = ("mcp.target", MANAGER)
_IPV6 = Path("/proc/net/if_inet6")
_LOG_SOCKET = "/run/systemd/journal/dev-log"
_KMSG = Path("/dev/kmsg")
_WARNING = "<28>"  # syslog(3): LOG_DAEMON | LOG_WARNING
_UNIX_SOCKETS = {"mcpd-rpc": "/run/mcpd/mcp.sock", "mcpd-ws": "/run/mcpd/ws.sock"}
_OF_PORTS = "for the configured ports; see mcpd.toml(5)"
_LIMITS = {"memory_high": "MemoryHigh", "memory_max": "MemoryMax", "cpu_quota": "CPUQuota", "tasks_max": "TasksMax"}


def drop_ins(agents: Iterable[Agent], *, ipv6: bool) -> dict[str, str]:
    """Return the drop-ins of *agents*: path below the generator's directory → text."""
    found = {}
    for agent in agents:
        found[f"{agent.unit}.d/{DROP_IN}"] = _service(agent)
        for unit in (agent.ttyd_unit, agent.watch_unit):
            found[f"{unit}.d/{DROP_IN}"] = _sections(_of(agent), {"Service": [("User", agent.user)]})
        found[f"{agent.terminal_unit}.d/{DROP_IN}"] = _socket(agent, ipv6=ipv6)
    return found


def moved(here: Ports) -> dict[str, str]:
    """Return the drop-ins for ports that are not the default ones, as in ``drop_ins``; those are in the units.

    ``ListenStream=`` can only be emptied as a whole, so what else a unit has there comes again.
    """
    default, found = ports.DEFAULTS.by_daemon(), {}
    for name, port in here.by_daemon().items():
        if port != default[name]:
            for unit, places in ((name, (f"127.0.0.1:{port}", _UNIX_SOCKETS[name])), (f"{name}6", (f"[::1]:{port}",))):
                settings = [("ListenStream", place) for place in ("", *places)]
                found[f"{unit}.socket.d/{DROP_IN}"] = _sections(_OF_PORTS, {"Socket": settings})
    if found:
        words = [("Environment", f"{name}={value}") for name, value in here.variables().items()]
        # Behind what is the same everywhere, and before what an agent's file has.
        found["mcp-agent@.service.d/20-ports.conf"] = _sections(_OF_PORTS, {"Service": words})
    return found


def wants(agents: Iterable[Agent]) -> dict[str, Path]:
    """Return the links that have the terminals' sockets started: path → unit file.

    systemd starts no socket whose service runs. A restart of the manager that wants them starts those that are new, or
    that found their port taken before, between its stop and its start, in one transaction.
    """
    units = [agent.terminal_unit for agent in agents]
    return {f"{unit}.wants/{socket}": UNITS / "mcp-terminal@.socket" for unit in WANTED_BY for socket in units}


def environment(agent: Agent) -> dict[str, str]:
    """Return the variables of *agent* that mcp-agent@.service cannot know; the file's own come first."""
    return dict(agent.env) | {
        "AGENT_ROLE": agent.role,
        "CLAUDE_PROJECT_DIR": agent.workdir,
        "CLAUDE_HOOKS_DIR": f"{agent.workdir}/.claude-hooks",
        "MCPD_AGENT_COMMAND": agent.command,
        "MCPD_AGENT_RESTART": agent.restart,
    }


def quote(text: str) -> str:
    """Return *text* as one word of a unit's setting: quoted, escaped, and free of specifiers (systemd.syntax(7))."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped.replace("%", "%%")}"'


def _service(agent: Agent) -> str:
    workdir = agent.workdir.replace("%", "%%")
    unit = [("Description", f"Coding agent {agent.title.replace('%', '%%')}")]
    service = [("User", agent.user), ("WorkingDirectory", workdir)]
    if agent.has_own_workdir:
        service.append(("StateDirectory", f"mcp-agents/{agent.name}"))
    else:
        unit += [("RequiresMountsFor", quote(agent.workdir)), ("AssertPathIsDirectory", workdir)]
    service += [("Environment", quote(f"{name}={value}")) for name, value in environment(agent).items()]
    limits = {setting: getattr(agent.limits, key) for key, setting in _LIMITS.items()} | {"Nice": agent.limits.nice}
    service += [(setting, str(value)) for setting, value in limits.items() if value is not None]
    return _sections(_of(agent), {"Unit": unit, "Service": service})


def _socket(agent: Agent, *, ipv6: bool) -> str:
    unit = [("Description", f"Terminal of the coding agent {agent.title.replace('%', '%%')}")]
    if not agent.has_own_workdir:
        workdir = agent.workdir.replace("%", "%%")
        unit += [("RequiresMountsFor", quote(agent.workdir)), ("ConditionPathIsDirectory", workdir)]
    hosts = ("127.0.0.1", "[::1]") if ipv6 else ("127.0.0.1",)
    return _sections(_of(agent), {"Unit": unit, "Socket": [("ListenStream", f"{host}:{agent.port}") for host in hosts]})


def _of(agent: Agent) -> str:
    return f"from {agent.source}; see mcpd-agents(5)"


def _sections(reason: str, sections: Mapping[str, Iterable[tuple[str, str]]]) -> str:
    parts = [f"# made by mcpd-agents {reason}\n"]
    for name, settings in sections.items():
        parts.append(f"\n[{name}]\n")
        parts += [f"{key}={value}\n" for key, value in settings]
    return "".join(parts)


def write(found: files.Agents, directory: Path, here: Ports = ports.DEFAULTS, *, ipv6: bool) -> None:
    """Write what *found* and the ports ask for below *directory*."""
    agents = found.agents.values()
    for name, text in (drop_ins(agents, ipv6=ipv6) | moved(here)).items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for name, target in wants(agents).items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)


def main() -> None:
    """Generate into the directory that systemd names first; say what is wrong with the files, and succeed."""
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "/run/systemd/generator")
    here = _ports()
    found = files.load(machine=Machine.here(here, has_mounts=False))
    for fault in found.faults:
        _log(f"agent left out: {fault}")
    write(found, directory, here, ipv6=_IPV6.exists())


def _ports() -> Ports:
    try:
        return ports.configured()
    except (ConfigError, ImportError, OSError) as error:  # while packages are replaced, a module may be missing
        _log(f"the ports are those of the defaults: {error}")
        return ports.DEFAULTS


def _log(message: str) -> None:
    """Put *message* into the journal: by its socket, by the kernel's buffer before journald runs, else to stderr."""
    line = f"{_WARNING}mcpd-agents[{os.getpid()}]: {message}".encode(errors="replace")
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as log:
            log.sendto(line, _LOG_SOCKET)
    except OSError:
        try:
            _KMSG.write_bytes(line)
        except OSError:
            sys.stderr.write(f"{message}\n")
