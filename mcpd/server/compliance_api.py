"""What the API's description says of the compliance endpoints."""

from __future__ import annotations

from typing import Any

import msgspec

from mcpd.compliance import breaches, consents, reports
from mcpd.compliance.registers import Use
from mcpd.server.api import Operation, Schema
from mcpd.server.compliance_endpoint import FOLDER, Days, Person, Secret
from mcpd.server.compliance_orders import Why

_TEXT: Schema = {"type": "string"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_TIME: Schema = {"type": "string", "format": "date-time"}
_TIME_OR_NULL: Schema = {"type": ["string", "null"], "format": "date-time"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}
_FLAG_OR_NULL: Schema = {"type": ["boolean", "null"]}
_ROWS: Schema = {"type": "object", "additionalProperties": _COUNT}
_PAGE = ("limit", "offset")
_REFUSED = {404: "compliance is switched off.", 503: "The database cannot be used for now."}
_WRONG = {400: "The body or a parameter is malformed; the message says how."}
_MISSING = {404: "There is none of that id, or compliance is switched off."}
_TOO_LARGE = {413: "It is too large."}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _body(kind: type[Any]) -> Schema:
    """Return the schema of a body, which holds no other structs."""
    _, found = msgspec.json.schema_components((kind,), ref_template="#/{name}")
    schema: Schema = found[kind.__name__]
    return schema


_CONSENT = _object(
    id=_TEXT, user_id=_TEXT, purpose=_TEXT, granted_at=_TIME, expires_at=_TIME_OR_NULL, withdrawn=_FLAG,
    withdrawn_at=_TIME_OR_NULL, active=_FLAG, version=_TEXT, recorded_by=_TEXT_OR_NULL,
)  # fmt: skip
_RECORD = _object(
    id=_TEXT, timestamp=_TIME, data_type=_TEXT, classification=_TEXT, purpose=_TEXT, legal_basis=_TEXT_OR_NULL,
    user_id=_TEXT_OR_NULL, retention_days={"type": ["integer", "null"]}, encrypted=_FLAG_OR_NULL,
    third_party_shared=_FLAG_OR_NULL, recorded_by=_TEXT_OR_NULL,
)  # fmt: skip
_DEADLINE = _object(
    regulation=_TEXT, authority=_TEXT, deadline_hours=_COUNT, due=_TIME, applies=_TEXT, told=_TIME_OR_NULL,
    overdue=_FLAG,
)  # fmt: skip
_BREACH = _object(
    id=_TEXT, detected_at=_TIME, severity=_TEXT, affected_records=_COUNT, data_types=_list({}),
    description=_TEXT_OR_NULL, containment=_TEXT_OR_NULL, subjects_told=_TIME_OR_NULL, closed=_TIME_OR_NULL,
    deadlines=_list(_DEADLINE), recorded_by=_TEXT_OR_NULL,
)  # fmt: skip
_POLICY = _object(
    type=_TEXT, retention_days=_COUNT, classification=_TEXT, deletion_method=_TEXT_OR_NULL,
    legal_requirement=_TEXT_OR_NULL, updated_at=_TIME,
)  # fmt: skip
_REQUIREMENT = _object(requirement=_TEXT, what=_TEXT)
_REPORT = _object(
    framework={"enum": list(reports.NAMES)},
    generated_at=_TIME,
    status={"enum": ["no_findings", "action_required", "non_compliant"]},
    findings=_list(_object(type=_TEXT, count=_COUNT, action=_TEXT, requirement=_TEXT)),
    met=_list(_REQUIREMENT),
    not_assessed=_list(_object(requirement=_TEXT, what=_TEXT, reason=_TEXT)),
)
_EXPORT = _object(
    user_id=_TEXT,
    export_date=_TIME,
    data={"type": "object", "additionalProperties": _list({"type": "object"})},
    next=_TEXT_OR_NULL,
)
_ERASED = _object(
    success=_FLAG,
    erasure_id=_TEXT,
    deleted=_ROWS,
    anonymised=_ROWS,
    files=_COUNT,
    kept=_list(_object(what=_TEXT, why=_TEXT)),
)
_OPERATIONS: dict[str, Operation] = {
    "GET report": Operation(
        "What the state of this installation says about a framework", {200: ("The report.", _REPORT)},
        refusals=_WRONG | _REFUSED, query=("framework",),
    ),
    "GET consents": Operation(
        "Consents, newest first; of a person for a purpose also whether one holds",
        {200: ("They.", _object(consents=_list(_CONSENT), total=_COUNT))},
        refusals=_WRONG | _REFUSED, query=("user_id", "purpose", *_PAGE),
    ),
    "POST consent": Operation(
        "Record a consent", {200: ("Recorded.", _object(success=_FLAG, consent_id=_TEXT))}, _body(consents.Grant),
        _WRONG | _REFUSED,
    ),
    "DELETE consent/{name}": Operation(
        "Withdraw a consent; success is false where it was before", {200: ("It is withdrawn.", _object(success=_FLAG))},
        refusals=_REFUSED | _MISSING,
    ),
    "GET processing": Operation(
        "Records of processing, newest first", {200: ("They.", _object(records=_list(_RECORD), total=_COUNT))},
        refusals=_WRONG | _REFUSED, query=_PAGE,
    ),
    "POST processing": Operation(
        "Record a use of data", {200: ("Recorded.", _object(record_id=_TEXT))}, _body(Use), _WRONG | _REFUSED
    ),
    "GET retention": Operation(
        "How many days data is kept, 0 for ever, and when the rest was last deleted",
        {200: ("It.", _object(policies=_list(_POLICY), enforced_at=_TIME_OR_NULL))}, refusals=_REFUSED,
    ),
    "PUT retention/{name}": Operation(
        "Set how long data of a type is kept", {200: ("Set.", _object(type=_TEXT, retention_days=_COUNT))}, _body(Days),
        _WRONG | _REFUSED | _MISSING,
    ),
    "POST encrypt": Operation(
        "Encrypt a text with the key of this machine; what is public or internal stays as it is",
        {200: ("It.", _object(encrypted=_TEXT, classification=_TEXT, algorithm=_TEXT_OR_NULL, key_id=_TEXT_OR_NULL))},
        _body(Secret), _WRONG | _TOO_LARGE | _REFUSED,
    ),
    "POST anonymize": Operation(
        "Mask the people in some data", {200: ("It.", _object(anonymized={"type": "object"}))}, _body(Person),
        _WRONG | _TOO_LARGE | _REFUSED,
    ),
    "GET export/{name}": Operation(
        "All that is stored about a person, in parts: next is the after of the next one", {200: ("A part.", _EXPORT)},
        refusals=_WRONG | _REFUSED, query=("after",),
    ),
    "DELETE user/{name}": Operation(
        "Erase what is stored about a person", {200: ("It is done; kept says what stays, and why.", _ERASED)},
        _body(Why), _WRONG | _REFUSED | {409: "It is an agent, or is being erased."}, body_optional=True,
    ),
    "GET breaches": Operation(
        "The register of breaches, last detected first",
        {200: ("They.", _object(breaches=_list(_BREACH), total=_COUNT))}, refusals=_WRONG | _REFUSED, query=_PAGE,
    ),
    "POST breach": Operation(
        "Record a breach",
        {200: ("Recorded.", _object(breach_id=_TEXT, reported=_FLAG, required_notifications=_list(_DEADLINE)))},
        _body(breaches.Report), _WRONG | _REFUSED,
    ),
    "PUT breach/{name}": Operation(
        "Note who was told of a breach, what was done about it, and that it is closed", {200: ("It.", _BREACH)},
        _body(breaches.Progress), _WRONG | _REFUSED | _MISSING,
    ),
}  # fmt: skip
OPERATIONS = {key.replace(" ", f" {FOLDER}/"): operation for key, operation in _OPERATIONS.items()}
"""The operations, by method and path."""
