"""The revisions of MCP that we speak, and what differs between them, as data.

Source: the specification at modelcontextprotocol.io, one section per field below. Code asks a ``Revision``; it never
compares version strings.
"""

from __future__ import annotations

from dataclasses import dataclass

PROTOCOL_VERSION = "io.modelcontextprotocol/protocolVersion"
CLIENT_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
CLIENT_INFO = "io.modelcontextprotocol/clientInfo"
SUBSCRIPTION_ID = "io.modelcontextprotocol/subscriptionId"
SERVER_INFO = "io.modelcontextprotocol/serverInfo"
LOG_LEVEL = "io.modelcontextprotocol/logLevel"
TASKS = "io.modelcontextprotocol/tasks"


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of the protocol.

    ``handshake``: opened by ``initialize``, with a session (2025-11-25 basic/lifecycle); otherwise every request
    carries its version and capabilities in ``_meta`` and is bound to nothing (2026-07-28 basic/index).
    ``batches``: several messages may come in one array (2025-03-26 basic, "MUST support receiving JSON-RPC batches";
    removed in 2025-06-18).
    ``annotations``: tools carry hints on what they do (from 2025-03-26, server/tools).
    ``structure``: tools carry titles and output schemas, results structured content (from 2025-06-18, server/tools);
    resources and prompts carry titles too (server/resources, server/prompts).
    ``any_structure``: structured content may be any JSON value, not only an object (2026-07-28 server/tools).
    ``audio``: content may be a sound (from 2025-03-26, server/tools, tool result).
    ``icons``: tools, resources, prompts and the server carry pictures (from 2025-11-25, basic/index).
    ``elicitation_ids``: a request to open a URL carries an id (2025-11-25 client/elicitation; dropped in 2026-07-28).
    ``completions``: the capability by that name (from 2025-03-26, server/utilities/completion).
    ``resource_not_found``: the error code for it (to 2025-11-25 server/resources, error handling: -32002; 2026-07-28:
    -32602).
    ``priming``: a stream begins with an event without data, from which a client may resume (2025-11-25
    basic/transports).
    ``result_type``: every result carries ``resultType`` and the server's info in ``_meta`` (2026-07-28 basic/index).
    ``cache_hints``: list results carry ``ttlMs`` and ``cacheScope`` (2026-07-28 server/utilities/caching).
    """

    version: str
    handshake: bool = True
    batches: bool = False
    annotations: bool = True
    structure: bool = True
    any_structure: bool = False
    audio: bool = True
    icons: bool = False
    elicitation_ids: bool = False
    completions: bool = True
    resource_not_found: int = -32002
    priming: bool = False
    result_type: bool = False
    cache_hints: bool = False


MODERN = Revision(
    "2026-07-28",
    handshake=False,
    any_structure=True,
    icons=True,
    resource_not_found=-32602,
    result_type=True,
    cache_hints=True,
)
HANDSHAKE = Revision("2025-11-25", icons=True, elicitation_ids=True, priming=True)

REVISIONS = {
    revision.version: revision
    for revision in (
        MODERN,
        HANDSHAKE,
        Revision("2025-06-18"),
        Revision("2025-03-26", batches=True, structure=False),
        # Its own transport is HTTP+SSE, but SDKs of its time speak it over Streamable HTTP too.
        Revision("2024-11-05", annotations=False, structure=False, audio=False, completions=False),
    )
}
SUPPORTED = tuple(REVISIONS)


def negotiate(requested: object) -> Revision:
    """Return the revision with which ``initialize`` is answered: the one asked for, else the newest with a handshake.

    2025-11-25 basic/lifecycle, version negotiation: "Otherwise, the server MUST respond with another protocol version
    it supports." A stateless revision cannot be negotiated by a handshake.
    """
    revision = REVISIONS.get(requested) if isinstance(requested, str) else None
    return revision if revision is not None and revision.handshake else HANDSHAKE
