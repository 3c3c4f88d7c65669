from __future__ import annotations

from typing import Any

import orjson
import pytest

from mcpd.errors import (
    Error,
    HeaderMismatch,
    InvalidParams,
    InvalidRequest,
    SessionNotFound,
    UnsupportedProtocolVersion,
)
from mcpd.protocol import headers, mcp, revisions
from mcpd.protocol.http import HttpRequest
from mcpd.protocol.jsonrpc import Request
from mcpd.protocol.revisions import HANDSHAKE, MODERN
from mcpd.protocol.sessions import SessionSigner
from mcpd.protocol.signing import Signer

META = {revisions.PROTOCOL_VERSION: MODERN.version, revisions.CLIENT_CAPABILITIES: {}}


def http(*duplicated: bytes, **sent: str) -> HttpRequest:
    lines = {name.replace("_", "-").encode(): value.encode() for name, value in sent.items()}
    return HttpRequest("POST", "/mcp", "", lines, b"", True, "1.1", frozenset(duplicated))


def request(method: str = "tools/list", params: dict[str, Any] | None = None, *, notification: bool = False) -> Request:
    return Request(method, params or {}, None if notification else 1, notification)


@pytest.mark.parametrize(
    ("message", "sent", "modern"),
    [
        (request(params={"_meta": META}), http(), True),
        (request("initialize", {"_meta": META}), http(), True),
        (request("initialize"), http(mcp_protocol_version=MODERN.version, mcp_method="initialize"), False),
        (request(), http(), False),
        (request(), http(mcp_protocol_version=MODERN.version), True),
        (request(), http(mcp_protocol_version="v999"), True),
        (request(), http(mcp_protocol_version=HANDSHAKE.version), False),
        (request(), http(mcp_protocol_version=MODERN.version, mcp_session_id="x"), False),
        (request(params={"_meta": "x"}), http(), False),
    ],
)
def test_the_era_is_told_by_the_body_first(message: Request, sent: HttpRequest, modern: bool) -> None:
    assert mcp.is_modern(message, sent) is modern


def test_meta_must_name_version_and_capabilities() -> None:
    assert mcp.modern_version(request(params={"_meta": META})) == MODERN.version
    for meta in ({}, {revisions.PROTOCOL_VERSION: 1}, {revisions.PROTOCOL_VERSION: MODERN.version}):
        with pytest.raises(InvalidParams) as refused:
            mcp.modern_version(request(params={"_meta": meta}))
        assert refused.value.http_status == 400
    only_version = {"_meta": {revisions.PROTOCOL_VERSION: MODERN.version}}
    assert mcp.modern_version(request("notifications/cancelled", only_version, notification=True)) == MODERN.version


def test_only_stateless_revisions_come_in_meta() -> None:
    assert mcp.stateless_revision(MODERN.version) is MODERN
    for version in (HANDSHAKE.version, "v999"):
        with pytest.raises(UnsupportedProtocolVersion) as refused:
            mcp.stateless_revision(version)
        assert refused.value.data == {"supported": list(revisions.SUPPORTED), "requested": version}


def test_negotiation_answers_a_revision_with_a_handshake() -> None:
    for asked in (HANDSHAKE.version, MODERN.version, "1.0"):
        revision, result = mcp.initialize({"protocolVersion": asked})
        assert (revision, result["protocolVersion"]) == (HANDSHAKE, HANDSHAKE.version)
    with pytest.raises(InvalidParams):
        mcp.initialize({})
    assert revisions.negotiate(7) is HANDSHAKE


def test_a_revision_in_a_handshake_is_the_one_asked_for() -> None:
    for version in ("2025-06-18", "2025-03-26", "2024-11-05"):
        assert revisions.negotiate(version).version == version


def test_a_session_is_held_to_its_version() -> None:
    assert mcp.check_session_version(http(), HANDSHAKE.version) is HANDSHAKE
    assert mcp.check_session_version(http(mcp_protocol_version=HANDSHAKE.version), HANDSHAKE.version) is HANDSHAKE
    with pytest.raises(UnsupportedProtocolVersion):
        mcp.check_session_version(http(mcp_protocol_version="v999"), HANDSHAKE.version)
    with pytest.raises(InvalidRequest):
        mcp.check_session_version(http(mcp_protocol_version=MODERN.version), HANDSHAKE.version)


def test_results_get_what_their_revision_adds() -> None:
    assert mcp.complete(HANDSHAKE, {"a": 1}, mcp.LISTS) == {"a": 1}
    shaped = orjson.loads(orjson.dumps(mcp.complete(MODERN, {})))
    assert shaped == {"resultType": "complete", "_meta": {revisions.SERVER_INFO: mcp.SERVER_INFO}}
    assert mcp.complete(MODERN, {}, mcp.LISTS)["ttlMs"] == mcp.LISTS.ttl_ms


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"content_type": "application/json"}, None),
        ({"content_type": "Application/JSON; charset=utf-8", "accept": "*/*"}, None),
        ({"content_type": "application/json", "accept": "text/event-stream"}, None),
        ({"content_type": "application/json", "accept": "text/html"}, 406),
        ({"content_type": "text/plain"}, 415),
        ({}, 415),
    ],
)
def test_media_types(sent: dict[str, str], status: int | None) -> None:
    got = None
    try:
        mcp.check_media_types(http(**sent))
    except Error as error:
        got = error.http_status
    assert got == status


