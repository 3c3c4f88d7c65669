"""Who may use the compliance endpoints: people who operate mcpd, and no agent."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from mcpd.access.callers import Caller
from mcpd.config import Config
from mcpd.config import Database as DatabaseSettings
from mcpd.protocol.http import HttpRequest, HttpResponse
from mcpd.protocol.signing import KEY_BYTES
from mcpd.server import compliance_api
from mcpd.server.core import Core, Exchange
from mcpd.store.database import Database

OPERATIONS = sorted(compliance_api.OPERATIONS)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(
    ("caller", "words"),
    [
        (Caller("agent:backend-api", True, is_agent=True), "an agent may not use this"),
        (Caller("eve", False, "user eve is not in group mcp-admin"), "is not in group mcp-admin"),
    ],
    ids=["agent", "stranger"],
)
def test_nobody_else_is_let_in(db: Database, tmp_path: Path, operation: str, caller: Caller, words: str) -> None:
    core = Core(db, Config(database=DatabaseSettings(path=str(tmp_path / "mcp.db"))), bytes(KEY_BYTES))
    method, path = operation.split()
    http = HttpRequest(method, path.replace("{name}", "ada"), "", {b"host": b"localhost"}, b"{}", True)
    before = db.rows("SELECT * FROM sqlite_sequence")
    [answer] = core.answer_turn([Exchange(http, caller)], 1)
    assert isinstance(answer.response, HttpResponse)
    assert (answer.response.status, answer.work.fault) == (403, None)
    assert words in orjson.loads(answer.response.body)["error"]
    assert db.rows("SELECT * FROM sqlite_sequence") == before
    assert not (tmp_path / "compliance.key").exists()


def test_every_route_is_described_and_every_description_served(db: Database) -> None:
    core = Core(db, Config(), bytes(KEY_BYTES))
    served = {
        f"{method} {path}"
        for path, route in core._routes.items()
        if "/compliance/" in path
        for method in route.handlers
    }
    assert served == set(OPERATIONS)
