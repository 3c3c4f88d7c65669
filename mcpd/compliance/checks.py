"""One look each at the state of this installation: how much of what is wrong there is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcpd.compliance import breaches, retention
from mcpd.store import audit, consents, registers, subjects
from mcpd.store import breaches as register
from mcpd.store import retention as rules
from mcpd.store.database import Database
from mcpd.store.retention import DAY_US

_SENSITIVE = ("confidential", "restricted", "pii", "phi", "pci")
_HIPAA_DAYS = 2190
_PCI_DAYS = 365
_BACKUP_AGE_US = 2 * DAY_US


@dataclass(frozen=True, slots=True)
class Facts:
    """What the configuration and the files say: who may call, where backups and key are."""

    open_loopback: bool
    backup_directory: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Result:
    """A finding of a ``type`` if ``count`` is not 0, with what to do; or why it is ``unknown`` whether there is one."""

    type: str
    count: int
    action: str
    unknown: str | None = None


def expired_data(db: Database, _facts: Facts, now_us: int) -> Result:
    """Look for data whose time is over."""
    return Result(
        "expired_data", retention.count_due(db, now_us), "Delete expired data: mcpctl compliance retention --enforce"
    )


def no_legal_basis(db: Database, _facts: Facts, _now_us: int) -> Result:
    """Look for processing of personal data without a legal basis."""
    action = "Record the legal basis, or stop the processing"
    return Result("no_legal_basis", registers.count_baseless(db), action, _unrecorded(db))


def without_consent(db: Database, _facts: Facts, now_us: int) -> Result:
    """Look for processing by consent, in the last 30 days, without one that held."""
    count = registers.count_unagreed(db, now_us - 30 * DAY_US)
    action = "Obtain consent for this purpose, or stop the processing"
    return Result("without_consent", count, action, _unrecorded(db))


def no_processing_records(db: Database, _facts: Facts, _now_us: int) -> Result:
    """Look for records of processing; where there are none, only people know whether there is processing."""
    return Result("no_processing_records", 0, "", _unrecorded(db))


def _unrecorded(db: Database) -> str | None:
    return None if registers.count_processing(db, 0) else "there are no records of processing to tell"


def unfinished_erasures(db: Database, _facts: Facts, _now_us: int) -> Result:
    """Look for erasures that were interrupted."""
    count = subjects.count_erasures(db, 0, unfinished=True)
    return Result("unfinished_erasure", count, "Ask for the erasure again; it goes on")


def unencrypted_sensitive_data(db: Database, _facts: Facts, _now_us: int) -> Result:
    """Look for sensitive data that is recorded as not encrypted."""
    return _unencrypted(db, "unencrypted_sensitive_data", _SENSITIVE, "Enable encryption for sensitive data")


def unencrypted_phi(db: Database, _facts: Facts, _now_us: int) -> Result:
    """Look for health information that is recorded as not encrypted."""
    return _unencrypted(db, "unencrypted_phi", ("phi",), "Encrypt health information")


def unencrypted_pci(db: Database, _facts: Facts, _now_us: int) -> Result:
    """Look for card data that is recorded as not encrypted."""
    return _unencrypted(db, "unencrypted_pci", ("pci",), "Encrypt card data, or do not keep it")


def _unencrypted(db: Database, kind: str, classes: tuple[str, ...], action: str) -> Result:
    return Result(kind, registers.count_unencrypted(db, classes), action, _unrecorded(db))


def open_access(_db: Database, facts: Facts, _now_us: int) -> Result:
    """Look whether everybody on this machine may call."""
    return Result("open_access", int(facts.open_loopback), 'Set access.loopback to "peer"')


def unencrypted_backups(_db: Database, facts: Facts, _now_us: int) -> Result:
    """Look for backups that anybody who has them can read."""
    found = _backups(facts)
    count = sum(path.name.endswith(".tar.gz") for path in found or ())
    return Result("unencrypted_backups", count, "Set backup.recipient to an age key", _unseen(found))


def no_recent_backup(_db: Database, facts: Facts, now_us: int) -> Result:
    """Look for a backup of the last two days."""
    found = _backups(facts)
    newest = max((path.stat().st_mtime for path in found or ()), default=0)
    is_old = newest * 1e6 < now_us - _BACKUP_AGE_US
    action = "Make one: mcpctl backup now; see mcpd-backup.timer"
    return Result("no_recent_backup", int(is_old), action, _unseen(found) if found is None else None)


def _backups(facts: Facts) -> list[Path] | None:
    """Return the backups, None where we may not look."""
    try:
        return [path for path in facts.backup_directory.iterdir() if path.name.startswith("mcp_backup_")]
    except OSError:
        return None


def _unseen(found: list[Path] | None) -> str | None:
    if found is None:
        return "the directory of the backups cannot be read"
    return None if found else "there are no backups yet"


def exposed_key(_db: Database, facts: Facts, _now_us: int) -> Result:
    """Look whether others may read the key."""
    try:
        mode = facts.key.stat().st_mode
    except OSError:
        return Result("exposed_key", 0, "", "there is no key yet; nothing was encrypted")
    return Result("exposed_key", int(bool(mode & 0o077)), f"chmod 600 {facts.key}")


def no_audit(db: Database, _facts: Facts, _now_us: int) -> Result:
    """Look whether anything was audited; where nothing was, nobody called."""
    unknown = None if audit.newest(db, None, 1, 0) else "nobody has called yet"
    return Result("no_audit", 0, "", unknown)


def short_audit(db: Database, _facts: Facts, _now_us: int) -> Result:
    """Look whether the audit goes before twelve months."""
    return Result("short_audit", _is_short(db, "audit", _PCI_DAYS), "mcpctl compliance retention audit 365, or longer")


def short_access_logs(db: Database, _facts: Facts, _now_us: int) -> Result:
    """Look whether the log of sensitive accesses goes before six years."""
    action = "mcpctl compliance retention sensitive_accesses 2190, or longer"
    return Result("short_access_logs", _is_short(db, "sensitive_accesses", _HIPAA_DAYS), action)


def _is_short(db: Database, data_type: str, days: int) -> int:
    return sum(0 < rule.days < days for rule in rules.rules(db) if rule.data_type == data_type)


def emergency_access(db: Database, _facts: Facts, now_us: int) -> Result:
    """Look for accesses in an emergency, in the last 7 days."""
    count = registers.count_accesses(db, "phi", now_us - 7 * DAY_US, "emergency")
    return Result("emergency_access", count, "Review emergency access logs")


def unexplained_access(db: Database, _facts: Facts, now_us: int) -> Result:
    """Look for accesses to health information without a reason, in the last 7 days."""
    count = registers.count_accesses(db, "phi", now_us - 7 * DAY_US, "unexplained")
    return Result("unexplained_access", count, "Have the tools that handle health information ask for a reason")


def overdue_breaches_gdpr(db: Database, _facts: Facts, now_us: int) -> Result:
    """Look for breaches of which the data protection authority should know."""
    return _overdue(db, "GDPR", "gdpr", now_us)


def overdue_breaches_hipaa(db: Database, _facts: Facts, now_us: int) -> Result:
    """Look for breaches of which the health authority should know."""
    return _overdue(db, "HIPAA", "hipaa", now_us)


def _overdue(db: Database, regulation: str, told: str, now_us: int) -> Result:
    count = breaches.count_overdue(db, now_us, regulation)
    action = f"Tell the authority, then: mcpctl compliance breach ID --told {told}"
    return Result("overdue_breach_notification", count, action)


def open_breaches(db: Database, _facts: Facts, _now_us: int) -> Result:
    """Look for breaches that are not closed."""
    return Result("open_breach", register.count_open(db), "Contain it, then: mcpctl compliance breach ID --close")


def shared_data(db: Database, _facts: Facts, now_us: int) -> Result:
    """Look for data that went to third parties, in the last 30 days."""
    count = registers.count_shared(db, now_us - 30 * DAY_US)
    action = "Review whether this is a sale or sharing that people can opt out of"
    return Result("shared_data", count, action, _unrecorded(db))


def gdpr_figures(db: Database, now_us: int) -> dict[str, Any]:
    """Return how many consents hold, and how much was processed in 30 days."""
    return {
        "active_consents": consents.count_active(db, now_us),
        "processing_activities_30d": registers.count_processing(db, now_us - 30 * DAY_US),
    }


def hipaa_figures(db: Database, now_us: int) -> dict[str, Any]:
    """Return how often health information was looked at in 7 days."""
    return {"access_logs_7d": registers.count_accesses(db, "phi", now_us - 7 * DAY_US)}


def ccpa_figures(db: Database, now_us: int) -> dict[str, Any]:
    """Return how many people's data was erased in the 45 days in which a request is to be answered."""
    return {"erasures_45d": subjects.count_erasures(db, now_us - 45 * DAY_US)}
