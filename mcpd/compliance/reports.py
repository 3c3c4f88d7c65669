"""What the state of this installation says about the requirements of a framework, and what it cannot say.

A report never says that anybody complies: it has findings, requirements that were looked at and met as far as mcpd
sees, and those that mcpd knows nothing of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mcpd.compliance import checks
from mcpd.compliance.checks import Facts, Result
from mcpd.store.database import Database
from mcpd.times import rfc3339

Framework = Literal["gdpr", "hipaa", "soc2", "pci_dss", "iso_27001", "ccpa"]
Check = Callable[[Database, Facts, int], Result]

NAMES: Mapping[str, str] = {
    "gdpr": "GDPR",
    "hipaa": "HIPAA",
    "soc2": "SOC 2",
    "pci_dss": "PCI-DSS",
    "iso_27001": "ISO 27001",
    "ccpa": "CCPA",
}


@dataclass(frozen=True, slots=True)
class Requirement:
    """A requirement, by its place in the framework, and the check that looks at it, None where mcpd cannot know."""

    place: str
    what: str
    check: Check | None = None


_REQUIREMENTS: Mapping[str, tuple[Requirement, ...]] = {
    "gdpr": (
        Requirement("Art. 5(1)(e)", "data goes when its time is over", checks.expired_data),
        Requirement("Art. 6", "processing of personal data names its legal basis", checks.no_legal_basis),
        Requirement("Art. 7", "processing by consent rests on one that holds", checks.without_consent),
        Requirement("Art. 17", "erasures come to their end", checks.unfinished_erasures),
        Requirement("Art. 30", "there are records of processing", checks.no_processing_records),
        Requirement("Art. 32", "sensitive data is recorded as encrypted", checks.unencrypted_sensitive_data),
        Requirement("Art. 32", "only callers that are known may call", checks.open_access),
        Requirement("Art. 32", "backups are encrypted", checks.unencrypted_backups),
        Requirement("Art. 33", "the authority is told of breaches within 72 hours", checks.overdue_breaches_gdpr),
        Requirement("Art. 13, 14", "people are told what is done with their data"),
        Requirement("Art. 28", "contracts with processors"),
        Requirement("Art. 35", "impact assessments"),
        Requirement("Art. 44", "transfers to third countries"),
    ),
    "hipaa": (
        Requirement("164.308(a)(7)", "there is a recent backup", checks.no_recent_backup),
        Requirement("164.312(a)(1)", "only callers that are known may call", checks.open_access),
        Requirement("164.312(a)(2)(ii)", "accesses in an emergency are reviewed", checks.emergency_access),
        Requirement("164.312(a)(2)(iv)", "health information is recorded as encrypted", checks.unencrypted_phi),
        Requirement("164.312(b)", "accesses to health information say why", checks.unexplained_access),
        Requirement("164.316(b)(2)(i)", "logs of accesses are kept for six years", checks.short_access_logs),
        Requirement("164.408", "the authority is told of breaches within 60 days", checks.overdue_breaches_hipaa),
        Requirement("164.308(a)(1)", "risk analysis"),
        Requirement("164.308(a)(5)", "training of the people who work with it"),
        Requirement("164.310", "physical safeguards"),
        Requirement("164.314", "contracts with business associates"),
    ),
    "soc2": (
        Requirement("CC6.1", "sensitive data is recorded as encrypted", checks.unencrypted_sensitive_data),
        Requirement("CC6.1", "only callers that are known may call", checks.open_access),
        Requirement("CC6.1", "the key of the encryption is readable by its owner alone", checks.exposed_key),
        Requirement("CC7.2", "calls are audited", checks.no_audit),
        Requirement("CC7.4", "breaches are closed", checks.open_breaches),
        Requirement("A1.2", "there is a recent backup", checks.no_recent_backup),
        Requirement("C1.2", "data goes when its time is over", checks.expired_data),
        Requirement("CC1, CC2, CC3", "control environment, communication, risk assessment"),
        Requirement("CC8.1", "management of changes"),
    ),
    "pci_dss": (
        Requirement("3.5", "card data is recorded as encrypted", checks.unencrypted_pci),
        Requirement("3.6", "the key of the encryption is readable by its owner alone", checks.exposed_key),
        Requirement("3.2", "data goes when its time is over", checks.expired_data),
        Requirement("7, 8", "only callers that are known may call", checks.open_access),
        Requirement("10.2", "calls are audited", checks.no_audit),
        Requirement("10.5.1", "the audit is kept for twelve months", checks.short_audit),
        Requirement("12.10", "breaches are closed", checks.open_breaches),
        Requirement("1, 2", "network security, hardening of the machine"),
        Requirement("5, 6, 11", "malware, secure development, scans and penetration tests"),
        Requirement("9", "physical access"),
    ),
    "iso_27001": (
        Requirement("A.5.15", "only callers that are known may call", checks.open_access),
        Requirement("A.5.24", "breaches are closed", checks.open_breaches),
        Requirement("A.8.10", "data goes when its time is over", checks.expired_data),
        Requirement("A.8.13", "there is a recent backup", checks.no_recent_backup),
        Requirement("A.8.13", "backups are encrypted", checks.unencrypted_backups),
        Requirement("A.8.15", "calls are audited", checks.no_audit),
        Requirement("A.8.24", "sensitive data is recorded as encrypted", checks.unencrypted_sensitive_data),
        Requirement("A.8.24", "the key of the encryption is readable by its owner alone", checks.exposed_key),
        Requirement("4 to 10", "the management system: context, leadership, risk, internal audits"),
        Requirement("A.6, A.7", "people, physical controls"),
    ),
    "ccpa": (
        Requirement("1798.105", "erasures come to their end", checks.unfinished_erasures),
        Requirement("1798.100(a)(3)", "data goes when its time is over", checks.expired_data),
        Requirement("1798.120", "data that went to third parties is reviewed", checks.shared_data),
        Requirement("1798.150", "sensitive data is recorded as encrypted", checks.unencrypted_sensitive_data),
        Requirement("1798.130", "notices, and the ways in which people make requests"),
        Requirement("1798.135", "the link by which people opt out of sales"),
    ),
}

_EXTRAS: Mapping[str, Callable[[Database, int], dict[str, Any]]] = {
    "gdpr": checks.gdpr_figures,
    "hipaa": checks.hipaa_figures,
    "ccpa": checks.ccpa_figures,
}
_SEVERE = frozenset(
    (
        "unencrypted_sensitive_data",
        "without_consent",
        "overdue_breach_notification",
        "unencrypted_phi",
        "unencrypted_pci",
    )
)
"""Findings that are a violation as they stand, not something to look after."""


def report(db: Database, facts: Facts, framework: str, now_us: int) -> dict[str, Any]:
    """Return the report on *framework* (a key of ``NAMES``)."""
    findings, met, unknown = [], [], []
    for requirement in _REQUIREMENTS[framework]:
        place = {"requirement": requirement.place, "what": requirement.what}
        if requirement.check is None:
            unknown.append(place | {"reason": "mcpd cannot know"})
            continue
        result = requirement.check(db, facts, now_us)
        if result.unknown is not None:
            unknown.append(place | {"reason": result.unknown})
        elif result.count:
            found = {"type": result.type, "count": result.count, "action": result.action}
            findings.append(found | {"requirement": requirement.place})
        else:
            met.append(place)
    extras = _EXTRAS.get(framework)
    return {
        "framework": framework,
        "generated_at": rfc3339(now_us),
        "status": _status(findings),
        "findings": findings,
        "met": met,
        "not_assessed": unknown,
        **(extras(db, now_us) if extras else {}),
    }


def _status(findings: list[dict[str, Any]]) -> str:
    if any(finding["type"] in _SEVERE for finding in findings):
        return "non_compliant"
    return "action_required" if findings else "no_findings"
