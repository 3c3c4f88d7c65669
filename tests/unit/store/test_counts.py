"""The figures that ``GET /api/mcp/status`` shows are counted, not kept."""

from __future__ import annotations

from mcpd.store import activities, agents, components, decisions
from mcpd.store.database import Database


def test_counts_and_recent_rows_agree_with_what_was_written(db: Database) -> None:
    for at_us in range(5):
        agents.touch(db, f"agent-{at_us}", at_us)
        activities.add(db, at_us, "a", f"n {at_us}", "task", "completed", None)
    components.register(db, 1, "api", "a", "active", None)
    decisions.propose(db, 1, "c", "q", "a", None)
    assert [row[3] for row in activities.recent(db, 2)] == ["n 4", "n 3"]
    assert (activities.count(db), activities.count_since(db, 3)) == (5, 2)
    assert agents.count_seen_since(db, 3) == 2
    assert [row[0] for row in agents.seen_since(db, 1, 3)] == ["agent-1", "agent-2", "agent-3"]
    assert agents.status(db, "nobody") is None
    assert (components.count(db), decisions.count_pending(db)) == (1, 1)
