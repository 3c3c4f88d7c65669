from __future__ import annotations

from mcpd.store import sessions
from mcpd.store.database import Database


def test_ended_sessions_are_remembered_until_they_would_have_expired(db: Database) -> None:
    for at_us, nonce in enumerate(("a", "b", "b", "c")):
        sessions.end(db, nonce, at_us)
    assert sessions.ended(db) == {"a", "b", "c"}
    sessions.forget_before(db, 1)
    assert sessions.ended(db) == {"b", "c"}


def test_subscriptions_are_the_sessions_own_and_end_with_it(db: Database) -> None:
    for nonce, uri in (("a", "x"), ("a", "x"), ("a", "y"), ("b", "x")):
        sessions.subscribe(db, nonce, uri, 5)
    sessions.unsubscribe(db, "a", "x")
    assert (sessions.subscriptions(db, "a"), sessions.subscriptions(db, "b")) == ({"y"}, {"x"})
    sessions.end(db, "a", 6)
    assert sessions.subscriptions(db, "a") == set()
    sessions.forget_before(db, 6)
    assert sessions.subscriptions(db, "b") == set()
