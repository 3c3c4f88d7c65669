"""What an event of the store means to a client that listens: which notification, about which resource.

Pure, and from rows alone: a notification can be made again from its event, so a stream that breaks is resumed by number
and nothing undelivered has to be kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from mcpd.resources import events as recorded
from mcpd.store.database import Row

RESOURCES_CHANGED = "notifications/resources/list_changed"
TOOLS_CHANGED = "notifications/tools/list_changed"
PROMPTS_CHANGED = "notifications/prompts/list_changed"
UPDATED = "notifications/resources/updated"
TASK = "notifications/tasks"
LISTS = frozenset({TOOLS_CHANGED, RESOURCES_CHANGED, PROMPTS_CHANGED})
RESOURCE_UPDATED = "resource.updated"
"""The topic by which a plug-in tells that what one of its resources holds has changed (``uri`` in its data)."""

_LIST_CHANGED = {
    "tools.changed": TOOLS_CHANGED,
    "prompts.changed": PROMPTS_CHANGED,
    "resources.changed": RESOURCES_CHANGED,
    "agent.new": RESOURCES_CHANGED,
    "migration.finished": RESOURCES_CHANGED,
}
_CHANGES_NOTHING = frozenset({"agent.heartbeat", "message.sent", "tool.called", "resource.read", "claim.taken"})
"""A claim is taken by what is told too, an activity or a registration."""

_ABOUT_AGENT = ("agent://", "config://agents/")


@dataclass(frozen=True, slots=True)
class Filter:
    """What one listener wants: ``lists`` by notification method, updates of the resources ``uris`` and ``tasks``."""

    lists: frozenset[str]
    uris: frozenset[str]
    tasks: frozenset[str] = frozenset()


def read(row: Row, wanted: Filter) -> Iterator[dict[str, Any]]:
    """Yield the notifications (method and params) that the event *row* of ``events.since`` makes for *wanted*."""
    _, _, topic, agent, data = row
    for method in _lists_changed(topic, data):
        if method in wanted.lists:
            yield {"method": method, "params": {}}
    if wanted.uris:
        for uri in wanted.uris.intersection(_updated(topic, agent, data)):
            yield {"method": UPDATED, "params": {"uri": uri}}
    if wanted.tasks and topic == "task.status" and (task := _field(data, "task")) in wanted.tasks:
        yield {"method": TASK, "params": {"taskId": task}}


def _lists_changed(topic: str, data: str) -> Iterator[str]:
    if topic in _LIST_CHANGED:
        yield _LIST_CHANGED[topic]
    elif topic == "component.registered" and _field(data, "version") == 1:
        yield RESOURCES_CHANGED


def _updated(topic: str, agent: str | None, data: str) -> set[str]:
    log = recorded.uris(topic)
    # A heartbeat changes nothing but a time; to tell everybody of each would drown the rest.
    if topic in _CHANGES_NOTHING:
        return log
    uris = log | {scheme + quote(agent, safe="") for scheme in _ABOUT_AGENT} if agent is not None else log
    if topic in ("activity.logged", "collaboration.requested", "migration.finished"):
        uris.add("activity://recent")
    if topic == RESOURCE_UPDATED:
        uris.add(str(_field(data, "uri")))
    if topic == "component.registered":
        uris.add("component://" + quote(str(_field(data, "component")), safe=""))
    return uris


def _field(data: str, name: str) -> object:
    decoded: Mapping[str, object] = orjson.loads(data)
    return decoded.get(name)
