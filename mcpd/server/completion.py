"""``completion/complete``: what an argument of a prompt or the variable of a template may be, by how it begins."""

from __future__ import annotations

from typing import Any

from mcpd.errors import InvalidParams
from mcpd.prompts import library
from mcpd.prompts.base import Argument, argument_of
from mcpd.server.work import Work
from mcpd.store import names

MAX_VALUES = 100
"""The most that one answer may hold (2025-11-25 and 2026-07-28, server/utilities/completion)."""

_MAX_PREFIX = 2048


def complete(work: Work, params: dict[str, Any]) -> dict[str, Any]:
    """Return the ``completion`` that *params* (``ref``, ``argument``) ask for; raises ``InvalidParams``.

    What other arguments were given (``context``) makes no difference to any of ours.
    """
    name, prefix = _argument(params.get("argument"))
    ref = params.get("ref")
    kind = ref.get("type") if isinstance(ref, dict) else None
    if not isinstance(ref, dict) or kind not in ("ref/prompt", "ref/resource"):
        raise InvalidParams('params "ref": expected an object whose type is "ref/prompt" or "ref/resource"')
    if kind == "ref/prompt":
        made = work.site.prompts.get(str(ref.get("name")))
        argument = argument_of(made or library.get(work.db, ref.get("name")), name)
        values, total = _of_argument(work, argument, prefix)
    else:
        values, total = _of_template(work, ref.get("uri"), name, prefix)
    return {"values": values, "total": total, "hasMore": total > len(values)}


def _argument(argument: object) -> tuple[str, str]:
    if not isinstance(argument, dict):
        raise InvalidParams('params "argument": expected an object with name and value')
    name, value = argument.get("name"), argument.get("value")
    if not isinstance(name, str) or not isinstance(value, str):
        raise InvalidParams('params "argument": expected strings as name and value')
    if len(value) > _MAX_PREFIX:
        raise InvalidParams(f'params "argument": the value has more than {_MAX_PREFIX} characters')
    return name, value


def _of_argument(work: Work, argument: Argument, prefix: str) -> tuple[list[str], int]:
    if argument.source == "paths":
        found = work.site.resources.paths(prefix)
    elif argument.source is not None:
        besides = work.site.fleet.names() if argument.source == "agents" else ()
        return names.beginning(work.db, argument.source, prefix, MAX_VALUES, besides)
    else:
        suggested = ("true", "false") if argument.type == "boolean" else argument.suggestions
        found = [value for value in suggested if value.startswith(prefix)]
    return found[:MAX_VALUES], len(found)


def _of_template(work: Work, uri: object, name: str, prefix: str) -> tuple[list[str], int]:
    if not isinstance(uri, str):
        raise InvalidParams('params "ref": expected the URI template of a resource as uri')
    template = work.site.resources.template(uri)
    if template is None:
        known = "it has no variables" if work.site.resources.is_fixed(uri) else "resources/templates/list names them"
        raise InvalidParams(f"resource {uri[:200]!r} is no template; {known}")
    if name != template.variable:
        raise InvalidParams(f"template {uri!r} has no variable {name[:80]!r}; expected {template.variable!r}")
    return template.complete(work.db, prefix, MAX_VALUES)
