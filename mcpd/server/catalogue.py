"""Resources and prompts as the old system's clients know them, at ``/jsonrpc`` and at ``/api/mcp/*``."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from mcpd.errors import AccessDenied, ResourceDenied
from mcpd.prompts import library
from mcpd.prompts.base import Prompt
from mcpd.prompts.functions import FunctionPrompt
from mcpd.resources.base import JSON
from mcpd.server import primitives
from mcpd.server.work import Work
from mcpd.store import prompts as stored_prompts
from mcpd.store.database import store_errors
from mcpd.times import rfc3339

MAX_ITEMS = 1000
"""The most that a list without pages holds."""

Item = dict[str, Any]


def counts(work: Work) -> dict[str, int]:
    """Return how many resources and prompts there are."""
    with store_errors():
        return {
            "resources_count": work.site.resources.count(work.db),
            "prompts_count": stored_prompts.count(work.db) + len(work.site.prompts),
        }


def resources(work: Work) -> list[Item]:
    """Return the resources, {uri, name, type, description} each."""
    with store_errors():
        page, _ = work.site.resources.page(work.db, None, MAX_ITEMS)
    return [_item(listing) for listing in page]


def read_resource(work: Work, params: dict[str, Any]) -> Item:
    """Return {uri, content, metadata} of the resource that *params* name: text, a JSON document's value, or Base64."""
    try:
        uri, content = primitives.read_resource(work, params.get("uri"))
    except ResourceDenied as error:
        raise AccessDenied(error.message, error.data, http_status=200) from error
    metadata = _item(work.site.resources.listing(uri, content))
    if isinstance(content.data, bytes):
        encoded = base64.b64encode(content.data).decode("ascii")
        return {"uri": uri, "content": encoded, "metadata": metadata | {"encoding": "base64"}}
    made = content.mime_type == JSON and not uri.startswith("file:")
    return {"uri": uri, "content": orjson.loads(content.data) if made else content.data, "metadata": metadata}


def prompts(work: Work) -> list[Item]:
    """Return the prompts, {name, description, category, arguments, template} each."""
    with store_errors():
        return [_prompt(prompt) for prompt in primitives.all_prompts(work, "", MAX_ITEMS)]


def execute_prompt(work: Work, params: dict[str, Any]) -> Item:
    """Return the text that a prompt makes of its arguments; numbers and truth values count as their JSON."""
    with store_errors():
        prompt = library.get(work.db, params.get("name"))
    arguments = params.get("arguments")
    if isinstance(arguments, dict):
        arguments = {name: _text(value) for name, value in arguments.items()}
    return {"prompt": prompt.name, "result": prompt.render(arguments), "executed_at": rfc3339(work.now_us)}


def _item(listing: Item) -> Item:
    kind = listing.get("mimeType")
    return {"uri": listing["uri"], "name": listing["name"], "type": kind, "description": listing["description"]}


def _prompt(prompt: Prompt | FunctionPrompt) -> Item:
    arguments = [{"name": a.name, "type": a.type, "required": a.required} for a in prompt.arguments]
    return {
        "name": prompt.name,
        "description": prompt.description,
        "category": prompt.category if isinstance(prompt, Prompt) else "plug-in",
        "arguments": arguments,
        "template": prompt.template if isinstance(prompt, Prompt) else None,
    }


def _text(value: object) -> object:
    return orjson.dumps(value).decode() if isinstance(value, bool | int | float) else value
