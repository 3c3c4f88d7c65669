"""The phrases by which agents of the old system asked for its tools, in the middle of what they wrote.

Pure. The old bridge searched for its patterns anywhere; ``echo heartbeat`` was one, and so was every "we should". Here
a phrase must begin a sentence, outside of code and quotations, and must name its object in the form that only a request
has. Text that a human addressed to the agent is no request to us unless it says so (``MCP: heartbeat``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice

MAX_CHARS = 65_536
_MAX_SENTENCES = 500
_MAX_SENTENCE_CHARS = 2_000

_FENCED = re.compile(r"^[ \t]*(```|~~~).*?(?:^[ \t]*\1[^\n]*$|\Z)", re.MULTILINE | re.DOTALL)
_MARKUP = re.compile(r"[ \t]*(?:[-*+•][ \t]+|\d{1,3}[.)][ \t]+|#{1,6}[ \t]+)?(?:\*{1,2})?")
_SENTENCE = re.compile(r"(?<=[.!?])[ \t]+")
_QUOTES = " \t\"'`*"
_ASKED = r"(?:please |now |then |next,? |first,? |ok(?:ay)?,? )?"
_OWN = r"(?:(?:I'll|I’ll|I will|I'm|I’m|I am|let me|I) )?"
_PROSE = r"(?!(?:is|are|was|were|has|takes|returns|records|can|should|must|will|and|or|of|tool|calls?)\b)"


@dataclass(frozen=True, slots=True)
class Phrase:
    """A request found in text: the *tool* and what the phrase says besides, by the name that the phrase gives it."""

    tool: str
    words: dict[str, str] = field(default_factory=dict)


def _compiled(*patterns: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(_ASKED + pattern, re.IGNORECASE) for pattern in patterns)


def _named(tool: str) -> str:
    """Return the pattern of a sentence in which the agent says that it uses *tool*."""
    kind = r"(?: (?:MCP )?tool)?(?: to| for| with)?[:\s]+"
    return rf"{_OWN}(?:use|call|invoke)(?:ing)? (?:the )?{tool}{kind}(?P<object>.+)"


_PATTERNS: dict[str, tuple[re.Pattern[str], ...]] = {
    "log_activity": _compiled(
        _named("log_activity"),
        rf"log_activity[:\s]+{_PROSE}(?P<object>.+)",
        rf"{_OWN}log(?:ging)? (?:the |this |an )?activity:\s*(?P<object>.+)",
        r"(?:(?:I'll|I’ll|I will|let me) log|logging) (?:the |this )?activity (?P<object>.+)",
        r"announc(?:e|ing):\s*(?P<object>.+)",
    ),
    "check_conflicts": _compiled(
        _named("check_conflicts"),
        rf"{_OWN}check(?:ing)? (?:for )?conflicts?(?: for| with| on| in|:) (?P<object>.+)",
        rf"{_OWN}check(?:ing)? (?:for )?conflicts? (?P<object>\S+)[.!]?$",
        rf"{_OWN}verify(?:ing)? (?:no )?conflicts?(?: with)? (?P<object>\S+)[.!]?$",
    ),
    "register_component": _compiled(
        _named("register_component"),
        rf"{_OWN}(?:register(?:ing)?|creat(?:e|ing|ed)) (?:the )?component:\s*(?P<object>\S.{{0,200}})",
        rf"{_OWN}(?:register(?:ing)?|creat(?:ing|ed)) (?:the )?component (?P<object>[^\s,;]+)[.!]?$",
    ),
    "update_status": _compiled(
        _named("update_status"),
        rf"{_OWN}updat(?:e|ing) (?:my )?status(?: to)?:\s*(?P<object>.+)",
        rf"{_OWN}updat(?:e|ing) my status(?: to)? (?P<object>.+)",
        r"status update:\s*(?P<object>.+)",
        r"(?:I'm|I’m|I am) now (?P<object>(?:actively )?(?:active|idle|busy|blocked|waiting|offline|ready|available"
        r"|(?:working|blocked|waiting) (?:on|for|at) .+))[.!]?$",
    ),
    "heartbeat": _compiled(
        rf"{_OWN}(?:use|call|invoke|send)(?:ing)? (?:the |a |my )?heartbeat(?: (?:MCP )?tool)?[.!]?$",
        r"(?:I'm|I’m|I am) (?:still )?(?:active|alive)[.!]?$",
        r"(?:heartbeat|keep.?alive)[.!]?$",
    ),
    "request_collaboration": _compiled(
        _named("request_collaboration"),
        rf"{_OWN}request(?:ing)? (?:collaboration|help)(?: from (?:the )?(?P<who>[\w-]+)(?: agent)?"
        r"(?::| for| with| on| to)?)?[:\s]+(?:with |on |for )?(?P<object>.+)",
        r"(?:I need|I'm needing|needing|need) (?:help|assistance)(?: from (?:the )?(?P<who>[\w-]+)(?: agent)?)?"
        r" (?:with|on|for) (?P<object>.+)",
        r"(?:let's |let us )?collaborate with (?:the )?(?P<who>[\w-]+)(?: agent)? on (?P<object>.+)",
    ),
    "propose_decision": _compiled(
        _named("propose_decision"),
        rf"{_OWN}propos(?:e|ing) (?:a |the )?(?:decision|choice):\s*(?P<object>.+)",
        rf"{_OWN}propos(?:e|ing) (?:decision|choice) (?P<object>.+)",
        r"(?P<object>should we [^?]+\?)$",
        rf"{_OWN}vot(?:e|ing) (?:on|for):\s*(?P<object>.+)",
    ),
    "find_component_owner": _compiled(
        _named("find_component_owner"),
        r"(?:who|what agent|which agent) (?:owns|created) (?:the )?(?P<object>[^?]+?)(?: component)?\?",
        rf"{_OWN}find (?:the )?(?:owner|creator) (?:of|for) (?:the )?(?P<object>[^?\s,]+)(?: component)?[.?!]?$",
        r"component owner:\s*(?P<object>.+)",
    ),
}
"""The tools in the order in which they are looked for."""

TOOLS = tuple(_PATTERNS)

_DIRECT = re.compile(rf"MCP:[ \t]*(?:(?P<tool>{'|'.join(TOOLS)})\b[:\s]*(?P<object>.*)|(?P<phrase>.+))", re.IGNORECASE)
_AGENT = (
    re.compile(r"\bI am the ([\w-]{1,64}) agent\b", re.IGNORECASE),
    re.compile(r"^[ \t]*(?:Agent|Role):[ \t]*([\w-]{1,64})[ \t]*$", re.IGNORECASE | re.MULTILINE),
)


def find(text: str, *, spoken: bool = True) -> Phrase | None:
    """Return the request in *text*, the first tool's of ``TOOLS`` that has one; None if there is none.

    Without *spoken*, only lines that address us count: ``MCP: heartbeat``, ``MCP: log_activity Tests are green``.
    """
    lines = list(_lines(text[:MAX_CHARS]))
    for line in lines:
        direct = _direct(line)
        if direct is not None:
            return direct
    return _spoken(lines) if spoken else None


def agent(text: str) -> str | None:
    """Return the agent that *text* says it is of, None if it does not say."""
    for pattern in _AGENT:
        found = pattern.search(text[:MAX_CHARS])
        if found is not None:
            return found[1]
    return None


def _lines(text: str) -> Iterator[str]:
    for line in _FENCED.sub("", text).splitlines():
        marked = _MARKUP.match(line)
        bare = line[marked.end() if marked else 0 :].rstrip(" \t*")
        if bare and bare[0] not in ">|$`\"'":
            yield bare


def _direct(line: str) -> Phrase | None:
    found = _DIRECT.match(line)
    if found is None:
        return None
    if found["tool"] is None:
        return _spoken([found["phrase"]])
    words = _clean({"object": found["object"]})
    tool = found["tool"].lower()
    return Phrase(tool, words) if words or tool == "heartbeat" else None


def _spoken(lines: list[str]) -> Phrase | None:
    sentences = list(islice(_sentences(lines), _MAX_SENTENCES))
    for tool, patterns in _PATTERNS.items():
        for sentence in sentences:
            for pattern in patterns:
                found = pattern.match(sentence)
                if found is not None:
                    words = _clean(found.groupdict())
                    if "object" in words or tool == "heartbeat":
                        return Phrase(tool, words)
    return None


def _sentences(lines: list[str]) -> Iterator[str]:
    """Yield the rest of each line from each of its sentences on: what is said in a phrase may be several of them."""
    for line in lines:
        for start in chain([0], (gap.end() for gap in _SENTENCE.finditer(line))):
            yield line[start : start + _MAX_SENTENCE_CHARS]


def _clean(groups: dict[str, str | None]) -> dict[str, str]:
    stripped = {name: (value or "").strip(_QUOTES) for name, value in groups.items()}
    return {name: value for name, value in stripped.items() if value}
