"""What a caller may do, in five words; every tool, method and route declares which of them it needs."""

from __future__ import annotations

from typing import Literal, get_args

Scope = Literal["read", "write", "execute", "delete", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
Scopes = frozenset[str]

ALL: Scopes = frozenset(SCOPES)
"""What root, our own user and the administrators may."""

WORKING: Scopes = ALL - {"admin"}
"""What agents may, and whoever else is let in without being an administrator."""


def parse(text: str) -> Scopes | None:
    """Return the scopes in *text*, words between single spaces (RFC 6749 section 3.3); None if one is none of ours."""
    words = text.split(" ") if text else []
    return frozenset(words) if all(word in ALL for word in words) else None


def shown(scopes: Scopes) -> str:
    """Return *scopes* as a token and its client are told them."""
    return " ".join(scope for scope in SCOPES if scope in scopes)