@pytest.mark.parametrize(
    ("accept", "status"),
    [(None, None), ("text/event-stream", None), ("*/*", None), ("application/json", 406)],
)
def test_a_stream_goes_to_who_takes_one(accept: str | None, status: int | None) -> None:
    got = None
    try:
        mcp.check_accepts_stream(http() if accept is None else http(accept=accept))
    except Error as error:
        got = error.http_status
    assert got == status


def test_headers_repeat_the_body() -> None:
    params: dict[str, object] = {"name": "caf\u00e9"}
    right = {"mcp_protocol_version": "v", "mcp_method": "tools/call", "mcp_name": "=?base64?Y2Fmw6k=?="}
    headers.check(http(**right), "v", "tools/call", params)
    headers.check(http(mcp_protocol_version="v", mcp_method="tools/call"), "v", "tools/call", {"name": 7})
    headers.check(http(mcp_protocol_version="v", mcp_method="tools/list"), "v", "tools/list", {})
    for name, wrong in (
        ("mcp_protocol_version", "w"),
        ("mcp_method", "Tools/Call"),
        ("mcp_name", "cafe"),
        ("mcp_name", "=?base64?Y2Fmw6k?="),
        ("mcp_name", "=?base64?/w==?="),
        ("mcp_name", "=?base64?Y2Fmw6l=?="),
        ("mcp_name", "=?base64?"),
    ):
        with pytest.raises(HeaderMismatch):
            headers.check(http(**(right | {name: wrong})), "v", "tools/call", params)
    with pytest.raises(HeaderMismatch, match="more than once"):
        headers.check(http(b"mcp-method", **right), "v", "tools/call", params)


def test_a_session_id_says_who_opened_it_and_only_to_them() -> None:
    signer = SessionSigner(b"k" * 32)
    session_id = signer.issue("2025-11-25", "alice", 17)
    for reader in (signer, SessionSigner(b"k" * 32)):
        session = reader.read(session_id, "alice")
        assert (session.version, session.caller, session.issued_us) == ("2025-11-25", "alice", 17)
    for wrong in (session_id[:-1], "x" + session_id, "", ".", "é.é", session_id + "\ud800"):
        with pytest.raises(SessionNotFound):
            signer.read(wrong, "alice")
    with pytest.raises(SessionNotFound):
        signer.read(session_id, "bob")
    with pytest.raises(SessionNotFound):
        SessionSigner(b"other" * 8).read(session_id, "alice")
    with pytest.raises(ValueError, match="signing key of 1 bytes"):
        SessionSigner(b"k")


def test_a_signed_payload_that_is_no_session_is_refused() -> None:
    signer = SessionSigner(b"k" * 32)
    for payload in (b"{}", b"!!!", b""):
        with pytest.raises(SessionNotFound):
            signer.read(signer._signer.seal(payload), "alice")


def test_what_was_signed_for_one_purpose_is_nothing_for_another() -> None:
    sealed = Signer(b"k" * 32, b"session").seal(b"x")
    assert Signer(b"k" * 32, b"session").open(sealed) == b"x"
    assert Signer(b"k" * 32, b"state").open(sealed) is None


def test_the_memory_of_seen_sessions_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcpd.protocol.sessions._CACHE_SIZE", 2)
    signer = SessionSigner(b"k" * 32)
    for number in range(5):
        signer.read(signer.issue("v", "alice", number), "alice")
    assert len(signer._known) <= 2


def test_each_revision_is_offered_what_it_knows() -> None:
    for revision in revisions.REVISIONS.values():
        old = revision.version == "2024-11-05"
        offered = mcp.capabilities(revision)
        extra = (set() if old else {"completions"}) | ({"extensions"} if revision is MODERN else set())
        assert offered.keys() == {"tools", "resources", "prompts", "logging"} | extra
        shaped = mcp.shape_item(revision, {"name": "n", "title": "t"})
        assert ("title" in shaped) is revision.structure
        assert revision.resource_not_found == (-32602 if revision is MODERN else -32002)
    assert mcp.discover()["capabilities"] == mcp.capabilities(MODERN)


def test_only_revisions_with_icons_are_shown_one() -> None:
    for revision in revisions.REVISIONS.values():
        if revision.handshake:
            _, result = mcp.initialize({"protocolVersion": revision.version})
            assert ("icons" in result["serverInfo"]) is revision.icons
    discovered = mcp.complete(MODERN, mcp.discover())
    assert discovered["_meta"][revisions.SERVER_INFO]["icons"][0]["src"].startswith("data:image/svg+xml,")
    assert " " not in discovered["_meta"][revisions.SERVER_INFO]["icons"][0]["src"], "it is a URI (RFC 3986)"
