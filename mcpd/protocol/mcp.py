"""MCP over POST: which era a message belongs to, and the shape of results in each revision.

The era is told by the body, never by a header: ``_meta`` with a protocol version is 2026-07-28's stateless form,
``initialize`` without it opens a handshake (clients such as mcp-remote send modern headers on an old initialize).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import orjson

from mcpd import __version__
from mcpd.errors import InvalidParams, InvalidRequest, UnsupportedProtocolVersion
from mcpd.protocol import asks, headers, revisions
from mcpd.protocol.http import HttpRequest
from mcpd.protocol.jsonrpc import Request
from mcpd.protocol.revisions import Revision

SERVER_INFO = {"name": "mcpd", "title": "mcpd agent coordination", "version": __version__}
INSTRUCTIONS = (
    "mcpd coordinates the coding agents of this machine. Before you edit, call check_conflicts; announce work with "
    "log_activity (status started or in_progress, with paths and component) and close it with status completed or "
    "failed; keep your state current with update_status or heartbeat. The tools for coordination take dry_run."
)
_ICON = "data:image/svg+xml," + quote(
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><path fill='none' stroke='#0a7' stroke-width='2' "
    "d='M3 13V4l5 5 5-5v9'/></svg>"
)
_SERVER_IN_FULL = {
    **SERVER_INFO,
    "description": "Coordination of the coding agents of one machine",
    "icons": [{"src": _ICON, "mimeType": "image/svg+xml", "sizes": ["any"]}],
}
_PARTS = ("form", "url", "tools")  # of elicitation and sampling
_TRACE_PARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_RESULT_META = orjson.Fragment(orjson.dumps({revisions.SERVER_INFO: SERVER_INFO}))


@dataclass(frozen=True, slots=True)
class CacheHint:
    """How long (``ttl_ms``) and for whom (``scope``) a list may be kept (2026-07-28 server/utilities/caching)."""

    ttl_ms: int
    scope: str


LISTS = CacheHint(ttl_ms=300_000, scope="private")


def is_modern(request: Request, http: HttpRequest) -> bool:
    """Say whether *request* is of the stateless era, by body first; see mcpd(7)."""
    if revisions.PROTOCOL_VERSION in _meta(request.params):
        return True
    if request.method == "initialize" or headers.SESSION in http.headers:
        return False
    version = http.header(headers.VERSION)
    return version is not None and not _is_handshake(version)


def modern_version(request: Request) -> str:
    """Return the version that the ``_meta`` of a stateless *request* names, after its form was found right.

    2026-07-28 basic/index: protocol version and client capabilities are required in every request; without them
    ``InvalidParams`` with HTTP 400.
    """
    meta = _meta(request.params)
    version = meta.get(revisions.PROTOCOL_VERSION)
    if not isinstance(version, str):
        raise InvalidParams(_expected(revisions.PROTOCOL_VERSION, "a string", version), http_status=400)
    capabilities = meta.get(revisions.CLIENT_CAPABILITIES)
    if not isinstance(capabilities, dict) and not request.is_notification:
        wrong = _expected(revisions.CLIENT_CAPABILITIES, "an object", capabilities)
        raise InvalidParams(wrong, http_status=400)
    return version


def stateless_revision(version: str) -> Revision:
    """Return the stateless revision *version*; raises ``UnsupportedProtocolVersion``."""
    revision = revisions.REVISIONS.get(version)
    if revision is None:
        raise unsupported(version)
    if revision.handshake:
        stateless = ", ".join(name for name, each in revisions.REVISIONS.items() if not each.handshake)
        raise UnsupportedProtocolVersion(
            f"protocol version {version!r} begins with initialize; without a session this server speaks {stateless}",
            {"supported": list(revisions.SUPPORTED), "requested": version},
        )
    return revision


def unsupported(version: str) -> UnsupportedProtocolVersion:
    """Return the error for *version*, which lists the versions we speak (2026-07-28 basic/versioning)."""
    names = ", ".join(revisions.SUPPORTED)
    return UnsupportedProtocolVersion(
        f"protocol version {version!r} is not supported; this server speaks {names}",
        {"supported": list(revisions.SUPPORTED), "requested": version},
    )


def check_session_version(http: HttpRequest, version: str) -> Revision:
    """Return the revision of a session after ``MCP-Protocol-Version``, if sent, was found to name it.

    2025-11-25 basic/transports: "If the server receives a request with an invalid or unsupported
    MCP-Protocol-Version, it MUST respond with 400 Bad Request."
    """
    named = http.header(headers.VERSION)
    if named is not None and named != version:
        if named not in revisions.REVISIONS:
            raise unsupported(named)
        raise InvalidRequest(f"header MCP-Protocol-Version says {named!r}, the session negotiated {version!r}")
    return revisions.REVISIONS[version]


def complete(revision: Revision, result: dict[str, Any], cache: CacheHint | None = None) -> dict[str, Any]:
    """Return *result* with what *revision* adds to every result, and to a list that may be kept."""
    if revision.result_type:
        result["resultType"] = "complete"
        result.setdefault("_meta", _RESULT_META)
    if cache is not None and revision.cache_hints:
        result["ttlMs"] = cache.ttl_ms
        result["cacheScope"] = cache.scope
    return result


def capabilities(revision: Revision) -> dict[str, object]:
    """Return what this server offers, in the terms of *revision*."""
    offered: dict[str, object] = {
        "tools": {"listChanged": True},
        "resources": {"subscribe": True, "listChanged": True},
        "prompts": {"listChanged": True},
    }
    offered["logging"] = {}
    if revision.completions:
        offered["completions"] = {}
    if not revision.handshake:
        offered["extensions"] = {revisions.TASKS: {}}
    return offered


def shape_item(revision: Revision, listing: dict[str, Any]) -> dict[str, Any]:
    """Return the *listing* of a resource, template or prompt with what *revision* knows of."""
    if not revision.structure:
        listing.pop("title", None)
    if not revision.icons:
        listing.pop("icons", None)
    return listing


def shape_tool(revision: Revision, listing: dict[str, Any]) -> dict[str, Any]:
    """Return a tool's *listing* with what *revision* knows of; older clients may have strict models."""
    unknown = set()
    if not revision.structure:
        unknown |= {"title", "outputSchema"}
    if not revision.annotations:
        unknown.add("annotations")
    if not revision.icons:
        unknown.add("icons")
    output = listing.get("outputSchema")
    if output is not None and not revision.any_structure and output.get("type") != "object":
        unknown.add("outputSchema")
    return {key: value for key, value in listing.items() if key not in unknown}


