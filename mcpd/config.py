"""The configuration: every key once, with its type, default and meaning, and where each value came from.

Lowest to highest: the defaults below (shipped, commented, as /usr/lib/mcpd/mcpd.toml), /etc/mcpd/mcpd.toml, each
/etc/mcpd/mcpd.toml.d/*.toml by name, and the environment variables of the migration guide, read from
/etc/default/mcpd and then from the process's own environment. An unknown key or a bad value is a ``ConfigError`` that
names file, key and what was expected. What systemd decides (users, limits, schedules, sockets but for the ports of
two, of which mcpd-agents tells it) is no key here.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import tomllib
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from mcpd import envfile, ports
from mcpd.errors import ConfigError
from mcpd.ports import Ports

DEFAULTS_FILE = Path("/usr/lib/mcpd/mcpd.toml")
ADMIN_FILE, ENVIRONMENT_FILE = ports.ADMIN_FILE, ports.ENVIRONMENT_FILE
LOW_DISK_BYTES = 1 << 30
"""Free space beside the database below which a person is told."""

BACKUP_REQUEST = "backup-requested"
"""The file beside the database by which the server asks systemd for a backup (mcpd-backup.path)."""

Seconds = Annotated[float, Meta(gt=0, le=86400)]
Bytes = Annotated[int, Meta(ge=1024, le=1 << 30)]
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Rate = Annotated[int, Meta(ge=0, le=10_000_000)]
Url = Annotated[str, Meta(pattern=r"^https?://[a-z0-9.:\[\]-]+$")]
Kept = Annotated[int, Meta(ge=0, le=1000)]
Port = Annotated[int, Meta(ge=1, le=65535)]


def _key(default: Any, doc: str) -> Any:
    if isinstance(default, list):
        return field(default_factory=lambda: tuple(default), metadata={"doc": doc})
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True)
class Server:
    port: Port = _key(ports.DEFAULTS.rpc, "The TCP port of mcpd-rpc on 127.0.0.1 and ::1.")
    allowed_hosts: tuple[str, ...] = _key([], "Host names under which clients may reach mcpd, besides loopback.")
    allowed_origins: tuple[str, ...] = _key(
        ["http://localhost:5173", "http://127.0.0.1:5173"],
        "Web origins whose pages may call mcpd, besides its own.",
    )
    max_header_bytes: Bytes = _key(32768, "Size of a request's head; above it 431.")
    max_body_bytes: Bytes = _key(4194304, "Size of a request's body; above it 413.")
    max_connections: Count = _key(4096, "Open connections; above it 503.")
    header_timeout_s: Seconds = _key(10.0, "Time for a request's head to arrive; above it 408.")
    body_timeout_s: Seconds = _key(30.0, "Time for a request's body to arrive, or for a peer to take the answer.")
    idle_timeout_s: Seconds = _key(300.0, "Time that a connection may stay open without a request.")
    drain_timeout_s: Seconds = _key(2.0, "Time that a stopping daemon gives to open connections.")


@dataclass(frozen=True, slots=True)
class Websocket:
    port: Port = _key(ports.DEFAULTS.ws, "The TCP port of mcpd-ws on 127.0.0.1 and ::1.")
    max_connections: Count = _key(8000, "Open WebSocket connections; above it 503.")
    max_connections_per_caller: Count = _key(4000, "Those of one caller; above it 429.")
    max_message_bytes: Bytes = _key(4194304, "Size of a client's message; above it close code 1009.")
    handshake_timeout_s: Seconds = _key(10.0, "Time for the request to open a WebSocket to arrive; above it 408.")
    heartbeat_interval_s: Seconds = _key(30.0, "Time between two heartbeats and pings.")
    ping_timeout_s: Seconds = _key(20.0, "Time that a client may be silent after a ping before it counts as dead.")
    slow_timeout_s: Seconds = _key(300.0, "Time that a client may take nothing of what is sent.")
    max_behind: Count = _key(10000, "Events that a slow client may be behind; older ones it is told to have lost.")
    compression: bool = _key(False, "Whether clients may have messages compressed (permessage-deflate).")


@dataclass(frozen=True, slots=True)
class Database:
    path: str = _key("/var/lib/mcpd/mcp.db", "The database file.")
    durability: Literal["process", "power"] = _key(
        "process", "What an acknowledged write survives: a crash of any process, or also a power loss."
    )
    busy_timeout_s: Seconds = _key(2.0, "Time to wait for another process's write before answering 503.")
    slow_query_s: Seconds = _key(0.1, "How long a query takes to be recorded as slow.")


@dataclass(frozen=True, slots=True)
class Access:
    loopback: Literal["peer", "open"] = _key(
        "peer", "Who may call over loopback: root, mcpd, admin_group and agents by the kernel's word, or everyone."
    )
    admin_group: str = _key("mcp-admin", "The group whose members may call mcpd.")
    public_url: Url = _key(
        ports.DEFAULTS.url,
        "Where clients with tokens reach mcpd, by scheme, host and port. Unless it is set, server.port is its port.",
    )
    consent: Literal["elicitation", "administrator"] = _key(
        "elicitation", "Who allows what destroys: the person at the calling client if it can ask, or administrators."
    )


@dataclass(frozen=True, slots=True)
class Limits:
    requests_per_min: Rate = _key(1000, "Requests of one caller for one method in a minute; above it 429. 0 for any.")


@dataclass(frozen=True, slots=True)
class Log:
    level: Literal["debug", "info", "warning", "error"] = _key("info", "The least severe message that is logged.")
    requests_per_s: Count = _key(100, "Requests logged one by one; the rest of a second is summed up in one line.")


@dataclass(frozen=True, slots=True)
class Coordination:
    claim_ttl_s: Seconds = _key(14400.0, "How long work in progress counts as a claim after its last report.")
    active_window_s: Seconds = _key(300.0, "How recently an agent must have been heard of to count as active.")


@dataclass(frozen=True, slots=True)
class Resources:
    roots: tuple[str, ...] = _key([], "Project directories whose files clients may read; README.md is the first one's.")
    max_file_bytes: Bytes = _key(1048576, "Size of a file; a larger one is not served.")


@dataclass(frozen=True, slots=True)
class Tools:
    plugins: str = _key("/etc/mcpd/tools.d", "The directory whose *.py files are plug-ins, besides installed packages.")
    disabled: tuple[str, ...] = _key([], "Plug-ins that are not loaded, by name.")
    max_calls: Count = _key(256, "Calls that may be under way for longer than an instant; above it 503.")
    timeout_s: Seconds = _key(3600.0, "Time that such a call may take; a task ends at it too.")
    task_ttl_s: Annotated[float, Meta(gt=0, le=31536000)] = _key(86400.0, "How long a task and its result are kept.")


@dataclass(frozen=True, slots=True)
class Terminals:
    start_timeout_s: Seconds = _key(15.0, "Time for an agent and its ttyd to start before the browser is told why not.")
    hold_s: Seconds = _key(60.0, "Time that an open page waits for an agent that was stopped to be there again.")
    idle_stop_s: Seconds = _key(300.0, "Time that a ttyd nobody looks at goes on running.")
    sample_interval_s: Seconds = _key(5.0, "How often an agent's processor time, memory and tasks are read.")
    stalled_after_s: Seconds = _key(
        600.0, "How long an agent that works may show nothing new until it counts as stalled."
    )
    recording_max_bytes: Bytes = _key(104857600, "Size of an agent's recordings together; the oldest go first.")
    recording_max_age_days: Count = _key(14, "Age in days at which a recording goes.")


@dataclass(frozen=True, slots=True)
class Events:
    keep_days: Annotated[int, Meta(ge=1, le=36500)] = _key(30, "Age in days at which an event goes.")
    keep_count: Annotated[int, Meta(ge=1000, le=1_000_000_000)] = _key(
        1000000, "How many events are kept at most; the oldest go first."
    )


@dataclass(frozen=True, slots=True)
class Backup:
    directory: str = _key("/var/backups/mcpd", "Where the backups are.")
    keep_days: Kept = _key(7, "Of how many days the newest backup is kept.")
    keep_weeks: Kept = _key(4, "Of how many weeks the newest backup is kept.")
    keep_months: Kept = _key(6, "Of how many months the newest backup is kept.")
    keep_upgrades: Kept = _key(3, "How many snapshots from before upgrades are kept; with 0 none is taken.")
    screens: bool = _key(True, "Whether what agents have on their screens is backed up too.")
    recordings: bool = _key(False, "Whether recordings of terminals are backed up too.")
    recipient: str = _key("", "The age recipient that backups are encrypted to; empty for none.")


Reaction = Literal["rollback", "alert"]
Scripts = tuple[Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")], ...]


@dataclass(frozen=True, slots=True)
class Legacy:
    directory: str = _key("", "The directory of the old system's scripts; empty if there is none to go back to.")
    scripts: Scripts = _key(["mcp_api_server_optimized.py"], "Those of its scripts that make up the old system.")
    database: str = _key("/tmp/mcp_state.db", "The old system's database.")  # noqa: S108 - where it always was


@dataclass(frozen=True, slots=True)
class Cutover:
    watch_s: Seconds = _key(3600.0, "How long a cut-over is watched.")
    interval_s: Seconds = _key(10.0, "Time between two looks at it.")
    latency_ratio: Annotated[float, Meta(gt=0, le=1000)] = _key(
        1.5, "How many times the baseline's p95 an answer may take."
    )
    latency: Reaction = _key("rollback", "What follows when answers take longer than that, three looks in a row.")
    availability: Reaction = _key("rollback", "What follows when mcpd does not answer or one of its units has failed.")
    terminals: Reaction = _key("rollback", "What follows when a terminal cannot be opened.")
    corruption: Reaction = _key("rollback", "What follows when the database is damaged.")
    errors: Reaction = _key("rollback", "What follows when a daemon logs an error.")
    report: Reaction = _key("rollback", "What follows when a user reports trouble.")


@dataclass(frozen=True, slots=True)
class Compliance:
    enabled: bool = _key(True, "Whether accesses to sensitive data are logged and the compliance endpoints answer.")


@dataclass(frozen=True, slots=True)
class Config:
    """All settings, section by section; what a daemon runs with."""

    server: Server = field(default_factory=Server)
    websocket: Websocket = field(default_factory=Websocket)
    database: Database = field(default_factory=Database)
    access: Access = field(default_factory=Access)
    limits: Limits = field(default_factory=Limits)
    log: Log = field(default_factory=Log)
    coordination: Coordination = field(default_factory=Coordination)
    resources: Resources = field(default_factory=Resources)
    tools: Tools = field(default_factory=Tools)
    terminals: Terminals = field(default_factory=Terminals)
    events: Events = field(default_factory=Events)
    backup: Backup = field(default_factory=Backup)
    legacy: Legacy = field(default_factory=Legacy)
    cutover: Cutover = field(default_factory=Cutover)
    compliance: Compliance = field(default_factory=Compliance)

    @property
    def ports(self) -> Ports:
        """The TCP ports of both sections that have one."""
        return Ports(self.server.port, self.websocket.port)


@dataclass(frozen=True, slots=True)
class Setting:
    """One key: dotted ``name``, ``value``, the ``source`` that decided it, its ``type`` and one line of ``doc``."""

    name: str
    value: object
    source: str
    type: Any
    doc: str


def _sqlite_path(url: str) -> str:
    """Return the file that *url* names: ``sqlite:////absolute/path`` as SQLAlchemy writes it, or the bare path."""
    path = url.removeprefix("sqlite:///")
    if not path.startswith("/"):
        raise ValueError("sqlite:////absolute/path")
    return path


