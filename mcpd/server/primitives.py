"""Resources, prompts and completion in MCP's standard shapes (server/resources, server/prompts, server/utilities)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mcpd.compliance.registers import note_access
from mcpd.errors import InvalidParams, ResourceDenied, ResourceNotFound
from mcpd.prompts import library
from mcpd.prompts.base import Prompt
from mcpd.prompts.functions import FunctionPrompt
from mcpd.protocol import cursors, mcp
from mcpd.protocol.mcp import CacheHint
from mcpd.protocol.revisions import Revision
from mcpd.resources.base import Content, Reading
from mcpd.server import completion
from mcpd.server.work import Work
from mcpd.store import accesses
from mcpd.store.database import store_errors

MAX_URI = 2048

CHANGING = CacheHint(ttl_ms=10_000, scope="private")
"""Lists that change as agents and people do their work."""


def read_resource(work: Work, uri: object) -> tuple[str, Content]:
    """Return *uri*, found to be one, and what it holds; the access is logged in the same transaction.

    Raises ``InvalidParams``, ``ResourceNotFound``, ``ResourceDenied`` or ``StoreUnavailable``.
    """
    if not isinstance(uri, str) or not uri:
        raise InvalidParams('params "uri": expected the URI of a resource')
    work.stored = True

    def log(error: str | None) -> None:
        accesses.add(work.db, work.now_us, uri, work.caller, work.session_id, work.request_id, error)
        if work.site.logs_accesses:
            outcome, classification = "refused" if error else "ok", work.site.resources.classification(uri)
            what = ("resources/read", uri)
            note_access(work.db, work.now_us, work.caller, what, classification, outcome, work.request_id)

    def read() -> Content:
        if len(uri) > MAX_URI:
            raise ResourceDenied(f"the URI has more than {MAX_URI} characters", {"uri": uri, "reason": "malformed"})
        content = work.site.resources.read(Reading(work.db, work.now_us), uri)
        log(None)
        return content

    try:
        return uri, work.turn.run(read)
    except (ResourceNotFound, ResourceDenied) as error:
        message = error.message
        work.turn.run(lambda: log(message))
        raise


def _resources_list(work: Work, params: dict[str, Any], revision: Revision) -> object:
    position = cursors.position("resources/list", params)
    with store_errors():
        try:
            page, last = work.site.resources.page(work.db, position, cursors.PAGE_SIZE)
        except ValueError as exc:
            raise cursors.unknown("resources/list") from exc
    result: dict[str, Any] = {"resources": [mcp.shape_item(revision, listing) for listing in page]}
    if last is not None:
        result["nextCursor"] = cursors.encode("resources/list", last)
    return mcp.complete(revision, result, CHANGING)


def _templates_list(work: Work, params: dict[str, Any], revision: Revision) -> object:
    method = "resources/templates/list"
    position = cursors.position(method, params)
    templates = {template.uri_template: template for template in work.site.resources.templates}
    start = 0
    if position is not None:
        if position[-1] not in templates:
            raise cursors.unknown(method)
        start = list(templates).index(position[-1]) + 1
    page = list(templates.values())[start : start + cursors.PAGE_SIZE]
    shown = [mcp.shape_item(revision, template.listing()) for template in page]
    result: dict[str, Any] = {"resourceTemplates": shown}
    if start + cursors.PAGE_SIZE < len(templates):
        result["nextCursor"] = cursors.encode(method, [page[-1].uri_template])
    return mcp.complete(revision, result, mcp.LISTS)


def _resources_read(work: Work, params: dict[str, Any], revision: Revision) -> object:
    try:
        uri, content = read_resource(work, params.get("uri"))
    except ResourceNotFound as error:
        error.code = revision.resource_not_found
        raise
    hint = CacheHint(content.ttl_ms, "private")
    return mcp.complete(revision, {"contents": [content.listing(uri)]}, hint)


def all_prompts(work: Work, after: str, limit: int) -> list[Prompt | FunctionPrompt]:
    """Return *limit* prompts behind the one called *after*, by name; a plug-in's goes before a stored one."""
    made = work.site.prompts
    found: dict[str, Prompt | FunctionPrompt] = {prompt.name: prompt for prompt in library.page(work.db, after, limit)}
    found.update({name: prompt for name, prompt in made.items() if name > after})
    return [found[name] for name in sorted(found)][:limit]


def _prompts_list(work: Work, params: dict[str, Any], revision: Revision) -> object:
    position = cursors.position("prompts/list", params)
    after = "" if position is None else position[-1]
    with store_errors():
        found = all_prompts(work, after, cursors.PAGE_SIZE + 1)
    page = found[: cursors.PAGE_SIZE]
    result: dict[str, Any] = {"prompts": [mcp.shape_item(revision, prompt.listing()) for prompt in page]}
    if len(found) > len(page):
        result["nextCursor"] = cursors.encode("prompts/list", [page[-1].name])
    return mcp.complete(revision, result, CHANGING)


def _prompts_get(work: Work, params: dict[str, Any], revision: Revision) -> object:
    with store_errors():
        prompt = library.get(work.db, params.get("name"))
    content = {"type": "text", "text": prompt.render(params.get("arguments"))}
    messages = [{"role": "user", "content": content}]
    return mcp.complete(revision, {"description": prompt.description, "messages": messages})


def _complete(work: Work, params: dict[str, Any], revision: Revision) -> object:
    with store_errors():
        found = completion.complete(work, params)
    return mcp.complete(revision, {"completion": found})


METHODS: dict[str, Callable[[Work, dict[str, Any], Revision], object]] = {
    "resources/list": _resources_list,
    "resources/templates/list": _templates_list,
    "resources/read": _resources_read,
    "prompts/list": _prompts_list,
    "prompts/get": _prompts_get,
    "completion/complete": _complete,
}
