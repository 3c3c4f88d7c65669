"""Data without the people in it: values under telling names are masked, and what looks like one anywhere else. Pure.

The results for the names that the system before mcpd knew are its results; what it let pass (nested data, other
spellings of a name, numbers, texts with an address in them, the age of the very old) is masked too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

REDACTED = "REDACTED"
MAX_DEPTH = 64

_REMOVED = frozenset(
    (
        "name", "full_name", "first_name", "last_name", "given_name", "family_name", "surname", "maiden_name",
        "username", "user_name", "patient_name", "customer_name", "contact_name", "phone", "phone_number",
        "telephone", "mobile", "fax", "ssn", "social_security_number", "tax_id", "passport", "passport_number",
        "driver_license", "license_plate", "ip", "ip_address", "mac_address", "device_id", "user_id", "patient_id",
        "customer_id", "account_number", "iban", "medical_record", "medical_record_number", "mrn", "credit_card",
        "credit_card_number", "card_number", "pan", "cvv", "cvc", "address", "street", "street_address",
        "date_of_birth", "birth_date", "birthday", "dob", "password", "biometric", "fingerprint", "photo", "latitude",
        "longitude",
    )
)  # fmt: skip
_EMAILS = frozenset(("email", "e_mail", "email_address", "mail"))
_ZIPS = frozenset(("zip", "zip_code", "postal_code", "postcode"))
_SPARSE = frozenset(
    (
        "036", "059", "063", "102", "203", "556", "692", "790", "821", "823", "830", "831", "878", "879", "884", "890",
        "893",
    )
)  # fmt: skip
"""Beginnings of ZIP codes of so few people that they tell who it is (45 CFR 164.514(b), census of 2000)."""

_OLD = 90
_LOCAL = r"[\w.!#$%&'*+/=?^`{|}~-]"
_EMAIL = re.compile(rf"(?<!{_LOCAL}){_LOCAL}+@[\w-]+(?:\.[\w-]+)+")  # from its beginning on only, or it is quadratic
_NUMBERS = (
    re.compile(r"(?<![\w.-])\d{3}-\d{2}-\d{4}(?![\w-])"),  # US social security
    re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]\w)"),  # IPv4
    re.compile(r"(?<![\w:])(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}(?![\w:])"),  # IPv6, written out
)
_CARD = re.compile(r"(?<![\w-])\d(?:[ -]?\d){12,18}(?![\w-])")


def anonymise(
    data: dict[str, Any], kept: Callable[[str, Any], str | None] = lambda _key, _value: None
) -> dict[str, Any]:
    """Return *data* (JSON) anonymised; *kept* may have a text for the value of a key instead of ``REDACTED``.

    Raises ``ValueError`` when it is nested deeper than ``MAX_DEPTH``.
    """
    return _object(data, kept, MAX_DEPTH)


def _object(data: dict[str, Any], kept: Callable[[str, Any], str | None], depth: int) -> dict[str, Any]:
    if not depth:
        raise ValueError(f"expected data nested at most {MAX_DEPTH} deep")
    result: dict[str, Any] = {}
    for key, value in data.items():
        known = normalised(key)
        replaced = kept(known, value)
        if replaced is not None:
            result[key] = replaced
        elif known == "age" and not isinstance(value, dict | list):
            result.setdefault("age_group", _age_group(value))
        else:
            result[key] = _value(known, value, kept, depth)
    return result


def _value(key: str, value: Any, kept: Callable[[str, Any], str | None], depth: int) -> Any:
    if isinstance(value, dict):
        return _object(value, kept, depth - 1)
    if isinstance(value, list):
        if depth <= 1:
            raise ValueError(f"expected data nested at most {MAX_DEPTH} deep")
        return [_value(key, item, kept, depth - 1) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if key in _REMOVED:
        return REDACTED
    if key in _EMAILS:
        return _email(str(value))
    if key in _ZIPS:
        return _zip(str(value))
    return _number(value) if isinstance(value, int | float) else text(value)


def normalised(key: str) -> str:
    """Return how the names of values are compared: ``firstName``, ``First-Name`` and ``first_name`` are one."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key)
    return re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")


def text(value: str) -> str:
    """Return *value* with addresses and numbers of people in it masked."""
    value = _EMAIL.sub(lambda match: _email(match[0]), value)
    for pattern in _NUMBERS:
        value = pattern.sub(REDACTED, value)
    return _CARD.sub(lambda match: REDACTED if _is_card(match[0]) else match[0], value)


def _number(value: float) -> float | str:
    digits = str(value)
    return REDACTED if isinstance(value, int) and 13 <= len(digits) <= 19 and _is_card(digits) else value


def _email(value: str) -> str:
    local, at, domain = value.strip().rpartition("@")
    if not at or not domain:
        return REDACTED
    shown = local[:2] if len(local) > 2 and re.fullmatch(r"[A-Za-z0-9._-]{2}", local[:2]) else ""
    return f"{shown}****@{domain}"


def _age_group(value: Any) -> str:
    try:
        age = int(value)
    except (TypeError, ValueError, OverflowError):
        return REDACTED
    if isinstance(value, bool) or age < 0:
        return REDACTED
    return f"{_OLD}+" if age >= _OLD else f"{age // 10 * 10}-{age // 10 * 10 + 9}"


def _zip(value: str) -> str:
    code = value.strip()
    if re.fullmatch(r"\d{3}\*\*", code):
        return code  # masked before
    if not re.fullmatch(r"\d{5}(-?\d{4})?", code, re.ASCII):
        return REDACTED
    return ("000" if code[:3] in _SPARSE else code[:3]) + "**"


def _is_card(text: str) -> bool:
    """Say whether the digits of *text* could be a card's number, which ends with a check digit (ISO/IEC 7812)."""
    digits = [int(c) for c in text if c.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return sum(digits[-1::-2]) % 10 == -sum(doubled) % 10


def comparable(keys: Collection[str]) -> frozenset[str]:
    """Return *keys* as names of values are compared."""
    return frozenset(map(normalised, keys))
