"""What a client of the event dialect listens to: names, and what each means and looks like.

A name is a pattern of topics (``protocol.topics``), or one of the old system's: those have the messages that its
clients read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from mcpd.errors import InvalidParams
from mcpd.protocol.topics import Topics

MAX_NAMES = 256
_NAME = re.compile(r"[A-Za-z0-9_.:*/-]{1,128}")
_EVENT = "event:"


@dataclass(frozen=True, slots=True)
class Form:
    """How an event is told: by a message of *type*; a ``broadcast`` of the old system has a *topic* and a *kind*."""

    type: str
    topic: str = ""
    kind: str = ""


PLAIN = Form("event")


def _broadcast(topic: str, kind: str = "") -> Form:
    return Form("broadcast", topic, kind)


_OLD: Mapping[str, tuple[tuple[str, ...], Form]] = {
    "activity": (("activity.*",), Form("activity")),
    "state_change": (("agent.*",), Form("state_change")),
    "notification": (("alert.*", "collaboration.*", "decision.*", "message.*"), Form("notification")),
    "agents": (("agent.*",), _broadcast("agents")),
    "activities": (("activity.*",), _broadcast("activities")),
    "components": (("component.*", "claim.*"), _broadcast("components")),
    "tasks": (("task.*",), _broadcast("tasks")),
    "logs": (("tool.called", "resource.read"), _broadcast("logs")),
    "event:tool_call": (("tool.called",), _broadcast("event:tool_call", "tool_call")),
    "event:resource_access": (("resource.read",), _broadcast("event:resource_access", "resource_access")),
    "event:all": (("*",), _broadcast("event:all")),
}
"""Names of the old system → the topics behind them, and how its clients are told."""

UNASKED = frozenset({"activity", "state_change", "notification"})
"""What a client hears before it asks for anything: the old dashboard never did."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What one connection listens to; *agents* narrows it to events about those, if there are any."""

    names: frozenset[str] = frozenset()
    agents: frozenset[str] = frozenset()

    def form_of(self, topic: str, agent: str | None) -> Form | None:
        """Return how an event of *topic* about *agent* is told, None if not at all.

        It is told once, however many names mean it: by an old name if one does, since it was asked for by that.
        """
        if self.agents and agent not in self.agents:
            return None
        return _form_of(self.names, topic)

    def hears(self, topic: str) -> bool:
        """Say whether what another client broadcasts on *topic* is for this one."""
        return any(matches(name, topic) for name in self.names)

    def without(self, names: Iterable[str]) -> Subscription:
        """Return this without *names*."""
        return Subscription(self.names - set(names), self.agents)


@lru_cache(maxsize=65536)
def _form_of(names: frozenset[str], topic: str) -> Form | None:
    for name in sorted(names):
        patterns, form = meaning(name)
        if form is not PLAIN and any(matches(pattern, topic) for pattern in patterns):
            return form
    return PLAIN if any(matches(name, topic) for name in names if meaning(name)[1] is PLAIN) else None


def meaning(name: str) -> tuple[tuple[str, ...], Form]:
    """Return the patterns of topics that *name* stands for, and how their events are told."""
    known = _OLD.get(name)
    if known is not None:
        return known
    if name.startswith(_EVENT):  # a type that the old system's clients could ask for, though it never told one
        kind = name.removeprefix(_EVENT)
        return (kind, kind.replace("_", ".")), _broadcast(name, kind)
    return (name,), PLAIN


def matches(pattern: str, topic: str) -> bool:
    """Say whether *topic* is one of *pattern*, which may also be a name that is no pattern and matches itself."""
    if pattern == topic:
        return True
    wanted = _wanted(pattern)
    return wanted is not None and wanted.matches(topic)


@lru_cache(maxsize=4096)
def _wanted(pattern: str) -> Topics | None:
    try:
        return Topics.parse([pattern])
    except InvalidParams:
        return None


def checked(value: object, member: str) -> frozenset[str]:
    """Return the names in *value*, what a client sent as *member*; raises ``InvalidParams``."""
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise InvalidParams(f"{member}: expected a list of strings")
    for name in value:
        if not _NAME.fullmatch(name):
            raise InvalidParams(f"{member}: {name[:80]!r} is not a topic; expected letters, digits, . _ : / - and *")
        if "*" in name:
            Topics.parse([name])
    return frozenset(value)


def is_reserved(topic: str) -> bool:
    """Say whether *topic* is one on which mcpd alone speaks."""
    return topic.startswith(_EVENT)
