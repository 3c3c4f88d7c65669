"""The language of a prompt's template: text with ``{name}`` for arguments and ``{?…}`` for parts that may go. Pure.

A part stands in the text when every argument in it was given, and leaves nothing behind when one was not; so a blank
or a comma that only makes sense with the argument belongs inside. ``{{`` and ``}}`` are braces. What an argument says
is put in as it stands: braces in it mean nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from mcpd.errors import InvalidParams

_TOKEN = re.compile(r"\{\{|\}\}|\{\?|\{(?P<name>[A-Za-z_][A-Za-z0-9_]{0,63})\}|\{|\}|[^{}]+")


@dataclass(frozen=True, slots=True)
class Placeholder:
    """Where the argument *name* goes."""

    name: str


Piece = str | Placeholder


@dataclass(frozen=True, slots=True)
class Part:
    """Text and placeholders in a row; an ``optional`` one is left out when an argument in it is missing."""

    pieces: tuple[Piece, ...]
    optional: bool

    @property
    def names(self) -> set[str]:
        """The arguments that it wants."""
        return {piece.name for piece in self.pieces if isinstance(piece, Placeholder)}


@lru_cache(maxsize=256)
def parse(template: str) -> tuple[Part, ...]:
    """Return the parts of *template*; raises ``InvalidParams`` that says what is wrong where."""
    parts: list[Part] = []
    pieces: list[Piece] = []
    opened: int | None = None
    for match in _TOKEN.finditer(template):
        token, at = match[0], match.start()
        if token == "{?":  # noqa: S105 - no password
            if opened is not None:
                raise _wrong("an optional part inside another one", at)
            opened, pieces = at, _close(parts, pieces, optional=False)
        elif token == "}":  # noqa: S105
            if opened is None:
                raise _wrong("'}' that closes nothing; write '}}' for a brace", at)
            opened, pieces = None, _close(parts, pieces, optional=True)
        elif token == "{":  # noqa: S105
            raise _wrong("'{' that begins neither {name} nor {?…}; write '{{' for a brace", at)
        else:
            pieces.append(Placeholder(match["name"]) if match["name"] else _text(token))
    if opened is not None:
        raise _wrong("an optional part without its '}'", opened)
    _close(parts, pieces, optional=False)
    return tuple(parts)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return the text that *template*, found right before, makes of *values*."""
    return "".join(
        values[piece.name] if isinstance(piece, Placeholder) else piece
        for part in parse(template)
        if not part.optional or part.names <= values.keys()
        for piece in part.pieces
    )


def _close(parts: list[Part], pieces: list[Piece], *, optional: bool) -> list[Piece]:
    """Add what was collected to *parts*; return where to collect what follows."""
    if pieces or optional:
        parts.append(Part(tuple(pieces), optional))
    return []


def _text(token: str) -> str:
    return {"{{": "{", "}}": "}"}.get(token, token)


def _wrong(what: str, at: int) -> InvalidParams:
    return InvalidParams(f"template, character {at + 1}: {what}")
