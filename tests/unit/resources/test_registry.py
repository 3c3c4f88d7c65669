"""The list of all resources, with those that plug-ins bring."""

from __future__ import annotations

import pytest

from mcpd.protocol.cursors import Position
from mcpd.resources.base import Content, Reading, Template
from mcpd.resources.files import Files
from mcpd.resources.registry import Resources
from mcpd.store.database import Database

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
