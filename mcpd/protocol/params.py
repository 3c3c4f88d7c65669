"""``Mcp-Param-*``: arguments that a tool wants repeated as headers (2026-07-28 basic/transports/streamable-http).

A schema marks a property with ``x-mcp-header``; a gateway may then route by it. A header that says something else than
the argument is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from mcpd.errors import HeaderMismatch
from mcpd.protocol.headers import decode_value
from mcpd.protocol.http import HttpRequest

KEYWORD = "x-mcp-header"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_KINDS = ("string", "integer", "boolean")
_MAX_SAFE = 2**53 - 1


class HeaderParam(msgspec.Struct, frozen=True):
    """One marked property: the header's ``name`` behind ``Mcp-Param-``, the ``path`` to it and its ``kind``."""

    name: str
    path: tuple[str, ...]
    kind: str


def header_params(schema: Mapping[str, Any]) -> tuple[HeaderParam, ...]:
    """Return the properties of *schema* that are marked; raises ``ValueError`` for a mark that breaks the rules."""
    found = tuple(_reachable(schema, ()))
    if len({param.name.lower() for param in found}) < len(found):
        raise ValueError(f"two properties have the same {KEYWORD}")
    if _count(schema) > len(found):
        raise ValueError(f"{KEYWORD} stands where it may not: it belongs on properties reached by properties alone")
    return found


def check(request: HttpRequest, params: Sequence[HeaderParam], arguments: object) -> None:
    """Raise ``HeaderMismatch`` unless the headers of *request* repeat the marked *params* of *arguments*."""
    for param in params:
        value = arguments
        for step in param.path:
            value = value.get(step) if isinstance(value, dict) else None
        if value is not None:
            _expect(request, param, value)


def _expect(request: HttpRequest, param: HeaderParam, value: object) -> None:
    spelled = f"Mcp-Param-{param.name}"
    name = spelled.lower().encode("ascii")
    header = request.header(name)
    if header is None:
        raise HeaderMismatch(
            f"header {spelled} is missing; the argument '{'.'.join(param.path)}' is to be repeated in it"
        )
    if name in request.duplicated:
        raise HeaderMismatch(f"header {spelled} is given more than once")
    if not _same(decode_value(header), value):
        raise HeaderMismatch(f"header {spelled} says {header!r}, the argument says {value!r}")


def _same(text: str, value: object) -> bool:
    if isinstance(value, bool):
        return text == ("true" if value else "false")
    if isinstance(value, int | float):
        try:
            return float(text) == value and abs(value) <= _MAX_SAFE
        except ValueError:
            return False
    return text == value


def _reachable(schema: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[HeaderParam]:
    properties = schema.get("properties", {})
    for name, member in properties.items() if isinstance(properties, dict) else ():
        if not isinstance(member, dict):
            continue
        if KEYWORD in member:
            yield _param(member, (*path, name))
        yield from _reachable(member, (*path, name))


def _param(member: Mapping[str, Any], path: tuple[str, ...]) -> HeaderParam:
    name, kind = member[KEYWORD], member.get("type")
    where = ".".join(path)
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise ValueError(f"property '{where}': {KEYWORD} {name!r} is no header name (RFC 9110 section 5.1)")
    if kind not in _KINDS:
        raise ValueError(f"property '{where}': {KEYWORD} is for {', '.join(_KINDS)}, not {kind!r}")
    return HeaderParam(name, path, kind)


def _count(value: object) -> int:
    """Return how many marks there are anywhere in *value*; a property that has the keyword's name is none."""
    if isinstance(value, list):
        return sum(map(_count, value))
    if not isinstance(value, dict):
        return 0
    here = int(isinstance(value.get(KEYWORD), str))
    return here + sum(_count(member) for name, member in value.items() if name not in ("const", "default", "enum"))
