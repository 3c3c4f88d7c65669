"""``Idempotency-Key``: a request that is sent again is answered with the first one's result, and done once.

The result is kept in the transaction that made it, so no crash comes between. What was refused or failed is not kept:
nothing was done, and the request may be mended and sent again under the same key.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import orjson

from mcpd.errors import Error, IdempotencyConflict, InvalidRequest
from mcpd.protocol import states
from mcpd.protocol.http import HttpRequest
from mcpd.protocol.jsonrpc import Request
from mcpd.server.work import Work
from mcpd.store import idempotency
from mcpd.store.idempotency import Kept

HEADER = b"idempotency-key"
REPLAYED = b"Idempotent-Replayed: true\r\n"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def key_of(http: HttpRequest) -> str | None:
    """Return the request's key, None if it has none; raises ``InvalidRequest`` for one that is malformed."""
    key = http.header(HEADER)
    if key is not None and not _KEY.fullmatch(key):
        raise InvalidRequest("header Idempotency-Key: expected 1 to 255 printable characters without spaces")
    return key


def once(work: Work, key: str, request: Request, perform: Callable[[], object]) -> tuple[object, bool]:
    """Return what *perform* returns for *request*, or did when it came first under *key*, and whether that is so.

    Raises ``IdempotencyConflict`` when another request came under *key*, and what *perform* raises.
    """
    asked = {name: value for name, value in request.params.items() if name not in ("_meta", "session_id")}
    digest = bytes.fromhex(states.digest(request.method, asked))

    def attempt() -> tuple[object, bool] | Error:
        kept = idempotency.find(work.db, work.caller, key, work.now_us)
        if kept is not None:
            return _replay(key, kept, digest)
        try:
            result = orjson.dumps(perform())
        except Error as error:
            return error  # returned, so that its audit record stays
        idempotency.put(work.db, work.caller, key, Kept(digest, result.decode(), work.request_id), work.now_us)
        return orjson.Fragment(result), False

    work.stored = True
    outcome = work.turn.run(attempt)
    if isinstance(outcome, Error):
        raise outcome
    return outcome


def _replay(key: str, kept: Kept, digest: bytes) -> tuple[object, bool]:
    if kept.digest != digest:
        raise IdempotencyConflict(
            "this Idempotency-Key came with another request before; expected a new key or the same request",
            {"idempotency_key": key, "original_request_id": kept.request_id},
        )
    return orjson.Fragment(kept.result), True
