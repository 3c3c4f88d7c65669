"""Which events somebody wants, by patterns of topics. Pure.

A topic is words with dots between them. A pattern is a topic, or the beginning of one, in which ``*`` stands for any
one word: ``agent`` and ``agent.*`` are all about agents, ``*.changed`` is every change, ``*`` everything.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from mcpd.errors import InvalidParams

MAX_PATTERNS = 64
MAX_LENGTH = 128
_WORD = r"[A-Za-z0-9_-]+"
_PATTERN = re.compile(rf"(?:{_WORD}|\*)(?:\.(?:{_WORD}|\*))*")


@dataclass(frozen=True, slots=True)
class Topics:
    """What *patterns* match, together; without any, everything."""

    patterns: tuple[str, ...]
    _found: re.Pattern[str] | None = None

    @classmethod
    def parse(cls, patterns: Iterable[str]) -> Topics:
        """Return what *patterns* mean, each one or several with commas between them; raises ``InvalidParams``."""
        words = tuple(dict.fromkeys(word.strip(" ") for given in patterns for word in given.split(",")))
        if len(words) > MAX_PATTERNS:
            raise InvalidParams(f"expected at most {MAX_PATTERNS} patterns of topics, got {len(words)}")
        for word in words:
            if len(word) > MAX_LENGTH or not _PATTERN.fullmatch(word):
                expected = "words with dots between them, * for any one word, such as agent.* or *.changed"
                raise InvalidParams(f"{word[:MAX_LENGTH]!r} is no pattern of topics; expected {expected}")
        if not words or "*" in words:
            return cls(words)
        either = "|".join(word.replace(".", r"\.").replace("*", r"[^.]+") for word in words)
        return cls(words, re.compile(rf"(?:{either})(?:\..*)?", re.DOTALL))

    def matches(self, topic: str) -> bool:
        """Say whether *topic* is wanted."""
        return self._found is None or self._found.fullmatch(topic) is not None


@lru_cache(maxsize=256)
def patterns_of(topic: str) -> frozenset[str]:
    """Return every pattern that matches *topic*, whose words are few."""
    words = [(word, "*") for word in topic.split(".")]
    return frozenset(".".join(chosen) for end in range(1, len(words) + 1) for chosen in itertools.product(*words[:end]))
