"""What tools of plug-ins return is what they announced, or a fault of theirs."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from mcpd.plugins.api import Arguments, AsyncTool, Call, Context, Outcome, Plugin, Result, Text, Tool
from mcpd.plugins.checks import checked
from mcpd.store.database import Database
from tests.unit.server.client import Site


class Counted(Result):
    number: int


class Other(Result):
    number: int


class Later(msgspec.Struct):
    number: int


RIGHT: list[Any] = [Counted(success=True, number=5), Later(5), Outcome(structured={"number": 5})]
FAILED = Outcome((Text("no"),), is_error=True)
WRONG: list[Any] = [
    5, None, "text", {"number": "five"}, Counted(success=True, number="five"), Other(success=True, number=5),  # type: ignore[arg-type]
    Later("five"), Outcome(structured=[5]),  # type: ignore[arg-type]
]  # fmt: skip


def called(db: Database, name: str, returned: Any) -> Any:
    def at_once(_call: Call, _arguments: Arguments) -> Any:
        return returned

    async def later(_context: Context, _arguments: object) -> Any:
        return returned

    more: dict[str, Any] = {"title": "T", "description": "A test."}
    tools: list[Any] = [
        Tool(name="at_once", arguments=Arguments, result=Counted, function=at_once, **more),
        AsyncTool(name="later", result=Later, function=later, **more),
    ]

    async def scene() -> Any:
        site = Site(db, checked(Plugin(tools=tools)))
        site.has_faults = True
        return await site.call(name).answer()

    return asyncio.run(scene())


def test_what_was_announced_is_passed_on(db: Database) -> None:
    assert called(db, "at_once", RIGHT[0])["result"]["structuredContent"] == {"success": True, "number": 5}
    for right in RIGHT[1:]:
        assert called(db, "later", right)["result"]["structuredContent"] == {"number": 5}
    assert called(db, "later", FAILED)["result"]["isError"] is True


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_anything_else_is_a_fault(db: Database, wrong: Any) -> None:
    names = ["at_once"] if isinstance(wrong, Other) else ["at_once", "later"]
    for name in names:
        assert called(db, name, wrong)["error"]["code"] == -32603