ENVIRONMENT: dict[str, tuple[str, Callable[[str], str]]] = {
    "MCP_SERVER_PORT": ("server.port", str),
    "MCP_WEBSOCKET_PORT": ("websocket.port", str),
    "MCP_DATABASE_URL": ("database.path", _sqlite_path),
    "MCP_LOG_LEVEL": ("log.level", str.lower),
    "RATE_LIMIT": ("limits.requests_per_min", str),
    "MCP_RATE_LIMIT": ("limits.requests_per_min", str),
    "MCP_ENABLE_COMPLIANCE": ("compliance.enabled", str.lower),
}
"""Environment variable → the key it sets and how its text becomes the key's."""


def defaults() -> dict[str, Setting]:
    """Return every key with its default, in the order of the file."""
    settings = {}
    for section in dataclasses.fields(Config):
        cls = typing.get_type_hints(Config)[section.name]
        hints = typing.get_type_hints(cls, include_extras=True)
        values = cls()
        for key in dataclasses.fields(cls):
            name = f"{section.name}.{key.name}"
            value = getattr(values, key.name)
            settings[name] = Setting(name, value, "default", hints[key.name], key.metadata["doc"])
    return settings


def build(settings: Mapping[str, Setting]) -> Config:
    """Return the ``Config`` that *settings* (complete, as from ``resolve``) describe."""
    nested: dict[str, dict[str, object]] = {}
    for setting in settings.values():
        section, _, key = setting.name.partition(".")
        nested.setdefault(section, {})[key] = setting.value
    hints = typing.get_type_hints(Config)
    return Config(**{section: hints[section](**values) for section, values in nested.items()})


