from __future__ import annotations

import re

import jsonschema
import msgspec
import orjson
import pytest

from mcpd.protocol import event_data, events
from mcpd.protocol.events import CATALOGUE
from mcpd.protocol.topics import Topics

SCHEMA = events.schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def shown(topic: str, data: str) -> object:
    return orjson.loads(events.encode((7, 1_000_001, topic, "a", data)))


def test_an_event_as_clients_get_it() -> None:
    assert shown("agent.new", "{}") == {
        "seq": 7, "time": "1970-01-01T00:00:01.000001Z", "topic": "agent.new", "agent": "a", "data": {},
    }  # fmt: skip


def test_the_schema_is_one_and_tells_right_from_wrong() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    good = '{"status": "busy", "previous": null, "task": "x"}'
    VALIDATOR.validate(shown("agent.status", good))
    VALIDATOR.validate(shown("plugin.own", '{"anything": [1]}'))
    for topic, data in [("agent.status", "{}"), ("agent.new", '{"x": 1}'), ("plugin.own", "[]")]:
        assert not VALIDATOR.is_valid(shown(topic, data)), topic


def test_the_check_is_the_schema_s() -> None:
    events.check("agent.status", '{"status": "busy", "previous": null, "task": null}')
    for topic, data in [("agent.status", "{}"), ("agent.status", '{"status": "lazy", "previous": null, "task": null}')]:
        with pytest.raises(msgspec.ValidationError):
            events.check(topic, data)


@pytest.mark.parametrize("topic", CATALOGUE)
def test_a_topic_can_be_asked_for_and_is_explained(topic: str) -> None:
    kind = CATALOGUE[topic]
    assert Topics.parse([topic]).matches(topic)
    assert re.fullmatch(r"[a-z]+\.[a-z_]+", topic)
    assert re.fullmatch(r"[A-Zm].*[a-z]\.", kind.meaning)
    assert kind.data.__doc__
    assert kind.data.__name__ in SCHEMA["$defs"]


def test_the_groups_are_those_that_events_are_promised_of() -> None:
    assert {kind.group for kind in CATALOGUE.values()} == {
        "agent state", "activity", "component", "claim", "decision", "message", "task", "tool_call", "resource_access",
        "terminal", "backup", "alert", "config", "maintenance", "cutover",
    }  # fmt: skip


def test_no_type_is_left_over() -> None:
    defined = {
        name for name, kind in vars(event_data).items() if isinstance(kind, type) and issubclass(kind, event_data.Data)
    }
    assert defined - {"Data"} == {kind.data.__name__ for kind in CATALOGUE.values()}
