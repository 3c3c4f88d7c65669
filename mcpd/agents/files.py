"""The agents of this machine, read from their files; a faulty file costs its own agent and no other.

NAME.toml describes the agent NAME; a file in /etc/mcpd/agents.d replaces the one of that name in
/usr/lib/mcpd/agents.d as a whole, and an empty one, or a link to /dev/null, takes the agent away (as systemd.unit(5)
has it). The format is in mcpd-agents(5). systemd's generator reads the files this way at boot, so the imports are few.
"""

from __future__ import annotations

import difflib
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcpd.agents import names
from mcpd.agents.agent import Agent, Limits, default_workdir
from mcpd.agents.keys import KEYS, LIMITS, Key
from mcpd.agents.machine import Machine
from mcpd.errors import ConfigError

SHIPPED = Path("/usr/lib/mcpd/agents.d")
ADMIN = Path("/etc/mcpd/agents.d")
DIRECTORIES = (SHIPPED, ADMIN)
MAX_FILE_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Fault:
    """Why the agent that *file* describes is left out."""

    file: Path
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.message}"


@dataclass(frozen=True, slots=True)
class Agents:
    """The *agents* that can run, by name, the *faults* of those that cannot, and the names that are *masked*."""

    agents: Mapping[str, Agent]
    faults: Sequence[Fault]
    masked: frozenset[str]

    def find(self, text: str) -> Agent:
        """Return the agent that *text* means (a name or a display name).

        Raises ``ConfigError`` if it is left out for a fault, ``AgentNotFound`` if there is none.
        """
        for candidate in (text, names.normalise(text)):
            faults = [fault for fault in self.faults if fault.file.stem == candidate]
            if faults and candidate not in self.agents:
                raise ConfigError("; ".join(map(str, faults)))
        return self.agents[names.find(text, self.agents)]


def load(directories: Sequence[Path] | None = None, machine: Machine | None = None) -> Agents:
    """Read *directories* (those of the system), later ones overriding, and judge the agents by *machine* (this one)."""
    machine = machine or Machine.here()
    agents: dict[str, Agent] = {}
    faults: list[Fault] = []
    masked: set[str] = set()
    ports = machine.ports.reserved()
    for path in _files(DIRECTORIES if directories is None else directories):
        try:
            agent = read(path)
        except ConfigError as error:
            faults += [Fault(path, line) for line in error.message.split("\n")]
            continue
        if agent is None:
            masked.add(path.stem)
            continue
        found = [*_port_faults(agent, ports), *machine.faults(agent)]
        faults += [Fault(path, message) for message in found]
        if not found:
            agents[agent.name] = agent
            ports[agent.port] = f"{agent.name}'s"
    return Agents(dict(sorted(agents.items())), sorted(faults, key=str), frozenset(masked))


def read(path: Path) -> Agent | None:
    """Return the agent that the file *path* describes, None if it is masked; ``ConfigError`` has a fault per line."""
    content = _content(path)
    return parse(path, content) if content else None


def parse(path: Path, content: bytes) -> Agent:
    """Return the agent that *content* describes if it is in *path*; raises as ``read``."""
    if not names.is_name(path.stem):
        raise ConfigError(f"{path.stem!r} is no name for an agent; expected {names.RULE}")
    try:
        document = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ConfigError(f"is not valid TOML: {_one_line(exc)}") from exc
    return _agent(path, document)


def _files(directories: Sequence[Path]) -> list[Path]:
    """The file of each agent; those of the first directory come first, so that a newcomer does not take their port."""
    found: dict[str, tuple[int, Path]] = {}
    for rank, directory in enumerate(directories):
        found |= {path.stem: (rank, path) for path in directory.glob("*.toml")}
    return [path for _, path in sorted(found.values())]


def _content(path: Path) -> bytes:
    try:
        status = path.stat()
        if path.resolve() == Path("/dev/null"):
            return b""
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError("is not a file")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"cannot be read: {exc.strerror}") from exc
    if len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"is larger than {MAX_FILE_BYTES} bytes")
    return content


def _agent(path: Path, document: dict[str, Any]) -> Agent:
    faults = list(_key_faults(document, KEYS, ""))
    limits = document.get("limits", {})
    if isinstance(limits, dict):
        faults += _key_faults(limits, LIMITS, "limits.")
    if "port" not in document:
        faults.append("key 'port' is missing")
    if faults:
        raise ConfigError("\n".join(faults))
    name = path.stem
    defaults = {"title": name.replace("-", " ").title(), "workdir": default_workdir(name)}
    values = defaults | document | {"limits": Limits(**limits)}
    return Agent(name=name, source=path, **values)


def _key_faults(values: Mapping[str, Any], keys: Mapping[str, Key], prefix: str) -> Iterator[str]:
    for name, value in values.items():
        key = keys.get(name)
        if key is None:
            near = difflib.get_close_matches(name, keys, n=1)
            hint = f"did you mean '{prefix}{near[0]}'?" if near else "mcpd-agents(5) lists the keys"
            yield f"unknown key '{prefix}{_one_line(name)}'; {hint}"
        elif not key.fits(value):
            yield f"key '{prefix}{name}': expected {key.expected}, got {_short(value)}"


def _port_faults(agent: Agent, taken: Mapping[int, str]) -> Iterator[str]:
    if agent.port in taken:
        yield f"port {agent.port} is {taken[agent.port]}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _one_line(value: object) -> str:
    """Return *value* as words that a log shows and does not obey."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(str(value).split()))
