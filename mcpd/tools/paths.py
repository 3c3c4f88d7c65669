"""Do two claims on files overlap? Paths and glob patterns, compared as languages and without touching the disk.

A claim on a path covers the path and everything beneath it. ``*`` and ``?`` match within one segment, ``**`` any
number of segments; ``[…]`` counts as any one character, which can only report an overlap too many, never one too few.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from mcpd.errors import ToolFailed

_ANY = "**"
_CLASS = re.compile(r"\[[^\]/]*\]")
MAX_SEGMENTS = 64
MAX_NAME = 255
MAX_WILDCARDS = 8  # what a comparison costs grows with their number on both sides


def normalise(path: str) -> str:
    """Return *path* in the one form in which it is stored: no ``.``, ``..``, doubled or trailing slash.

    Raises ``ToolFailed`` for a path that has control characters, leads above its start, or is no path or pattern that
    anybody means: too deep, too long a name, too many wildcards.
    """
    if not path.isprintable():
        raise ToolFailed(f"path {path!r} holds a control character")
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if not segments or segments[-1] == _ANY:
                raise ToolFailed(f"path {path!r} leads above its start; expected a path inside the project")
            segments.pop()
        elif segment not in ("", "."):
            segments.append(segment)
    if not segments:
        raise ToolFailed(f"path {path!r} names everything; expected a file or directory")
    if len(segments) > MAX_SEGMENTS or max(map(len, segments)) > MAX_NAME:
        raise ToolFailed(f"path {path[:60]!r}… is too deep or has a name of more than {MAX_NAME} characters")
    if sum(map(path.count, "*?[")) > MAX_WILDCARDS:
        raise ToolFailed(f"path {path!r} has more than {MAX_WILDCARDS} wildcards; expected a simpler pattern")
    return ("/" if path.startswith("/") else "") + "/".join(segments)


def is_pattern(path: str) -> bool:
    """Say whether *path* has a wildcard, so that it may stand for several files."""
    return any(wildcard in path for wildcard in "*?[")


def ancestors(path: str) -> Iterator[str]:
    """Yield *path* and each directory above it: what a plain path must equal to cover it."""
    yield path
    while (cut := path.rfind("/")) > 0:
        path = path[:cut]
        yield path


@lru_cache(maxsize=4096)
def overlap(first: str, second: str) -> bool:
    """Say whether some file can lie under both *first* and *second* (both as ``normalise`` returns them)."""
    if first.startswith("/") != second.startswith("/"):
        return False
    left, right = _WILD.split(first, maxsplit=1)[0], _WILD.split(second, maxsplit=1)[0]
    if not (left.startswith(right) or right.startswith(left)):
        return False
    return first == second or _meet(tuple(first.strip("/").split("/")), tuple(second.strip("/").split("/")))


_WILD = re.compile(r"[*?\[]")


def _meet(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    """Say whether the patterns' languages share a path, each pattern followed by anything beneath it.

    ``reachable`` holds the (i, j) to which both can be consumed by the same path; to exhaust one side is enough, since
    what lies beneath it is covered.
    """
    reachable, seen = [(0, 0)], {(0, 0)}
    while reachable:
        i, j = reachable.pop()
        if i == len(first) or j == len(second):
            return True
        for step in _steps(first[i], second[j]):
            following = (i + step[0], j + step[1])
            if following not in seen:
                seen.add(following)
                reachable.append(following)
    return False


def _steps(first: str, second: str) -> tuple[tuple[int, int], ...]:
    if _ANY in (first, second):
        return ((1, 0), (0, 1))
    return ((1, 1),) if _segments_meet(first, second) else ()


def _segments_meet(first: str, second: str) -> bool:
    """Say whether some name matches both glob segments, by the same walk over (i, j)."""
    if first == second:
        return True
    first, second = _CLASS.sub("?", first), _CLASS.sub("?", second)
    if not any(wildcard in first + second for wildcard in "*?"):
        return first == second
    reachable, seen = [(0, 0)], {(0, 0)}
    while reachable:
        i, j = reachable.pop()
        if not first[i:].strip("*") and not second[j:].strip("*"):
            return True
        a, b = first[i : i + 1], second[j : j + 1]
        steps = []
        if "*" in (a, b):
            steps = [(1, 0)] * bool(a) + [(0, 1)] * bool(b)
        elif a and b and (a == b or "?" in (a, b)):
            steps = [(1, 1)]
        for step in steps:
            following = (i + step[0], j + step[1])
            if following not in seen:
                seen.add(following)
                reachable.append(following)
    return False
