"""``/api/mcp/prompts`` and ``…/NAME``: what ``mcpctl prompt`` uses. Every change is audited, and refused ones too."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from mcpd.errors import Error, InvalidParams
from mcpd.prompts import base, library
from mcpd.prompts.base import Prompt
from mcpd.protocol import jsonrpc
from mcpd.protocol.http import HttpRequest, HttpResponse
from mcpd.server import changes, rest
from mcpd.server.work import Work
from mcpd.store.database import store_errors


def get(_http: HttpRequest, work: Work) -> HttpResponse:
    """Return the prompt with everything that ``put`` takes."""
    try:
        _check_stored(work)
        with store_errors():
            return _shown(library.get(work.db, work.target))
    except Error as error:
        return rest.refuse(work, error)


def put(http: HttpRequest, work: Work) -> HttpResponse:
    """Make or replace the prompt; 201 when it is new."""

    def change() -> HttpResponse:
        _check_stored(work)
        prompt = base.read(work.target, jsonrpc.decode(http.body))
        return _shown(prompt, 201 if library.put(work.db, work.now_us, work.caller, prompt) else 200)

    return _change(work, "prompts/set", http.body, change)


def delete(_http: HttpRequest, work: Work) -> HttpResponse:
    """Remove the prompt."""

    def change() -> HttpResponse:
        _check_stored(work)
        library.remove(work.db, work.now_us, work.caller, work.target)
        return rest.answer({"name": work.target, "removed": True})

    return _change(work, "prompts/remove", b"", change)


def _check_stored(work: Work) -> None:
    """Raise ``InvalidParams`` for a prompt that is code: it goes before a stored one, which nobody would see."""
    if work.target in work.site.prompts:
        raise InvalidParams(f"prompt {work.target}: a plug-in makes it, so it cannot be shown, set or removed here")


def _change(work: Work, operation: str, body: bytes, change: Callable[[], HttpResponse]) -> HttpResponse:
    return changes.audited(work, operation, work.target, body.decode("utf-8", "replace"), change)


def _shown(prompt: Prompt, status: int = 200) -> HttpResponse:
    return rest.answer(msgspec.to_builtins(prompt), status)
