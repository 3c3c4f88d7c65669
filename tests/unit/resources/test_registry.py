"""The list of all resources, with those that plug-ins bring."""

from __future__ import annotations

import orjson
import pytest

from mcpd.agents.agent import Agent, Limits
from mcpd.errors import ResourceNotFound
from mcpd.protocol.cursors import Position
from mcpd.resources.base import Content, Reading, Template
from mcpd.resources.files import Files
from mcpd.resources.registry import Resources
from mcpd.store import agents, terminals
from mcpd.store.database import Database
from mcpd.store.terminals import LiveState

NAMES = [f"n{number}" for number in range(5)]


def listed(_db: Database, after: str, limit: int) -> list[str]:
    return [name for name in NAMES if name > after][:limit]


def read(_reading: Reading, uri: str, value: str) -> Content:
    return Content("text/plain", f"{uri} {value}")


def template(suffix: str) -> Template:
    return Template("x://y/", "name", "y", "Y", "Y.", "text/plain", read, names=listed, suffix=suffix)


@pytest.fixture
def resources() -> Resources:
    return Resources(Files((), 1024), dict, (), (template("/log"), template("/state")))


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_templates_with_one_beginning_are_listed_each_with_its_members(
    resources: Resources, db: Database, limit: int
) -> None:
    found: list[str] = []
    position: Position | None = None
    while position is not None or not found:
        page, position = resources.page(db, position, limit)
        found += [listing["uri"] for listing in page]
    theirs = [uri for uri in found if uri.startswith("x:")]
    assert theirs == [f"x://y/{name}{suffix}" for suffix in ("/log", "/state") for name in NAMES]
    assert resources.count(db) == len(found)


def test_a_member_is_read_by_the_template_that_it_fits(resources: Resources, db: Database) -> None:
    for suffix in ("/log", "/state"):
        assert resources.read(Reading(db, 1), f"x://y/n1{suffix}").data == f"x://y/n1{suffix} n1"


@pytest.fixture
def described() -> Resources:
    found = {
        "backend-api": Agent("backend-api", 8090, "Backend API", "Serves.", env={"TOKEN": "secret"}),
        "database": Agent("database", 8091, "Database", workdir="/srv/db", limits=Limits(memory_max="2G")),
    }
    return Resources(Files((), 1024), dict, agents=lambda: found)


def test_an_agent_is_what_it_says_and_what_its_terminal_shows(described: Resources, db: Database) -> None:
    def document(name: str) -> dict[str, object]:
        found: dict[str, object] = orjson.loads(described.read(Reading(db, 1), f"agent://{name}").data)
        return found

    assert document("database") == {
        "agent": "database", "status": None, "current_task": None, "last_seen": None, "live": None, "claims": [],
    }  # fmt: skip
    agents.touch(db, "backend-api", 5)
    terminals.save(db, LiveState("backend-api", "idle", 1_000_000, 7, memory_bytes=4096, last_line="$"), 6)
    found = document("backend-api")
    assert found["status"] == "active"
    live = found["live"]
    assert isinstance(live, dict)
    assert (live["state"], live["since"], live["memory_bytes"]) == ("idle", "1970-01-01T00:00:01.000000Z", 4096)
    with pytest.raises(ResourceNotFound):
        document("nobody")


def test_names_of_agents_are_completed_with_those_that_never_called(described: Resources, db: Database) -> None:
    for name in ("backend-api", "backlog", "zebra"):
        agents.touch(db, name, 1)
    template = described.template("agent://{name}")
    assert template is not None
    assert template.complete(db, "", 3) == (["backend-api", "backlog", "database"], 4)
    assert template.complete(db, "d", 3) == (["database"], 1)


def uris(resources: Resources, db: Database, limit: int) -> list[str]:
    found: list[str] = []
    position: Position | None = None
    while position is not None or not found:
        page, position = resources.page(db, position, limit)
        assert len(page) <= limit
        found += [listing["uri"] for listing in page]
    return found


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_agents_that_have_a_file_are_listed_with_those_that_were_heard_of_each_once(
    described: Resources, db: Database, limit: int
) -> None:
    for name in ("backend-api", "cellar", "zebra"):
        agents.touch(db, name, 1)
    found = uris(described, db, limit)
    names = ["backend-api", "cellar", "database", "zebra"]
    assert [uri for uri in found if uri.startswith("agent:")] == [f"agent://{name}" for name in names]
    assert [uri for uri in found if uri.startswith("config:")] == [f"config://agents/{name}" for name in names]
    assert described.count(db) == len(found)


def test_a_configuration_is_what_the_file_says_but_its_variables_and_what_was_registered(
    described: Resources, db: Database
) -> None:
    def read_config(name: str) -> str:
        data = described.read(Reading(db, 1), f"config://agents/{name}").data
        assert isinstance(data, str)
        return data

    found = orjson.loads(read_config("database"))
    assert (found["name"], found["title"], found["role"], found["port"]) == ("database", "Database", "", 8091)
    assert (found["user"], found["workdir"], found["limits"]) == ("mcp-agent", "/srv/db", {"memory_max": "2G"})
    assert (found["status"], found["capabilities"]) == (None, None)
    assert "secret" not in read_config("backend-api")
    agents.touch(db, "backend-api", 5)
    agents.touch(db, "elsewhere", 5)
    both, heard = orjson.loads(read_config("backend-api")), orjson.loads(read_config("elsewhere"))
    assert (both["role"], both["status"]) == ("Serves.", "active")
    assert (heard["role"], heard["port"], heard["status"]) == (None, None, "active")
    assert both.keys() == heard.keys() == found.keys()