def discover() -> dict[str, Any]:
    """Return the result of ``server/discover`` (2026-07-28 server/discover)."""
    return {
        "supportedVersions": list(revisions.SUPPORTED),
        "capabilities": capabilities(revisions.MODERN),
        "instructions": INSTRUCTIONS,
        "_meta": {revisions.SERVER_INFO: _SERVER_IN_FULL},
    }


def initialize(params: dict[str, Any]) -> tuple[Revision, dict[str, Any]]:
    """Negotiate by *params*; return the revision and the result of ``initialize`` (2025-11-25 basic/lifecycle)."""
    if not isinstance(params.get("protocolVersion"), str):
        raise InvalidParams(_expected("protocolVersion", "a string", params.get("protocolVersion"), "params"))
    revision = revisions.negotiate(params["protocolVersion"])
    return revision, {
        "protocolVersion": revision.version,
        "capabilities": capabilities(revision),
        "serverInfo": _SERVER_IN_FULL if revision.icons else SERVER_INFO,
        "instructions": INSTRUCTIONS,
    }


def asked_capabilities(params: dict[str, Any]) -> dict[str, Any]:
    """Return those of the client's capabilities in ``initialize`` that decide what it can be asked, two levels deep."""
    declared = params.get("capabilities")
    found: dict[str, Any] = {}
    for name in asks.ANSWERED_CAPABILITIES:
        capability = declared.get(name) if isinstance(declared, dict) else None
        if isinstance(capability, dict):
            found[name] = {part: {} for part in _PARTS if isinstance(capability.get(part), dict)}
    return found


def trace_parent(params: dict[str, Any]) -> str | None:
    """Return the W3C ``traceparent`` in ``_meta`` (2026-07-28 basic/index); one that is none is ignored, as asked."""
    meta = params.get("_meta")
    if not isinstance(meta, dict) or "traceparent" not in meta:
        return None
    parent = meta["traceparent"]
    return parent if isinstance(parent, str) and _TRACE_PARENT.fullmatch(parent) else None


def takes_stream(http: HttpRequest) -> bool:
    """Say whether the client of *http* takes an event stream for its answer."""
    accept = http.headers.get(b"accept", b"*/*").lower()
    return any(kind in accept for kind in _STREAMS)


def check_media_types(http: HttpRequest) -> None:
    """Raise ``InvalidRequest`` (415, 406) unless *http* sends JSON and can take JSON or an event stream."""
    fault = _media_fault(http.headers.get(b"content-type"), http.headers.get(b"accept"))
    if fault is not None:
        raise InvalidRequest(fault[1], http_status=fault[0])


def check_accepts_stream(http: HttpRequest) -> None:
    """Raise ``InvalidRequest`` (406) unless the client of *http* takes an event stream."""
    if not takes_stream(http):
        raise InvalidRequest("Accept does not name text/event-stream, and this answer is one", http_status=406)


_STREAMS = (b"text/event-stream", b"text/*", b"*/*")
_ACCEPTABLE = (b"application/json", b"text/event-stream", b"*/*", b"application/*")


@lru_cache(maxsize=256)
def _media_fault(content_type: bytes | None, accept: bytes | None) -> tuple[int, str] | None:
    if content_type is None or content_type.partition(b";")[0].strip().lower() != b"application/json":
        shown = "missing" if content_type is None else repr(content_type.decode("latin-1"))
        return 415, f"Content-Type is {shown}; expected application/json"
    if accept is not None and not any(kind in accept.lower() for kind in _ACCEPTABLE):
        return 406, "Accept names neither application/json nor text/event-stream"
    return None


def _is_handshake(version: str) -> bool:
    revision = revisions.REVISIONS.get(version)
    return revision is not None and revision.handshake


def _meta(params: dict[str, Any]) -> dict[str, Any]:
    meta = params.get("_meta")
    return meta if isinstance(meta, dict) else {}


def _expected(name: str, kind: str, value: object, where: str = "params._meta") -> str:
    got = "nothing" if value is None else type(value).__name__
    return f'{where} "{name}": expected {kind}, got {got}'