def flat(config: Config) -> dict[str, object]:
    """Return the values of *config* by dotted name; none of them is a secret, for those are systemd's credentials."""
    parts = dataclasses.asdict(config)
    return {f"{section}.{key}": value for section, values in parts.items() for key, value in values.items()}


def resolve(files: Iterable[Path], environments: Iterable[tuple[str, Mapping[str, str]]]) -> dict[str, Setting]:
    """Lay *files* (TOML, those that exist) and then *environments* (label, variables) over the defaults.

    Raises ``ConfigError`` for an unreadable file, an unknown section or key, a value of the wrong kind, or one port for
    both daemons.
    """
    settings = defaults()
    for path in files:
        for name, value in _flatten(_read_toml(path), path):
            _set(settings, name, value, str(path), strict=True)
    for label, variables in environments:
        for variable, (name, convert) in ENVIRONMENT.items():
            if variable in variables:
                try:
                    value = convert(variables[variable])
                except ValueError as exc:
                    got = f"got {variables[variable]!r}"
                    raise ConfigError(f"{label}: variable '{variable}': expected {exc}, {got}") from exc
                _set(settings, name, value, f"{label}: {variable}", strict=False)
    _relate(settings)
    return settings


def load(files: Iterable[Path] | None = None) -> Config:
    """Return the machine's configuration, or that of *files* alone when given (``--config``)."""
    return build(effective(files))


