"""What the registers are told: uses of data, and accesses to what is declared sensitive.

Nothing is guessed from names or paths. An access is logged because the tool or resource is declared to be of a class;
whose data it was, why, and whether in an emergency, is what the arguments of those names say.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from mcpd.compliance.classes import Classification, is_sensitive
from mcpd.compliance.consents import Purpose, Subject
from mcpd.store import events, registers
from mcpd.store.database import Database
from mcpd.store.registers import Access, Processing
from mcpd.times import rfc3339

Basis = Literal[
    "consent", "contract", "legal_obligation", "vital_interests", "public_task", "legitimate_interest"
]  # fmt: skip
"""The six of GDPR article 6(1)."""

_MAX_TEXT = 1024


class Use(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A use of data to be recorded (GDPR article 30); what is not said is not known."""

    data_type: Annotated[str, Meta(min_length=1, max_length=256)]
    classification: Classification
    purpose: Purpose
    legal_basis: Basis | None = None
    user_id: Subject | None = None
    retention_days: Annotated[int, Meta(ge=1, le=36500)] | None = None
    encrypted: bool | None = None
    third_party_shared: bool | None = None


def record(db: Database, now_us: int, caller: str, use: Use) -> str:
    """Record a use of data; return the record's id."""
    record_id = f"dpr_{secrets.token_hex(16)}"
    registers.add_processing(
        db,
        Processing(
            record_id, use.data_type, use.classification, use.purpose, use.legal_basis, use.user_id,
            use.retention_days, use.encrypted, use.third_party_shared, caller, None, now_us,
        ),
    )  # fmt: skip
    data = {"id": record_id, "data_type": use.data_type, "purpose": use.purpose, "caller": caller}
    events.add(db, now_us, "compliance.processing_recorded", None, data)
    return record_id


def note_access(
    db: Database,
    now_us: int,
    caller: str,
    what: tuple[str, str],
    classification: str,
    outcome: str,
    request_id: str,
    arguments: object = None,
) -> None:
    """Log that *caller* used *what* (action, resource), if it is declared sensitive."""
    if not is_sensitive(classification):
        return
    action, resource = what
    said: Mapping[str, Any] = arguments if isinstance(arguments, dict) else {}
    registers.add_access(
        db,
        Access(
            f"access_{secrets.token_hex(16)}", caller, _text(said.get("subject")), resource[:_MAX_TEXT], action,
            classification, outcome, _text(said.get("reason")), said.get("emergency") is True, request_id, None, now_us,
        ),
    )  # fmt: skip


def shown(record: Processing) -> dict[str, Any]:
    """Return *record* as clients see it."""
    return {
        "id": record.id,
        "timestamp": rfc3339(record.at_us),
        "data_type": record.data_type,
        "classification": record.classification,
        "purpose": record.purpose,
        "legal_basis": record.legal_basis,
        "user_id": record.subject,
        "retention_days": record.retention_days,
        "encrypted": _flag(record.encrypted),
        "third_party_shared": _flag(record.shared),
        "recorded_by": record.recorded_by,
    }


def _flag(value: bool | None) -> bool | None:
    return None if value is None else bool(value)


def _text(value: object) -> str | None:
    return value[:_MAX_TEXT] if isinstance(value, str) and value else None
