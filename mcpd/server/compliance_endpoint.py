"""``/api/mcp/compliance/*``: consents, records, breaches, retention, encryption; for people who operate mcpd alone.

What looks through the whole database (reports, exports, erasures) is in ``compliance_orders``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta

from mcpd.compliance import anonymise, breaches, consents, registers, reports, retention
from mcpd.compliance.breaches import Progress, Report
from mcpd.compliance.classes import OPEN, Classification
from mcpd.compliance.consents import Grant
from mcpd.compliance.registers import Use
from mcpd.compliance.vault import ALGORITHM, KEY_BYTES, Vault
from mcpd.errors import AccessDenied, Error, InvalidRequest, StoreUnavailable
from mcpd.protocol.http import HttpLater, HttpRequest, HttpResponse
from mcpd.protocol.jsonrpc import decode
from mcpd.server import rest
from mcpd.server.compliance_orders import Orders
from mcpd.server.work import Work
from mcpd.store import audit
from mcpd.store import breaches as register
from mcpd.store import consents as stored
from mcpd.store import registers as records
from mcpd.store.audit import Entry
from mcpd.store.database import store_errors

Reply = HttpResponse | HttpLater
Handler = Callable[[HttpRequest, Work], Reply]

FOLDER = "/api/mcp/compliance"
_MAX_TEXT = 262_144
_MAX_DATA = 65_536  # bytes; looking for people takes its time, and everybody waits
_MAX_ITEMS = 1000
_Keys = Annotated[list[Annotated[str, Meta(min_length=1, max_length=256)]], Meta(max_length=100)]


class Secret(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text to be encrypted."""

    data: str
    classification: Classification = "confidential"


class Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Data to be anonymised; the values of the keys in *pseudonymize* get lasting pseudonyms, which *salt* varies."""

    data: dict[str, Any]
    pseudonymize: _Keys = []
    salt: Annotated[str, Meta(max_length=256)] = ""


class Days(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long data of a type is kept, 0 for ever."""

    retention_days: Annotated[int, Meta(ge=0, le=36500)]


def status(*, enabled: bool) -> dict[str, object]:
    """Return what ``/api/mcp/status`` says of all this; frameworks are those that there are reports on."""
    return {
        "enabled": enabled,
        "frameworks": list(reports.NAMES.values()) if enabled else [],
        "encryption": ALGORITHM if enabled else None,
        "data_retention": "Policy-based" if enabled else None,
        "audit_logging": "Enabled",
    }


class ComplianceEndpoint:
    """The endpoints; *orders* are those that take longer than a turn, *vault* has the key."""

    def __init__(self, orders: Orders, vault: Vault, *, enabled: bool) -> None:
        self._orders = orders
        self._vault = vault
        self._enabled = enabled

    def handlers(self) -> Mapping[str, Mapping[str, Handler]]:
        """Return what answers, by path and method."""
        found: dict[str, dict[str, Callable[[HttpRequest, Work], Reply]]] = {
            "report": {"GET": self._orders.report},
            "consents": {"GET": _consents},
            "consent": {"POST": _grant},
            "consent/{name}": {"DELETE": _withdraw},
            "processing": {"GET": _processing, "POST": _record},
            "retention": {"GET": _retention},
            "retention/{name}": {"PUT": _set_retention},
            "encrypt": {"POST": self._encrypt},
            "anonymize": {"POST": self._anonymise},
            "export/{name}": {"GET": self._orders.export},
            "user/{name}": {"DELETE": self._orders.erase},
            "breaches": {"GET": _breaches},
            "breach": {"POST": _breach},
            "breach/{name}": {"PUT": _follow},
        }
        return {
            f"{FOLDER}/{path}": {method: self._guarded(handler) for method, handler in methods.items()}
            for path, methods in found.items()
        }

    def _guarded(self, handler: Handler) -> Handler:
        def guarded(http: HttpRequest, work: Work) -> Reply:
            try:
                if work.by_agent:
                    raise AccessDenied("an agent may not use this; people who operate mcpd may")
                if not self._enabled:
                    raise InvalidRequest(
                        "compliance is switched off (compliance.enabled, mcpd.toml(5))", http_status=404
                    )
                with store_errors():
                    return handler(http, work)
            except Error as error:
                return rest.refuse(work, error)

        return guarded

    def _encrypt(self, http: HttpRequest, work: Work) -> HttpResponse:
        asked = _body(http, Secret)
        if len(asked.data) > _MAX_TEXT:
            raise InvalidRequest(
                f"data: expected at most {_MAX_TEXT} characters, got {len(asked.data)}", http_status=413
            )
        is_open = asked.classification in OPEN

        def change() -> dict[str, Any]:
            answer = {
                "encrypted": asked.data,
                "classification": asked.classification,
                "algorithm": None,
                "key_id": None,
            }
            if is_open:
                return answer
            vault = self._vault
            records.use_key(work.db, vault.key_id, ALGORITHM, KEY_BYTES * 8, work.now_us)
            encrypted = vault.encrypt(asked.data, asked.classification)
            return answer | {"encrypted": encrypted, "algorithm": ALGORITHM, "key_id": vault.key_id}

        details = {"classification": asked.classification, "characters": len(asked.data)}
        return _change(work, "encrypt", None, details, change)

    def _anonymise(self, http: HttpRequest, work: Work) -> HttpResponse:
        if len(http.body) > _MAX_DATA:
            raise InvalidRequest(f"expected at most {_MAX_DATA} bytes, got {len(http.body)}", http_status=413)
        asked = _body(http, Person)
        named = anonymise.comparable(asked.pseudonymize)

        def kept(key: str, value: Any) -> str | None:
            is_kept = key in named and isinstance(value, str | int | float) and not isinstance(value, bool)
            return self._vault.pseudonym(str(value), asked.salt) if is_kept else None

        def change() -> dict[str, Any]:
            try:
                return {"anonymized": anonymise.anonymise(asked.data, kept)}
            except ValueError as exc:
                raise InvalidRequest(str(exc)) from exc

        return _change(work, "anonymize", None, {"bytes": len(http.body), "pseudonymize": asked.pseudonymize}, change)


