"""All that is stored about a person: found, wherever it is, and handed out or erased.

What is about nobody else (a consent, what an agent is doing) is deleted; what others need too (the audit, who worked on
what) stays, with an id in the place of the name that nothing leads back from.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from mcpd.compliance.mentions import Mentions
from mcpd.errors import InvalidRequest
from mcpd.store import subjects
from mcpd.store.database import Database, Row
from mcpd.store.subjects import Table
from mcpd.times import NEVER_US, STATED

PAGE = 2000
BATCH = 200
_CANDIDATES = 500

_OWN: Mapping[str, tuple[str, ...]] = {
    "agents": ("name",),
    "hook_states": ("agent",),
    "terminal_states": ("agent",),
    "terminal_viewers": ("agent", "caller"),
    "claims": ("agent",),
    "calls": ("caller",),
    "idempotent_results": ("caller",),
    "subject_consents": ("subject",),
    "processing_records": ("subject",),
}
"""Table → the columns of which one, being the name, makes a row the subject's alone."""

_WORDS = frozenset(("topic", "operation", "outcome", "level"))
"""Columns whose whole content is a word of ours, whoever is called so."""

_SHOWN = {"subject_consents": "consents", "sensitive_accesses": "access_logs"}
"""What the system before mcpd called these in an export."""

_RESERVED = frozenset(("agent", "claude", "system", "unknown", "mcpd", "root"))


@dataclass(frozen=True, slots=True)
class Page:
    """A part of what is stored about a subject: rows by table, and the ``place`` where the next part begins."""

    rows: dict[str, list[dict[str, Any]]]
    place: tuple[str, Row] | None


@dataclass(slots=True)
class Erased:
    """How many rows of each table were deleted, and in how many the name was replaced."""

    deleted: dict[str, int] = field(default_factory=dict)
    anonymised: dict[str, int] = field(default_factory=dict)

    def add(self, other: Erased) -> None:
        """Count what *other* counted."""
        for mine, theirs in ((self.deleted, other.deleted), (self.anonymised, other.anonymised)):
            for table, number in theirs.items():
                mine[table] = mine.get(table, 0) + number

    def as_json(self) -> dict[str, dict[str, int]]:
        """Return the counts."""
        return {"deleted": self.deleted, "anonymised": self.anonymised}


def check(subject: str) -> None:
    """Raise ``InvalidRequest`` unless *subject* can be looked for: a name, not just any word or number."""
    if len(subject) < 2 or not any(map(str.isalpha, subject)) or subject != subject.strip():
        raise InvalidRequest("user_id: expected a name of at least two characters, one of them a letter")
    if subject.lower() in _RESERVED:
        raise InvalidRequest(f"user_id: {subject} is no person's name here")


def export(db: Database, subject: str, place: tuple[str, Row] | None, limit: int = PAGE) -> Page:
    """Return at most *limit* rows that are about *subject* or name it, from *place* on."""
    mentions, found, left = Mentions(subject), dict[str, list[dict[str, Any]]](), limit
    for table in subjects.tables(db):
        after = None
        if place is not None and table.name <= place[0]:
            if table.name < place[0]:
                continue
            if len(place[1]) not in (0, len(table.key)):
                raise _misplaced()
            after = place[1] or None
        while rows := subjects.candidates(db, table, mentions.needles, after, _CANDIDATES):
            for key, row in rows:
                if not left:
                    return Page(found, (table.name, after or ()))
                after = key
                if _names(table, row, mentions):
                    found.setdefault(_SHOWN.get(table.name, table.name), []).append(_plain(row))
                    left -= 1
    return Page(found, None)


def read_place(text: str) -> tuple[str, Row]:
    """Return the place that *text* (``write_place``) names; raises ``InvalidRequest``."""
    try:
        table, *key = orjson.loads(base64.urlsafe_b64decode(text.encode()))
    except (ValueError, TypeError) as exc:
        raise _misplaced() from exc
    if not isinstance(table, str) or not all(isinstance(part, str | int) for part in key):
        raise _misplaced()
    return table, tuple(key)


def _misplaced() -> InvalidRequest:
    return InvalidRequest("parameter 'after': expected, unchanged, what the last part said")


def write_place(place: tuple[str, Row]) -> str:
    """Return *place* as text for a URL."""
    return base64.urlsafe_b64encode(orjson.dumps([place[0], *place[1]])).decode("ascii")


def pseudonym() -> str:
    """Return a new id to stand where a name stood."""
    return f"erased-{secrets.token_hex(8)}"


def named(db: Database, table: Table, mentions: Mentions, after: Row | None) -> tuple[list[Row], Row | None]:
    """Return the keys of some rows of *table* that name the subject, and where to go on, None at the end."""
    found: list[Row] = []
    while rows := subjects.candidates(db, table, mentions.needles, after, _CANDIDATES):
        after = rows[-1][0]
        found += [key for key, row in rows if _names(table, row, mentions)]
        if len(found) >= BATCH:
            return found, after
    return found, None


def erase(db: Database, table: Table, keys: list[Row], mentions: Mentions, name: str) -> Erased:
    """Delete the rows *keys* of *table* that are the subject's alone; put *name* for the subject into the others."""
    done = Erased()
    with subjects.without_traces(db):
        for key in keys:
            row = subjects.row(db, table, key)
            if row is None:
                continue
            if any(mentions.is_name(row[column]) for column in _OWN.get(table.name, ())):
                subjects.delete(db, table, key)
                done.add(Erased(deleted={table.name: 1}))
            elif changed := _changed(table, row, mentions, name):
                subjects.rewrite(db, table, key, changed)
                done.add(Erased(anonymised={table.name: 1}))
    return done


def erase_files(directory: Path, mentions: Mentions) -> int:
    """Remove the exports in *directory* that name the subject; return how many those were."""
    gone = 0
    for path in directory.glob("*.jsonl"):
        with path.open(encoding="utf-8") as lines:
            named = any(mentions.found(line) for line in lines)
        if named:
            path.unlink(missing_ok=True)
            gone += 1
    return gone


def _names(table: Table, row: Mapping[str, Any], mentions: Mentions) -> bool:
    return any(_is_mention(column, row[column], mentions) for column in table.texts)


def _is_mention(column: str, text: object, mentions: Mentions) -> bool:
    return mentions.found(text) and not (column in _WORDS and text == mentions.subject)


def _changed(table: Table, row: Mapping[str, Any], mentions: Mentions, name: str) -> dict[str, str]:
    texts = {column: row[column] for column in table.texts if _is_mention(column, row[column], mentions)}
    return {column: mentions.replaced(text, name) for column, text in texts.items()}


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = {name: value.hex() if isinstance(value, bytes) else value for name, value in row.items()}
    return shown | {name: None for name in STATED & row.keys() if row[name] == NEVER_US}
