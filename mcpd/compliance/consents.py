"""Consents of the people whom data is about: given for a purpose and a time, withdrawn, asked for."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

import msgspec
import orjson
from msgspec import Meta

from mcpd.errors import InvalidRequest
from mcpd.store import consents, events
from mcpd.store.consents import Consent
from mcpd.store.database import Database
from mcpd.store.retention import DAY_US
from mcpd.times import rfc3339, stated

Subject = Annotated[str, Meta(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]*$")]
Purpose = Annotated[str, Meta(min_length=1, max_length=256)]
Days = Annotated[int, Meta(ge=1, le=36500)]
_VERSION = "1.0"


class Grant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A consent that is given; without *duration_days* (null) it holds until it is withdrawn."""

    user_id: Subject
    purpose: Purpose
    duration_days: Days | None = 365
    version: Annotated[str, Meta(min_length=1, max_length=64)] = _VERSION
    metadata: dict[str, Any] | None = None


def grant(db: Database, now_us: int, caller: str, given: Grant) -> Consent:
    """Record the consent *given*."""
    expires_us = None if given.duration_days is None else now_us + given.duration_days * DAY_US
    metadata = None if given.metadata is None else orjson.dumps(given.metadata).decode()
    consent = Consent(
        f"consent_{secrets.token_hex(16)}", given.user_id, given.purpose, now_us, expires_us, None, given.version,
        caller, metadata, now_us,
    )  # fmt: skip
    consents.add(db, consent)
    data = {"id": consent.id, "purpose": consent.purpose, "caller": caller}
    events.add(db, now_us, "compliance.consent_granted", None, data)
    return consent


def withdraw(db: Database, now_us: int, caller: str, consent_id: str) -> bool:
    """Withdraw a consent; return False if that was done before. Raises ``InvalidRequest`` (404) where there is none."""
    consent = consents.find(db, consent_id)
    if consent is None:
        raise InvalidRequest(f"there is no consent {consent_id[:80]!r}", http_status=404)
    if consent.withdrawn_us is not None:
        return False
    consents.withdraw(db, consent_id, now_us)
    data = {"id": consent_id, "purpose": consent.purpose, "caller": caller}
    events.add(db, now_us, "compliance.consent_withdrawn", None, data)
    return True


def shown(consent: Consent, now_us: int) -> dict[str, Any]:
    """Return *consent* as clients see it."""
    return {
        "id": consent.id,
        "user_id": consent.subject,
        "purpose": consent.purpose,
        "granted_at": rfc3339(consent.granted_us),
        "expires_at": stated(consent.expires_us),
        "withdrawn": consent.withdrawn_us is not None,
        "withdrawn_at": stated(consent.withdrawn_us),
        "active": consent.is_active(now_us),
        "version": consent.version,
        "recorded_by": consent.recorded_by,
    }
