"""What the watch's unit has to watch, beside a database that may be damaged."""

from __future__ import annotations

from pathlib import Path

from mcpd.ctl.cutover import order
from mcpd.store.cutovers import Cutover

WATCHED = Cutover(7, "cutover", "watching", 1, watch_until_us=2)


def test_an_order_is_read_as_it_was_kept_until_it_is_forgotten(tmp_path: Path) -> None:
    database = tmp_path / "mcp.db"
    assert order.load(database) is None
    order.keep(database, WATCHED)
    assert order.load(database) == WATCHED
    order.forget(database)
    order.forget(database)
    assert order.load(database) is None


def test_an_order_that_nobody_can_read_is_none(tmp_path: Path) -> None:
    (tmp_path / order.FILE).write_text('{"id": "seven"}')
    assert order.load(tmp_path / "mcp.db") is None
