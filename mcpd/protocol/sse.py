"""Server-sent events as bytes (WHATWG HTML, section 9.2), for MCP's streams."""

from __future__ import annotations

KEEP_ALIVE = b": \n\n"
"""A comment: it keeps proxies from taking a quiet stream for a dead one, and clients ignore it."""


def encode_event(data: bytes, event_id: str | None = None) -> bytes:
    """Return one event of *data* (JSON on one line); with *event_id* the client may resume behind it."""
    head = b"" if event_id is None else b"id: %b\n" % event_id.encode("ascii")
    return b"%bdata: %b\n\n" % (head, data)


def encode_retry(after_ms: int) -> bytes:
    """Return the advice to come back *after_ms* milliseconds after the stream has ended."""
    return b"retry: %d\n\n" % after_ms
