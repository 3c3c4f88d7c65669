from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from mcpd.store.database import Database
from mcpd.tools.base import Call, Tool
from mcpd.tools.registry import TOOLS

Run = Callable[..., dict[str, Any]]
MINUTE_US = 60_000_000


@pytest.fixture
def run(db: Database) -> Run:
    """Call a tool at a given time (µs) as the server does, without server."""

    def call(tool_name: str, at_us: int = 1_000_000, /, **arguments: Any) -> dict[str, Any]:
        tool = TOOLS[tool_name]
        assert isinstance(tool, Tool)
        result = tool.call(Call(db, "tester", at_us, 10 * MINUTE_US), tool.convert(arguments))
        decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(result))
        return decoded

    return call
