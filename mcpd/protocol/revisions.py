"""The revisions of MCP that we speak, and what differs between them, as data.

Source: the specification at modelcontextprotocol.io, one section per field below. Code asks a ``Revision``; it never
compares version strings.
"""

from __future__ import annotations

from dataclasses import dataclass

PROTOCOL_VERSION = "io.modelcontextprotocol/protocolVersion"
CLIENT_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
CLIENT_INFO = "io.modelcontextprotocol/clientInfo"
SERVER_INFO = "io.modelcontextprotocol/serverInfo"


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision.

    ``handshake``: opened by ``initialize``, with a session (2025-11-25 basic/lifecycle); otherwise every request
    carries its version and capabilities in ``_meta`` and is bound to nothing (2026-07-28 basic/index).
    ``result_type``: every result carries ``resultType`` and the server's info in ``_meta`` (2026-07-28 basic/index).
    ``cache_hints``: list results carry ``ttlMs`` and ``cacheScope`` (2026-07-28 server/utilities/caching).
    ``error_status``: JSON-RPC errors show in the HTTP status (2026-07-28 basic/transports/streamable-http).
    """

    version: str
    handshake: bool
    result_type: bool
    cache_hints: bool
    error_status: bool


MODERN = Revision("2026-07-28", handshake=False, result_type=True, cache_hints=True, error_status=True)
HANDSHAKE = Revision("2025-11-25", handshake=True, result_type=False, cache_hints=False, error_status=False)

REVISIONS = {revision.version: revision for revision in (MODERN, HANDSHAKE)}
SUPPORTED = tuple(REVISIONS)


def negotiate(requested: object) -> Revision:
    """Return the revision with which ``initialize`` is answered: the one asked for, else the newest with a handshake.

    2025-11-25 basic/lifecycle, version negotiation: "Otherwise, the server MUST respond with another protocol version
    it supports." A stateless revision cannot be negotiated by a handshake.
    """
    revision = REVISIONS.get(requested) if isinstance(requested, str) else None
    return revision if revision is not None and revision.handshake else HANDSHAKE
