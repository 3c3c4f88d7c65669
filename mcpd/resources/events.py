"""The last events as resources. Calls and reads are left out: a client that is told of its own reading would never end.

Heartbeats are told and shown only to who asks for them by name.
"""

from __future__ import annotations

import orjson

from mcpd.errors import InvalidParams
from mcpd.protocol import events as catalogue
from mcpd.protocol import topics
from mcpd.protocol.topics import Topics
from mcpd.resources.base import JSON, Content, Reading, Resource, Template, json_content
from mcpd.resources.files import not_found
from mcpd.store import events
from mcpd.store.database import Database

SCHEME = "events://"
_RECENT = f"{SCHEME}recent"
_HEARTBEAT = "agent.heartbeat"
_LIMIT = 50


def uris(topic: str) -> set[str]:
    """Return the resources that an event of *topic* changes."""
    if topic == _HEARTBEAT:
        return {SCHEME + topic}
    return {_RECENT, *(SCHEME + pattern for pattern in topics.patterns_of(topic))}


def _recent(reading: Reading) -> Content:
    return _content(reading, Topics.parse([]), "")


def _of_topic(reading: Reading, uri: str, value: str) -> Content:
    try:
        return _content(reading, Topics.parse([value]), value)
    except InvalidParams as error:
        raise not_found(uri) from error


def _content(reading: Reading, wanted: Topics, asked: str) -> Content:
    rows = events.latest(
        reading.db,
        lambda row: wanted.matches(row[2]) and (row[2] != _HEARTBEAT or asked == _HEARTBEAT),
        _LIMIT,
        derived=False,
    )
    shown = [orjson.Fragment(catalogue.encode((row[0], row[1], row[2], row[3], row[4]))) for row in rows]
    return json_content({"events": shown, "newest": events.newest(reading.db)})


def _complete(_db: Database, prefix: str, limit: int) -> tuple[list[str], int]:
    found = [topic for topic in sorted(catalogue.CATALOGUE) if topic.startswith(prefix)]
    return found[:limit], len(found)


RECENT = Resource(
    uri=_RECENT,
    name="recent events",
    title="Recent events",
    description=f"The last {_LIMIT} events besides heartbeats, calls and reads.",
    mime_type=JSON,
    read=_recent,
    watched=True,
)

OF_TOPIC = Template(
    prefix=SCHEME,
    variable="topic",
    name="events",
    title="Events of a topic",
    description=f"The last {_LIMIT} events of a topic, such as claim.taken, or a pattern of them, such as claim.*.",
    mime_type=JSON,
    read=_of_topic,
    complete=_complete,
    watched=True,
)