def _consents(http: HttpRequest, work: Work) -> HttpResponse:
    query = _query(http)
    limit, offset = _number(query, "limit", _MAX_ITEMS), _number(query, "offset", 0)
    subject, purpose = query.get("user_id"), query.get("purpose")
    found, total = stored.page(work.db, subject, purpose, min(limit, _MAX_ITEMS), offset)
    answer: dict[str, Any] = {"consents": [consents.shown(consent, work.now_us) for consent in found], "total": total}
    if subject is not None and purpose is not None:
        answer["active"] = stored.is_active(work.db, subject, purpose, work.now_us)
    return rest.answer(answer)


def _grant(http: HttpRequest, work: Work) -> HttpResponse:
    given = _body(http, Grant)

    def change() -> dict[str, Any]:
        consent = consents.grant(work.db, work.now_us, work.caller, given)
        return {"success": True, "consent_id": consent.id} | consents.shown(consent, work.now_us)

    return _change(work, "consent.grant", given.user_id, msgspec.to_builtins(given), change)


def _withdraw(_http: HttpRequest, work: Work) -> HttpResponse:
    def change() -> dict[str, Any]:
        return {"success": consents.withdraw(work.db, work.now_us, work.caller, work.target)}

    return _change(work, "consent.withdraw", work.target, {}, change)


def _processing(http: HttpRequest, work: Work) -> HttpResponse:
    query = _query(http)
    limit, offset = _number(query, "limit", 100), _number(query, "offset", 0)
    found, total = records.processing(work.db, min(limit, _MAX_ITEMS), offset)
    return rest.answer({"records": [registers.shown(record) for record in found], "total": total})


def _record(http: HttpRequest, work: Work) -> HttpResponse:
    use = _body(http, Use)

    def change() -> dict[str, Any]:
        return {"record_id": registers.record(work.db, work.now_us, work.caller, use)}

    return _change(work, "processing", use.user_id, msgspec.to_builtins(use), change)


def _retention(_http: HttpRequest, work: Work) -> HttpResponse:
    return rest.answer({"policies": retention.policies(work.db), "enforced_at": retention.enforced_at(work.db)})


def _set_retention(http: HttpRequest, work: Work) -> HttpResponse:
    days = _body(http, Days).retention_days

    def change() -> dict[str, Any]:
        if not retention.set_days(work.db, work.now_us, work.caller, work.target, days):
            known = ", ".join(policy["type"] for policy in retention.policies(work.db))
            raise InvalidRequest(
                f"there is no type of data {work.target[:80]!r}; expected one of {known}", http_status=404
            )
        return {"type": work.target, "retention_days": days}

    return _change(work, "retention.set", work.target, {"retention_days": days}, change)


def _breaches(http: HttpRequest, work: Work) -> HttpResponse:
    query = _query(http)
    limit, offset = _number(query, "limit", 100), _number(query, "offset", 0)
    found, total = register.newest(work.db, min(limit, _MAX_ITEMS), offset)
    return rest.answer({"breaches": [breaches.shown(breach, work.now_us) for breach in found], "total": total})


def _breach(http: HttpRequest, work: Work) -> HttpResponse:
    report = _body(http, Report)

    def change() -> dict[str, Any]:
        breach = breaches.record(work.db, work.now_us, work.caller, report)
        required = breaches.deadlines(breach, work.now_us)
        return {"breach_id": breach.id, "reported": True, "required_notifications": required}

    return _change(work, "breach", None, msgspec.to_builtins(report), change)


def _follow(http: HttpRequest, work: Work) -> HttpResponse:
    progress = _body(http, Progress)

    def change() -> dict[str, Any]:
        return breaches.shown(breaches.follow(work.db, work.now_us, work.caller, work.target, progress), work.now_us)

    return _change(work, "breach.follow", work.target, msgspec.to_builtins(progress), change)


def _change(
    work: Work, operation: str, resource: str | None, details: object, change: Callable[[], dict[str, Any]]
) -> HttpResponse:
    """Make the *change* together with its audit record; a refused one leaves the record alone."""
    work.stored = True
    started_ns = time.perf_counter_ns()

    def note(outcome: str) -> None:
        duration_us = (time.perf_counter_ns() - started_ns) // 1000
        name = f"compliance/{operation}"
        entry = Entry(
            work.now_us, work.caller, name, resource, outcome, duration_us, work.request_id, None, details, work.trace
        )
        audit.add(work.db, entry)

    def make() -> dict[str, Any]:
        made = change()
        note("ok")
        return made

    try:
        return rest.answer(work.turn.run(make))
    except StoreUnavailable:
        raise
    except Error:
        work.turn.run(lambda: note("refused"))
        raise


def _body(http: HttpRequest, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(decode(http.body), kind)
    except msgspec.ValidationError as exc:
        raise InvalidRequest(f"the body: {exc}") from exc


def _query(http: HttpRequest) -> Mapping[str, str]:
    try:
        return dict(parse_qsl(http.query, max_num_fields=50))
    except ValueError as exc:
        raise InvalidRequest(f"the query is malformed: {exc}") from exc


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidRequest(f"parameter '{name}': expected a whole number from 0, got {text[:40]!r}")
    return int(text)
