"""The result of one check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """What a check came to; only ``FAILED`` makes the whole unhealthy."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, what came of it, what was seen, and what to do about it."""

    name: str
    outcome: Outcome
    detail: str
    advice: str = ""


def ok(name: str, detail: str) -> Check:
    """Return a check that passed."""
    return Check(name, Outcome.OK, detail)


def warning(name: str, detail: str, advice: str) -> Check:
    """Return a check that passed, but somebody should look."""
    return Check(name, Outcome.WARNING, detail, advice)


def failed(name: str, detail: str, advice: str) -> Check:
    """Return a check that did not pass."""
    return Check(name, Outcome.FAILED, detail, advice)


def skipped(name: str, detail: str, advice: str = "") -> Check:
    """Return a check that could not be made here."""
    return Check(name, Outcome.SKIPPED, detail, advice)