def effective(files: Iterable[Path] | None = None, environment: Mapping[str, str] = os.environ) -> dict[str, Setting]:
    """Return every effective setting with its source; *files* as in ``load``, *environment* the process's variables."""
    if files is not None:
        return resolve(files, [("environment", environment)])
    chain = [DEFAULTS_FILE, ADMIN_FILE, *sorted(Path(f"{ADMIN_FILE}.d").glob("*.toml"))]
    return resolve(
        (path for path in chain if path.exists()),
        [(str(ENVIRONMENT_FILE), envfile.read(ENVIRONMENT_FILE)), ("environment", environment)],
    )


def files_of(settings: Mapping[str, Setting], files: Sequence[Path] | None) -> list[Path]:
    """Return the files that make up the configuration: *files* if they alone do, else the system's that exist."""
    if files is not None:
        return list(files)
    system = [ADMIN_FILE, *sorted(Path(f"{ADMIN_FILE}.d").glob("*.toml"))]
    read = {setting.source.partition(":")[0] for setting in settings.values()}
    return [path for path in system if path.exists() or str(path) in read]


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise ConfigError(f"{path}: is not valid TOML: {exc}") from exc


def _flatten(document: dict[str, Any], path: Path) -> Iterator[tuple[str, object]]:
    for section, values in document.items():
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: key '{section}' stands outside a section; expected e.g. [server]")
        for key, value in values.items():
            yield f"{section}.{key}", value


def _set(settings: dict[str, Setting], name: str, value: object, source: str, *, strict: bool) -> None:
    known = settings.get(name)
    if known is None:
        near = difflib.get_close_matches(name, settings, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "mcpd.toml(5) lists the keys"
        raise ConfigError(f"{source}: unknown key '{name}'; {hint}")
    try:
        converted = msgspec.convert(value, known.type, strict=strict)
    except msgspec.ValidationError as exc:
        expected = describe(known.type)
        raise ConfigError(f"{source}: key '{name}': expected {expected}, got {value!r}") from exc
    settings[name] = dataclasses.replace(known, value=converted, source=source)


def _relate(settings: dict[str, Setting]) -> None:
    """Refuse one port for both daemons, and let the URL that nobody set have the port that somebody did."""
    found = build(settings).ports
    rpc, ws, url = settings["server.port"], settings["websocket.port"], settings["access.public_url"]
    if found.rpc == found.ws:
        other = f"another port than that of key '{ws.name}' ({ws.source})"
        raise ConfigError(f"{rpc.source}: key '{rpc.name}': expected {other}, got {found.rpc}")
    if url.source in ("default", str(DEFAULTS_FILE)):
        settings[url.name] = dataclasses.replace(url, value=found.url, source=rpc.source)


def describe(kind: Any) -> str:
    """Say in words what values the type *kind* of a key takes, for an error message or a man page."""
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(f'"{choice}"' for choice in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        return "a list of strings"
    if typing.get_origin(kind) is Annotated:
        base, meta = typing.get_args(kind)
        if meta.pattern is not None:
            return "a URL such as https://host:port"
        low, high = (meta.ge, "from") if meta.ge is not None else (meta.gt, "above")
        return f"{'a whole number' if base is int else 'a number'} {high} {low} to {meta.le}"
    return "true or false" if kind is bool else "a string"
