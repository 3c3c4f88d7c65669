"""The catalogue of events: every topic that mcpd itself tells, what it means, and the type of its data.

``CATALOGUE`` is what mcpd-events(7), the JSON schema and the tests go by. Plug-ins may tell topics of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from mcpd.protocol import duty_data as duty
from mcpd.protocol import event_data as data
from mcpd.protocol.event_data import Data
from mcpd.times import rfc3339

EventRow = tuple[int, int, str, str | None, str]
"""An event as the store has it: number, µs since the epoch, topic, agent, data as JSON text."""

_REF = "#/$defs/{name}"


@dataclass(frozen=True, slots=True)
class Kind:
    """What is known of one topic: the ``group`` it belongs to, what it means, and the type of its data."""

    topic: str
    group: str
    meaning: str
    data: type[Data]


_SWITCHES = {
    "cutover": "A switch from the old system to mcpd begins.",
    "rollback": "A switch back to the old system begins.",
    "forward": "A switch back to mcpd begins, with what was written meanwhile.",
    "switched": "mcpd has the ports.",
    "watching": "The switch is watched from now on.",
    "success": "The watch ended and all criteria are met.",
    "unfulfilled": "The watch ended and a criterion is not met.",
    "superseded": "Another switch took its place, which ended the watch.",
    "rolled_back": "The old system has the ports again.",
    "failed": "A switch failed.",
}
_KINDS = (
    Kind("agent.new", "agent state", "An agent was heard of for the first time.", data.Nothing),
    Kind("agent.status", "agent state", "An agent said what it does.", data.AgentStatus),
    Kind("agent.heartbeat", "agent state", "An agent said that it lives.", data.Nothing),
    Kind("agent.state", "agent state", "What an agent's terminal shows it doing has changed.", data.AgentState),
    Kind("agent.hook", "agent state", "What an agent does by its hooks has changed.", data.AgentHook),
    Kind("agent.order", "agent state", "Somebody had an agent set up, started or stopped.", data.AgentOrder),
    Kind("activity.logged", "activity", "An agent recorded work.", data.Activity),
    Kind("component.registered", "component", "A component was registered or handed over.", data.Component),
    Kind("component.deleted", "component", "A component was taken from the register.", data.ComponentDeleted),
    Kind("claim.taken", "claim", "An agent claimed components or paths that it did not hold.", data.ClaimTaken),
    Kind("claim.released", "claim", "Claims of an agent ended.", data.ClaimReleased),
    Kind("decision.proposed", "decision", "An agent put a decision before the others.", data.Decision),
    Kind("collaboration.requested", "message", "An agent asked another one for help.", data.Collaboration),
    Kind("message.sent", "message", "A message was typed into an agent's terminal.", data.MessageSent),
    Kind("task.status", "task", "A task was made, or its status changed.", data.Task),
    Kind("tool.called", "tool_call", "A tool was called; the number is that of the audit record.", data.ToolCall),
    Kind("resource.read", "resource_access", "A resource was read, or its reading refused.", data.ResourceRead),
    Kind("resource.updated", "resource_access", "A plug-in's resource holds something else.", data.ResourceUpdated),
    Kind("terminal.opened", "terminal", "Somebody opened an agent's terminal.", data.TerminalOpened),
    Kind("terminal.closed", "terminal", "Somebody left an agent's terminal.", data.TerminalClosed),
    Kind("backup.finished", "backup", "A backup was made and proved.", data.BackupFinished),
    Kind("backup.failed", "backup", "No backup was made.", data.BackupFailed),
    Kind("database.restored", "backup", "The database as it was earlier took the other's place.", data.Restored),
    Kind("alert.raised", "alert", "Something needs a person.", data.Alert),
    Kind("config.changed", "config", "The server was started with other settings than before.", data.ConfigChanged),
    Kind("tools.changed", "config", "The server was started with other tools than before.", data.Nothing),
    Kind("resources.changed", "config", "The server was started with other resources than before.", data.Nothing),
    Kind("prompts.changed", "config", "A prompt was set or removed, or plug-ins bring others.", data.PromptsChanged),
    Kind("consent.requested", "consent", "A call waits for the word of a person.", duty.ConsentRequested),
    Kind("consent.decided", "consent", "A person decided on a call that waited.", duty.ConsentDecided),
    Kind("client.added", "access", "A client may get tokens from now on.", duty.Client),
    Kind("client.rotated", "access", "A client has a new secret.", duty.Client),
    Kind("client.removed", "access", "A client gets no more tokens.", duty.Client),
    Kind("compliance.consent_granted", "compliance", "A person consented to a use of data.", duty.SubjectConsent),
    Kind("compliance.consent_withdrawn", "compliance", "A person withdrew such a consent.", duty.SubjectConsent),
    Kind("compliance.processing_recorded", "compliance", "A use of data was recorded.", duty.ProcessingRecorded),
    Kind("compliance.breach_recorded", "compliance", "A breach of data was recorded.", duty.BreachRecorded),
    Kind("compliance.breach_changed", "compliance", "Something became of a breach.", duty.BreachChanged),
    Kind("compliance.breach_overdue", "alert", "An authority should know of a breach by now.", duty.BreachOverdue),
    Kind("compliance.erasure_begun", "compliance", "What is stored about a person is to be erased.", duty.ErasureBegun),
    Kind("compliance.rows_erased", "compliance", "One step of an erasure was done.", duty.RowsErased),
    Kind("compliance.erased", "compliance", "An erasure came to its end.", duty.Erased),
    Kind("retention.changed", "compliance", "Data of a type is kept for another time.", duty.RetentionChanged),
    Kind("retention.deleted", "maintenance", "Data whose time was over was deleted.", duty.RetentionDeleted),
    Kind("retention.enforced", "maintenance", "The rules of retention were enforced.", duty.RetentionEnforced),
    Kind("export.created", "maintenance", "Tables were exported.", data.Export),
    Kind("migration.finished", "maintenance", "Data of the old system was brought over.", data.Migration),
    Kind("maintenance.finished", "maintenance", "What retention does not keep was removed.", data.Maintenance),
    *(Kind(f"cutover.{word}", "cutover", meaning, data.Cutover) for word, meaning in _SWITCHES.items()),
    Kind("cutover.session", "cutover", "A tmux session of the old system was found.", data.CutoverSession),
    Kind("upgrade.taken_back", "maintenance", "The version before an upgrade is back.", data.UpgradeTakenBack),
    Kind("cutover.alert", "alert", "A criterion of a switch is not met.", data.CutoverAlert),
    Kind("cutover.report", "alert", "A user reports trouble after a switch.", data.CutoverReport),
    Kind("cutover.baseline", "cutover", "How fast the server answers was measured.", data.CutoverBaseline),
)
CATALOGUE: dict[str, Kind] = {kind.topic: kind for kind in _KINDS}


def check(topic: str, data: str) -> None:
    """Raise ``msgspec.ValidationError`` unless *data* (JSON text) is what *topic*, one of the catalogue, holds."""
    msgspec.json.decode(data, type=CATALOGUE[topic].data)


def encode(row: EventRow) -> bytes:
    """Return the event *row* as clients get it: ``seq``, ``time``, ``topic``, ``agent`` and ``data``."""
    seq, at_us, topic, agent, data = row
    shown = {"seq": seq, "time": rfc3339(at_us), "topic": topic, "agent": agent, "data": orjson.Fragment(data)}
    return orjson.dumps(shown)


def schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of an event as clients get it, one branch for each topic.

    Other topics are those of plug-ins, whose data is any object.
    """
    kinds = {kind.data.__name__: kind.data for kind in CATALOGUE.values()}
    _, definitions = msgspec.json.schema_components(kinds.values(), ref_template=_REF)
    branches = [_branch(kind, {"const": kind.topic}, {"$ref": _REF.format(name=kind.data.__name__)}) for kind in _KINDS]
    others = {"type": "string", "not": {"enum": list(CATALOGUE)}}
    plugins = Kind("", "", "What a plug-in tells.", data.Nothing)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Event",
        "type": "object",
        "properties": {
            "seq": {"type": "integer", "minimum": 1},
            "time": {"type": "string", "format": "date-time"},
            "topic": {"type": "string"},
            "agent": {"type": ["string", "null"]},
            "data": {"type": "object"},
        },
        "required": ["seq", "time", "topic", "agent", "data"],
        "oneOf": [*branches, _branch(plugins, others, {"type": "object"})],
        "$defs": definitions,
    }


def _branch(kind: Kind, topic: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    shown = {"description": kind.meaning, "properties": {"topic": topic, "data": data}}
    return shown | {"x-group": kind.group} if kind.group else shown
