"""What a cut-over is judged by: criteria that each look at mcpd fulfils or not, and what follows if not. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from mcpd.config import Cutover
from mcpd.ctl.checks.check import Check, Outcome

CRITERIA = ("corruption", "availability", "latency", "terminals", "errors", "report")
"""By the keys of the configuration's section, which say what follows when one is not fulfilled; causes come first."""

SLOW_LOOKS = 3  # one slow look may be the machine's
_CORRUPTION = frozenset({"database", "integrity", "schema"})
_TERMINAL_PORTS = frozenset(f"port {port}" for port in range(8090, 8099))
_NOT_JUDGED = frozenset({"mcpd-backup.service", "mcpd-backup.timer"})


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at one time: health's *checks*, the p95 of some requests (None: none was answered), *errors* in the
    journal and *reports* of users since the switch.
    """

    checks: tuple[Check, ...]
    p95_us: int | None
    errors: tuple[str, ...]
    reports: int


def judge(look: Look, baseline_us: int | None, settings: Cutover) -> dict[str, str]:
    """Return what is wrong by criterion; empty when all are fulfilled."""
    failed = [check for check in look.checks if check.outcome is Outcome.FAILED]
    wrong: dict[str, list[str]] = {}
    for check in failed:
        if check.name not in _NOT_JUDGED:
            wrong.setdefault(_criterion(check.name), []).append(f"{check.name}: {check.detail}")
    if look.p95_us is None:
        wrong.setdefault("availability", []).append("no request was answered")
    elif baseline_us is not None and look.p95_us > baseline_us * settings.latency_ratio:
        allowed = baseline_us * settings.latency_ratio
        wrong["latency"] = [f"p95 is {look.p95_us / 1000:.1f} ms, {allowed / 1000:.1f} ms are allowed"]
    if look.errors:
        wrong["errors"] = [f"{len(look.errors)} in the journal, the last: {look.errors[-1]}"]
    if look.reports:
        wrong["report"] = [f"{look.reports} of users"]
    return {name: "; ".join(wrong[name]) for name in CRITERIA if name in wrong}


def _criterion(check: str) -> str:
    if check in _CORRUPTION:
        return "corruption"
    if check in _TERMINAL_PORTS or check.startswith("mcp-terminal@") or check == "terminals":
        return "terminals"
    return "availability"


def errors(entries: Iterable[Mapping[str, object]]) -> tuple[str, ...]:
    """Return what the journal's *entries* (of journalctl's JSON) say, but for those about what is not judged."""
    judged = (entry for entry in entries if not {entry.get("_SYSTEMD_UNIT"), entry.get("UNIT")} & _NOT_JUDGED)
    return tuple(str(entry.get("MESSAGE")) for entry in judged)


def decide(looks: Sequence[Mapping[str, str]], settings: Cutover) -> str | None:
    """Return why to roll back after *looks* (what was wrong at each, the newest last); None to go on."""
    if not looks:
        return None
    for name, detail in looks[-1].items():
        if getattr(settings, name) == "rollback" and (name != "latency" or _lasts(name, looks)):
            return f"{name}: {detail}"
    return None


def _lasts(name: str, looks: Sequence[Mapping[str, str]]) -> bool:
    return len(looks) >= SLOW_LOOKS and all(name in look for look in looks[-SLOW_LOOKS:])


def percentile(durations_us: Iterable[int], share: float) -> int:
    """Return the duration that *share* of *durations_us*, of which there is one at least, do not exceed."""
    ordered = sorted(durations_us)
    return ordered[max(0, -(-len(ordered) * round(share * 100) // 100) - 1)]
