"""The types of the events' data. What each is for stands in the catalogue, ``protocol.events``."""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data of an event."""


class Nothing(Data, frozen=True):
    """No data; the topic and the agent say all."""


class AgentStatus(Data, frozen=True):
    """``previous`` is null for an agent that was unknown; ``task`` what it says that it works on."""

    status: Literal["active", "idle", "busy", "offline"]
    previous: str | None
    task: str | None


class AgentState(Data, frozen=True):
    """``state`` and ``before`` as ``GET /api/mcp/agent-states`` has them; ``last_line`` is the last of its screen."""

    state: str
    before: str
    exit_status: int | None
    last_line: str | None


class AgentHook(Data, frozen=True):
    """``before`` is null for the first word of its hooks; ``session`` is the client's own id."""

    state: Literal["idle", "working", "waiting_for_permission", "waiting_for_input", "ended"]
    before: str | None
    session: str | None


class AgentOrder(Data, frozen=True):
    """``order`` is what was done, ``caller`` who had it done."""

    order: str
    caller: str


class Activity(Data, frozen=True):
    """``id`` is that of the activity; ``paths`` are relative to the project root."""

    id: int
    activity: str
    category: str
    status: str
    component: str | None
    paths: list[str]


class Component(Data, frozen=True):
    """``version`` is 1 when it was new."""

    component: str
    owner: str
    status: str
    version: int


class ComponentDeleted(Data, frozen=True):
    """``owner`` is who had it."""

    component: str
    owner: str


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is claimed: a component by name or a path."""

    kind: Literal["component", "path"]
    target: str


class ClaimTaken(Data, frozen=True):
    """``until_us`` is when it lapses unless it is renewed, in µs since the epoch; null for what is owned."""

    mode: Literal["own", "edit"]
    targets: list[Target]
    reason: str
    until_us: int | None


class ClaimReleased(Data, frozen=True):
    """``cause`` says why: the work was done, the agent went offline, the component changed hands, or time was up."""

    mode: Literal["own", "edit"]
    targets: list[Target]
    cause: Literal["done", "offline", "registered", "lapsed"]


class Decision(Data, frozen=True):
    """``id`` is that of the decision."""

    id: int
    category: str
    question: str


class Collaboration(Data, frozen=True):
    """``agent`` of the event asks ``to_agent`` for help."""

    id: int
    to_agent: str
    task: str
    priority: str


class MessageSent(Data, frozen=True):
    """``caller`` typed it; *entered* says that Enter followed, *was_seen* that the screen showed it.

    The text itself is not told: what is typed into a terminal can be a password.
    """

    caller: str
    size_bytes: int
    entered: bool
    was_seen: bool


class Task(Data, frozen=True):
    """``task`` is the id; what came of it only its owner reads."""

    task: str
    status: Literal["working", "input_required", "completed", "failed", "cancelled"]


class ToolCall(Data, frozen=True):
    """``outcome`` is ok, dry_run, refused, failed, cancelled, input_required or task. The audit has the arguments.

    ``request`` is the ``X-Request-ID``.
    """

    tool: str | None
    outcome: str
    caller: str
    duration_us: int
    request: str
    session: str | None


class ResourceRead(Data, frozen=True):
    """``error`` says why it was refused, null that it was given."""

    uri: str
    caller: str
    request: str
    session: str | None
    error: str | None


class ResourceUpdated(Data, frozen=True):
    """``uri`` is that of the resource."""

    uri: str


class TerminalOpened(Data, frozen=True):
    """``viewer`` is the id of this viewing."""

    caller: str
    viewer: str


class TerminalClosed(Data, frozen=True):
    """``viewer`` is the id of this viewing."""

    caller: str
    viewer: str
    duration_us: int


class BackupFinished(Data, frozen=True):
    """``removed`` are the backups that no rule keeps any more."""

    path: str
    size_bytes: int
    rows: int
    removed: list[str]
    duration_s: float


class BackupFailed(Data, frozen=True):
    """``error`` says why."""

    directory: str
    error: str


class Export(Data, frozen=True):
    """``name`` is that of the resource ``export://name``; ``rows`` counts those of each table."""

    name: str
    rows: dict[str, int]


class Migration(Data, frozen=True):
    """``rows`` counts, by outcome, the rows of the old system's databases ``sources``."""

    run: int
    sources: list[str]
    rows: dict[str, int]


class Alert(Data, frozen=True):
    """``source`` is what is amiss, such as backup, maintenance or disk; ``message`` says it to a person."""

    source: str
    message: str


class Changed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One setting: its values before and after as JSON; null is a key that the one version of mcpd does not have."""

    key: str
    before: Any
    after: Any


class ConfigChanged(Data, frozen=True):
    """What the server was started with, against its last start. Secrets are no settings."""

    changes: list[Changed]


class PromptsChanged(Data, frozen=True):
    """One ``prompt`` was set or removed, ``by`` somebody; nothing said: other plug-ins bring other prompts."""

    prompt: str | None = None
    change: Literal["set", "removed"] | None = None
    by: str | None = None


class Maintenance(Data, frozen=True):
    """How many rows of each table were removed; events up to number ``removed_to`` are gone."""

    removed: dict[str, int]
    removed_to: int
    duration_s: float


class Cutover(Data, frozen=True):
    """``cutover`` is the number of the switch."""

    cutover: int
    watch_until_us: int | None = None
    finished_us: int | None = None
    outage_us: int | None = None
    reason: str | None = None


class CutoverSession(Data, frozen=True):
    """What became of a tmux session of the old system; ``cutover`` is null outside a switch."""

    cutover: int | None
    session: str
    user: str
    socket: str
    agent: str | None
    outcome: str
    why: str


class Restored(Data, frozen=True):
    """``after`` is the number that the restored database had come to, ``kept`` where the replaced one is now."""

    after: int
    kept: str | None


class UpgradeTakenBack(Data, frozen=True):
    """``kept`` is where the newer database is now, ``written`` how many rows of each table are only there."""

    from_: str = msgspec.field(name="from")
    to: str
    kept: str | None
    written: dict[str, int]


class CutoverAlert(Data, frozen=True):
    """``criterion`` was not met."""

    cutover: int
    criterion: str
    detail: str


class CutoverReport(Data, frozen=True):
    """``user`` reports trouble."""

    user: str
    reason: str | None


class CutoverBaseline(Data, frozen=True):
    """How long ``requests`` to ``server`` took."""

    at_us: int
    server: str
    requests: int
    p50_us: int
    p95_us: int
    max_us: int
