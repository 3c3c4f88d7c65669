"""What happened, in order: written in the transaction that made it so and read by number.

An event is a row of ``events``; or a record of the audit that is a tool's call, or one of the log of reads, which were
written anyway and are events by the same sequence of numbers. Which topics there are, ``protocol.events`` says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson

from mcpd.store.database import Database, Row

RESTORED = "database.restored"
"""The topic of the event at which an older database went on (store/succession.py)."""

Wanted = Callable[[Row], bool]
_PAGE = 500
_SEARCHED = 10_000
_BOUNDS = """
SELECT
    ifnull((SELECT max(seq) FROM events), 0), ifnull((SELECT max(id) FROM audit), 0),
    ifnull((SELECT max(id) FROM resource_access_log), 0), merged_after, removed_to
FROM event_log"""
_STATED = "SELECT seq, at_us, topic, agent, data FROM events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
_PROVEN = "WHEN caller GLOB 'agent:?*' THEN substr(caller, 7)"
_CALLS = f"""
SELECT
    id, at_us, 'tool.called',
    CASE {_PROVEN} WHEN json_type(details, '$.agent') = 'text' THEN details ->> '$.agent' END,
    json_object('tool', resource, 'outcome', outcome, 'caller', caller, 'duration_us', duration_us,
        'request', request_id, 'session', session_id)
FROM audit
WHERE id > ? AND id <= ? AND (operation = 'tools/call' OR operation GLOB 'hooks/?*') ORDER BY id LIMIT ?"""  # noqa: S608
_READS = f"""
SELECT
    id, at_us, 'resource.read', CASE {_PROVEN} END,
    json_object('uri', uri, 'caller', caller, 'request', request_id, 'session', session_id, 'error', error)
FROM resource_access_log WHERE id > ? AND id <= ? ORDER BY id LIMIT ?"""  # noqa: S608


_COUNTS = f"""
SELECT topic, agent, count(*)
FROM (SELECT * FROM ({_STATED}) UNION ALL SELECT * FROM ({_CALLS}) UNION ALL SELECT * FROM ({_READS}))
GROUP BY topic, agent"""  # noqa: S608


def add(db: Database, now_us: int, topic: str, agent: str | None, data: Mapping[str, object]) -> None:
    """Append an event of *topic* about *agent*."""
    db.execute(
        "INSERT INTO events VALUES (?, ?, ?, ?, ?)",
        (db.sequence.next(), now_us, topic, agent, orjson.dumps(data).decode()),
    )


def since(db: Database, seq: int, limit: int, *, derived: bool = True) -> list[Row]:
    """Return (seq, at_us, topic, agent, data as JSON text) of the *limit* events after number *seq*, in order.

    Without *derived*, calls and reads are left out. Whether events are missing before them, since retention has removed
    them, ``removed_to`` tells if it is asked afterwards.
    """
    stated, called, read, *floors = db.rows(_BOUNDS)[0]
    # What has a number up to the newest was committed by now, so that the queries need not see the same moment.
    last = max(stated, called, read)
    rows = db.rows(_STATED, (seq, last, limit)) if stated > seq else []
    after = max(seq, *floors)
    if derived and called > after:
        rows += db.rows(_CALLS, (after, last, limit))
    if derived and read > after:
        rows += db.rows(_READS, (after, last, limit))
    return sorted(rows)[:limit]


def counts(db: Database, seq: int, last: int) -> list[tuple[str, str | None, int]]:
    """Return how many events there are behind number *seq* and up to *last*, by topic and agent."""
    after = max(seq, *db.rows("SELECT merged_after, removed_to FROM event_log")[0])
    rows = db.rows(_COUNTS, (seq, last, -1, after, last, -1, after, last, -1))
    return [(topic, agent, number) for topic, agent, number in rows]


def latest(db: Database, wanted: Wanted, limit: int, *, derived: bool = True) -> list[Row]:
    """Return the last *limit* events that are *wanted*, in order, of those that are not too far back."""
    last, floor, span = newest(db), removed_to(db), 4 * limit
    while True:
        seq = max(floor, last - span)
        rows, _ = after(db, seq, wanted, span, derived=derived)
        if len(rows) >= limit or seq == floor or span > _SEARCHED:
            return rows[-limit:]
        span *= 4


def after(db: Database, seq: int, wanted: Wanted, limit: int, *, derived: bool = True) -> tuple[list[Row], int]:
    """Return *limit* events after number *seq* that are *wanted*, or fewer, and the number up to which was looked."""
    found: list[Row] = []
    looked, end = 0, newest(db)
    while looked < _SEARCHED:
        rows = since(db, seq, _PAGE, derived=derived)
        if not rows:
            return found, max(seq, end)  # there may be numbers that are no events'
        for row in rows:
            seq = row[0]
            if wanted(row):
                found.append(row)
                if len(found) == limit:
                    return found, seq
        looked += len(rows)
    return found, seq


def newest(db: Database) -> int:
    """Return the number of the newest event, or one that is higher and that no event will have; 0 if there was none."""
    return db.sequence.newest()


def removed_to(db: Database) -> int:
    """Return the number up to which events were removed; 0 if none was."""
    return int(db.value("SELECT removed_to FROM event_log"))


def oldest(db: Database) -> int:
    """Return the number from which on no event is missing: behind those that retention has removed."""
    return removed_to(db) + 1


def restored_in(db: Database, seq: int, until: int) -> int | None:
    """Return the number of the last event behind *seq* and up to *until* at which an older database went on."""
    found: int | None = db.value(
        "SELECT max(seq) FROM events WHERE seq > ? AND seq <= ? AND topic = ?", (seq, until, RESTORED)
    )
    return found


def restorations(db: Database) -> list[tuple[int, int]]:
    """Return the number of each event at which an older database went on, and the one before it there, newest first."""
    rows = db.rows("SELECT seq, data ->> 'after' FROM events WHERE topic = ? ORDER BY seq DESC", (RESTORED,))
    return [(int(seq), int(after)) for seq, after in rows]


def remove_to(db: Database, seq: int) -> int:
    """Remove the events up to number *seq*; return how many rows went.

    Calls and reads are events no more from then on, though their records stay.
    """
    db.execute("DELETE FROM events WHERE seq <= ?", (seq,))
    removed = db.connection.changes()
    db.execute("UPDATE event_log SET removed_to = max(removed_to, ?)", (seq,))
    return removed


def number_at(db: Database, at_us: int) -> int:
    """Return the number behind which the events from *at_us* on are; they are nearly in the order of time."""
    low, high = removed_to(db), newest(db)
    while low < high:
        middle = (low + high) // 2
        found = since(db, middle, 1)
        if found and found[0][1] < at_us:
            low = found[0][0]
        else:
            high = middle
    return low


def count_of(db: Database, topic: str, since_us: int) -> int:
    """Return how many events of *topic*, with a row of its own, there were since *since_us*."""
    return int(db.value("SELECT count(*) FROM events WHERE topic = ? AND at_us >= ?", (topic, since_us)))
