"""Lists in pages smaller than one answer's: nothing is missed, nothing comes twice, the end is the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from mcpd.errors import InvalidParams
from mcpd.protocol import cursors, revisions
from mcpd.protocol.jsonrpc import Request
from mcpd.resources.files import Files
from mcpd.resources.registry import Resources
from mcpd.server.methods import Methods
from mcpd.server.site import Site
from mcpd.server.tool_list import ToolList
from mcpd.server.work import Work
from mcpd.store import agents, components
from mcpd.store.database import Database
from mcpd.store.turn import Turn
from mcpd.terminals.fleet import Fleet
from mcpd.tools.registry import TOOLS

LISTS = {
    "tools/list": ("tools", "name"),
    "prompts/list": ("prompts", "name"),
    "resources/list": ("resources", "uri"),
    "resources/templates/list": ("resourceTemplates", "uriTemplate"),
}

Ask = Callable[[str, dict[str, Any]], dict[str, Any]]


@pytest.fixture
def ask(db: Database) -> Ask:
    methods = Methods({}, {})
    for number in range(5):
        agents.touch(db, f"a{number}", 1)
        components.register(db, 1, f"c{number}", "a0", "active", None)

    def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
        site = Site(TOOLS, ToolList(TOOLS), {}, Resources(Files([], 1024), dict), 1, Fleet(()))
        work = Work(Turn(db), db, "tester", 1, "r", site)
        result = methods.answer(work, Request(method, params, 1, False), revisions.MODERN)
        decoded: dict[str, Any] = orjson.loads(orjson.dumps(result))
        return decoded

    return answer


def pages(ask: Ask, method: str) -> list[list[str]]:
    key, name = LISTS[method]
    found: list[list[str]] = []
    params: dict[str, Any] = {}
    while True:
        result = ask(method, params)
        found.append([item[name] for item in result[key]])
        if "nextCursor" not in result:
            return found
        params = {"cursor": result["nextCursor"]}


@pytest.mark.parametrize("method", LISTS)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 18])
def test_pages_together_are_the_list(ask: Ask, monkeypatch: pytest.MonkeyPatch, method: str, size: int) -> None:
    [whole] = pages(ask, method)
    monkeypatch.setattr(cursors, "PAGE_SIZE", size)
    found = pages(ask, method)
    assert [item for page in found for item in page] == whole
    assert all(len(page) == size for page in found[:-1])
    assert 0 < len(found[-1]) <= size


@pytest.mark.parametrize("method", LISTS)
def test_a_place_that_is_none_is_refused(ask: Ask, method: str) -> None:
    for position in (["nonsense"], ["nonsense", "x"], ["a", "b", "c"]):
        cursor = cursors.encode(method, position)
        if method == "prompts/list":
            continue  # any name is a place between names
        with pytest.raises(InvalidParams, match=f"not a cursor that {method} gave out"):
            ask(method, {"cursor": cursor})
