"""Calls that outlive their turn: waiting for answers, done but not delivered, or running as tasks."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import orjson

from mcpd.store.database import Database, Row

Status = Literal["working", "input_required", "completed", "failed", "cancelled"]
FINAL = ("completed", "failed", "cancelled")


class Record(msgspec.Struct, kw_only=True):
    """One call.

    ``session`` is the nonce of its session, None for a task; ``request`` what is needed to run it again; ``answers``
    what clients answered and ``asked`` what they are still to answer, by key; ``sent`` the number of the last event of
    its stream; ``outcome`` a task's result or error, or the response that was not delivered.
    """

    id: str
    session: str | None
    caller: str
    status: Status
    request: dict[str, Any]
    created_us: int
    updated_us: int
    expires_us: int
    message: str | None = None
    answers: dict[str, Any] = {}
    asked: dict[str, Any] = {}
    sent: int = 0
    outcome: Any = None


_NAMES = tuple(field.name for field in msgspec.structs.fields(Record))
_COLUMNS = ", ".join(_NAMES)
_JSON = frozenset({"request", "answers", "asked", "outcome"})


def put(db: Database, record: Record) -> None:
    """Keep *record*, in the place of what was kept under its id."""
    values = [_stored(name, getattr(record, name)) for name in _NAMES]
    db.execute(f"INSERT OR REPLACE INTO calls ({_COLUMNS}) VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608


def find(db: Database, call_id: str) -> Record | None:
    """Return the call *call_id*, None if it is not kept."""
    row = db.one(f"SELECT {_COLUMNS} FROM calls WHERE id = ?", (call_id,))  # noqa: S608
    return None if row is None else _record(row)


def of_session(db: Database, nonce: str) -> list[Record]:
    """Return the calls of the session *nonce*."""
    return [_record(row) for row in db.rows(f"SELECT {_COLUMNS} FROM calls WHERE session = ?", (nonce,))]  # noqa: S608


def working(db: Database) -> list[Record]:
    """Return the calls that were running when whoever ran them stopped."""
    return [_record(row) for row in db.rows(f"SELECT {_COLUMNS} FROM calls WHERE status = 'working'")]  # noqa: S608


def remove(db: Database, call_id: str) -> None:
    """Forget the call *call_id*."""
    db.execute("DELETE FROM calls WHERE id = ?", (call_id,))


def forget_session(db: Database, nonce: str) -> None:
    """Forget the calls of the session *nonce*."""
    db.execute("DELETE FROM calls WHERE session = ?", (nonce,))


def forget_expired(db: Database, now_us: int, limit: int = -1) -> int:
    """Forget *limit* calls whose time was up before *now_us*, or all; return how many."""
    db.execute("DELETE FROM calls WHERE id IN (SELECT id FROM calls WHERE expires_us < ? LIMIT ?)", (now_us, limit))
    return db.connection.changes()


def _stored(name: str, value: Any) -> Any:
    if name not in _JSON or (name == "outcome" and value is None):
        return value
    return orjson.dumps(value).decode()


def _record(row: Row) -> Record:
    values = {
        name: orjson.loads(value) if name in _JSON and value is not None else value
        for name, value in zip(_NAMES, row, strict=True)
    }
    return Record(**values)
