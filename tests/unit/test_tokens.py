"""Access tokens: what is believed of one, and every way to make one that is not."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from typing import Any

import jwt
import orjson
import pytest

from mcpd.access import credentials, scopes, tokens
from mcpd.access.tokens import Authority
from mcpd.errors import Unauthorized

SECRET = bytes(range(32))
AUTHORITY = Authority.of(SECRET, "https://box.example:8099/")
NOW_US = 1_800_000_000_000_000
NOW_S = NOW_US // 1_000_000
GOOD: dict[str, Any] = {
    "iss": AUTHORITY.issuer,
    "aud": AUTHORITY.resource,
    "sub": "ci",
    "exp": NOW_S + 60,
    "iat": NOW_S,
    "jti": "t1",
    "scope": "read write",
}
HEADER = {"alg": "HS256", "typ": "at+jwt"}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def made(claims: object, header: Mapping[str, Any] = HEADER, key: bytes = AUTHORITY.key) -> str:
    """A token signed as ours are, whatever it says."""
    text = f"{b64(orjson.dumps(header))}.{b64(orjson.dumps(claims))}"
    return f"{text}.{b64(hmac.digest(key, text.encode(), 'sha256'))}"


def reason(token: str, now_us: int = NOW_US, *, stands: bool = True) -> str:
    with pytest.raises(Unauthorized) as refused:
        tokens.verify(token, AUTHORITY, now_us, lambda _id, _client: stands)
    assert (refused.value.http_status, refused.value.code) == (401, -32001)
    assert token[-20:] not in refused.value.message or not token
    return refused.value.reason


def test_a_token_says_who_calls_and_what_it_may() -> None:
    token = tokens.issue(AUTHORITY, "ci", frozenset({"write", "read"}), "t1", NOW_US)
    asked: list[tuple[str, str]] = []

    def standing(token_id: str, client: str) -> bool:
        asked.append((token_id, client))
        return True

    caller = tokens.verify(token, AUTHORITY, NOW_US, standing)
    assert (caller.name, caller.admitted, caller.is_client) == ("client:ci", True, True)
    assert caller.scopes == {"read", "write"}
    assert asked == [("t1", "ci")]
    claims = jwt.decode(
        token,
        AUTHORITY.key,
        ["HS256"],
        audience="https://box.example:8099/mcp",
        options={"verify_iat": False, "verify_exp": False},
    )
    assert (claims["iss"], claims["exp"] - claims["iat"]) == ("https://box.example:8099", 86_400)
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "at+jwt"}


def test_a_token_ends_by_the_clock_that_is_passed_in() -> None:
    token = made(GOOD)
    assert tokens.verify(token, AUTHORITY, NOW_US + 59_999_999, lambda *_: True).name == "client:ci"
    assert reason(token, NOW_US + 60_000_000) == "expired"
    assert reason(token, NOW_US - 61_000_000) == "not_yet_valid"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"iss": "https://evil.example"}, "wrong_issuer"),
        ({"iss": AUTHORITY.issuer + "/"}, "wrong_issuer"),
        ({"aud": "https://box.example:8099"}, "wrong_audience"),
        ({"aud": "mcp_client"}, "wrong_audience"),
        ({"aud": [AUTHORITY.resource]}, "malformed"),
        ({"aud": [AUTHORITY.resource, "https://evil.example"]}, "malformed"),
        ({"exp": NOW_S}, "expired"),
        ({"exp": 0}, "expired"),
        ({"exp": "9999999999"}, "malformed"),
        ({"exp": 1e400}, "malformed"),
        ({"exp": None}, "malformed"),
        ({"iat": NOW_S + 3600}, "not_yet_valid"),
        ({"sub": None}, "malformed"),
        ({"sub": {"a": 1}}, "malformed"),
        ({"jti": 7}, "malformed"),
        ({"scope": "read root"}, "malformed"),
        ({"scope": "read  write"}, "malformed"),
        ({"scope": ["admin"]}, "malformed"),
    ],
)
def test_each_claim_is_looked_at(change: dict[str, Any], expected: str) -> None:
    assert reason(made(GOOD | change)) == expected


@pytest.mark.parametrize("name", GOOD)
def test_no_claim_may_be_missing(name: str) -> None:
    assert reason(made({key: value for key, value in GOOD.items() if key != name})) == "malformed"


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "typ": "at+jwt"},
        {"alg": "None", "typ": "at+jwt"},
        {"alg": "HS512", "typ": "at+jwt"},
        {"alg": "RS256", "typ": "at+jwt"},
        {"alg": "EdDSA", "typ": "at+jwt"},
        {"alg": "hs256", "typ": "at+jwt"},
        {"alg": "HS256"},
        {"alg": "HS256", "typ": "JWT"},
        {"alg": "HS256", "typ": "at+jwt", "crit": ["exp"], "exp": 1},
        {"alg": "HS256", "typ": "at+jwt", "crit": []},
    ],
)
def test_the_algorithm_and_the_type_are_ours_to_choose(header: dict[str, Any]) -> None:
    assert reason(made(GOOD, header)) in ("bad_signature", "malformed")


def test_a_token_without_a_signature_or_with_another_key_is_none() -> None:
    unsigned = f"{b64(orjson.dumps({'alg': 'none', 'typ': 'at+jwt'}))}.{b64(orjson.dumps(GOOD))}."
    assert reason(unsigned) in ("bad_signature", "malformed")
    head, body, signature = made(GOOD).split(".")
    assert reason(f"{head}.{body}.") in ("bad_signature", "malformed")
    assert reason(f"{head}.{b64(orjson.dumps(GOOD | {'scope': 'admin'}))}.{signature}") == "bad_signature"
    assert reason(made(GOOD, key=SECRET)) == "bad_signature", "the key is derived, not the daemon's own"
    assert reason(made(GOOD, key=b"")) == "bad_signature"
    embedded = {**HEADER, "jwk": {"kty": "oct", "k": b64(b"mine")}, "kid": "../../dev/null"}
    assert reason(made(GOOD, embedded, b"mine")) == "bad_signature"


@pytest.mark.parametrize(
    "token",
    [
        "", ".", "..", "...", "a.b.c", "x", "\0", "é", made(GOOD) + ".x", made([]), made("x"), made(None), made(7),
        "A" * 4097, made(GOOD | {"sub": "x" * 5000}), f"{b64(b'[' * 3000)}.x.x", f"{b64(b'{}')}.{b64(b'{}')}.x",
        f"{b64(b'not json')}.{b64(b'{}')}.x", "🤖.🤖.🤖",
    ],
)  # fmt: skip
def test_what_is_no_token_is_refused_and_nothing_breaks(token: str) -> None:
    assert reason(token) in ("malformed", "bad_signature")


def test_a_revoked_token_is_refused() -> None:
    assert reason(made(GOOD), stands=False) == "revoked"


def test_whether_it_was_revoked_is_not_asked_of_what_was_not_made_here() -> None:
    def never(*_: str) -> bool:
        raise AssertionError("the database was asked about a forged token")

    for forged in (made(GOOD, key=b"x"), made(GOOD | {"aud": "x"}), made(GOOD | {"exp": 1}), "a.b.c"):
        with pytest.raises(Unauthorized):
            tokens.verify(forged, AUTHORITY, NOW_US, never)


@pytest.mark.parametrize(
    ("header", "token"), [(b"Bearer a.b.c", "a.b.c"), (b"bearer a", "a"), (b"BEARER  a ", "a"), (b"Bearer a=", "a=")]
)
def test_the_token_is_found_in_the_header(header: bytes, token: str) -> None:
    assert tokens.bearer(header) == token


@pytest.mark.parametrize(
    "header", [b"", b"Bearer", b"Bearer ", b"Basic YTpi", b"a.b.c", b"Bearer a b", b"Bearer a, Bearer b", b"Bearer a,b"]
)
def test_another_header_is_refused(header: bytes) -> None:
    with pytest.raises(Unauthorized, match="expected Bearer and one token"):
        tokens.bearer(header)


def test_a_secret_is_kept_as_a_salted_hash_alone() -> None:
    first, second = credentials.new_secret(), credentials.new_secret()
    assert first != second
    assert len(first) >= 43
    salt, digest = credentials.hashed(first)
    other_salt, other = credentials.hashed(first)
    assert (salt != other_salt, digest != other) == (True, True)
    assert first.encode() not in salt + digest
    assert credentials.matches(first, salt, digest)
    for wrong in (second, "", first[:-1], first + "x", "x" * 100_000, "\ud800"):
        assert not credentials.matches(wrong, salt, digest)
    assert not credentials.matches(first, None, None)
    assert not credentials.matches(first + "x" * 300, *credentials.hashed((first + "x" * 300)[:256]))


def test_scopes_are_words_between_single_spaces() -> None:
    assert scopes.parse("") == frozenset()
    assert scopes.parse("delete read") == frozenset({"read", "delete"})
    assert scopes.shown(frozenset({"admin", "read"})) == "read admin"
    for wrong in ("read,write", " read", "read ", "READ", "everything", "read\nadmin"):
        assert scopes.parse(wrong) is None
