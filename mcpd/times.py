"""Times as mcpd shows them: RFC 3339, UTC, from whole microseconds since the Unix epoch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

NEVER_US = 0
"""A time that nothing says: when an agent of the old system was last heard of, or a component registered."""

STATED = frozenset(("created_us", "updated_us", "last_seen_us", "since_us"))
"""Columns of the database that may hold ``NEVER_US``."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=1024)  # the requests of one turn share their time
def rfc3339(at_us: int) -> str:
    """Return *at_us* as in ``2026-07-28T12:00:00.123456Z`` (RFC 3339 section 5.6)."""
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def stated(at_us: int | None) -> str | None:
    """Return *at_us* as ``rfc3339`` does, None where nothing says when that was."""
    return None if at_us is None or at_us == NEVER_US else rfc3339(at_us)
