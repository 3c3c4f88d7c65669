"""The prompts in the database: found, listed, and changed, with the event that tells of it."""

from __future__ import annotations

from mcpd.errors import InvalidParams, PromptNotFound
from mcpd.prompts import base
from mcpd.prompts.base import Prompt
from mcpd.store import events, prompts
from mcpd.store.database import Database


def get(db: Database, name: object) -> Prompt:
    """Return the prompt *name*; raises ``PromptNotFound``."""
    if not isinstance(name, str):
        raise InvalidParams('params "name": expected the name of a prompt')
    row = prompts.find(db, name)
    if row is None:
        raise PromptNotFound(f"unknown prompt {name[:80]!r}; prompts/list names them")
    return base.of_row(row)


def page(db: Database, after: str, limit: int) -> list[Prompt]:
    """Return *limit* prompts behind the one called *after*, by name."""
    return [base.of_row(row) for row in prompts.after(db, after, limit)]


def put(db: Database, now_us: int, caller: str, prompt: Prompt) -> bool:
    """Store *prompt*; return whether it is new."""
    new = prompts.put(db, now_us, prompt.row())
    events.add(db, now_us, "prompts.changed", None, {"prompt": prompt.name, "change": "set", "by": caller})
    return new


def remove(db: Database, now_us: int, caller: str, name: str) -> None:
    """Remove the prompt *name*; raises ``PromptNotFound``."""
    get(db, name)
    prompts.remove(db, name)
    events.add(db, now_us, "prompts.changed", None, {"prompt": name, "change": "removed", "by": caller})
