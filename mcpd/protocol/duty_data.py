"""The types of the data of events about consent, clients and compliance; see ``protocol.events``."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from mcpd.protocol.event_data import Data


class ConsentRequested(Data, frozen=True):
    """``caller`` wants to call ``tool``; ``via`` is how the person is asked, ``question`` what it is asked."""

    id: str
    tool: str
    caller: str
    via: str
    question: str


class ConsentDecided(Data, frozen=True):
    """``by`` decided that ``caller`` may call ``tool``, or may not."""

    id: str
    tool: str
    caller: str
    decision: Literal["approved", "denied"]
    by: str


class Client(Data, frozen=True):
    """Which ``client`` it is, and ``by`` whom."""

    client: str
    by: str


class SubjectConsent(Data, frozen=True):
    """``id`` is that of the consent, which names the person."""

    id: str
    purpose: str
    caller: str


class ProcessingRecorded(Data, frozen=True):
    """``id`` is that of the record."""

    id: str
    data_type: str
    purpose: str
    caller: str


class Deadline(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Until when an authority must be told, and when it was."""

    regulation: str
    authority: str
    deadline_hours: int
    due: str
    applies: str
    told: str | None
    overdue: bool


class BreachRecorded(Data, frozen=True):
    """``deadlines`` are there where the severity asks for them."""

    id: str
    severity: str
    caller: str
    deadlines: list[Deadline]


class BreachChanged(Data, frozen=True):
    """``told`` is who knows of it now, if that is what changed."""

    id: str
    caller: str
    told: str | None
    closed: bool


class BreachOverdue(Data, frozen=True):
    """``deadlines`` say which has passed."""

    id: str
    severity: str
    deadlines: list[Deadline]


class ErasureBegun(Data, frozen=True):
    """``id`` stands for the person from now on."""

    id: str
    caller: str


class RowsErased(Data, frozen=True):
    """How many rows of each table one step deleted, and in how many it replaced the name."""

    id: str
    deleted: dict[str, int]
    anonymised: dict[str, int]


class Erased(Data, frozen=True):
    """``rows`` counts all of it, and the files that went."""

    id: str
    rows: dict[str, Any]
    caller: str


class RetentionChanged(Data, frozen=True):
    """Data of ``data_type`` is kept so many ``days`` from now on; 0 is for ever."""

    data_type: str
    days: int
    caller: str


class RetentionDeleted(Data, frozen=True):
    """How many ``rows`` one step deleted, all older than ``before``."""

    data_type: str
    rows: int
    before: str


class RetentionEnforced(Data, frozen=True):
    """``rows`` counts those of each type of data."""

    rows: dict[str, int]
    caller: str
