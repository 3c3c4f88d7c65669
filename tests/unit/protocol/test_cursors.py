from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.errors import InvalidParams
from mcpd.protocol import cursors

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


@given(TEXT, st.lists(TEXT, min_size=1, max_size=3))
def test_a_cursor_says_where_to_go_on(listing: str, position: list[str]) -> None:
    cursor = cursors.encode(listing, position)
    assert cursors.position(listing, {"cursor": cursor}) == position


def test_without_a_cursor_it_is_the_first_page() -> None:
    assert cursors.position("l", {}) is None
    assert cursors.position("l", {"cursor": None}) is None


def forged(payload: bytes) -> str:
    return base64.urlsafe_b64encode(cursors._checksum(payload) + payload).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "", "x", "AAAA", "é", "a b", "=", cursors.encode("other", ["a"]), cursors.encode("l", ["a"]) + "=",
        cursors.encode("l", ["a"])[:-1], "A" + cursors.encode("l", ["a"])[1:], cursors.encode("l", []),
        "x" * (cursors.MAX_CURSOR + 1), forged(b"{}"), forged(b"["), forged(b'["l",7]'), forged(b"[]"), 7, [], True, {},
    ],
)  # fmt: skip
def test_what_was_not_given_out_is_refused(cursor: Any) -> None:
    with pytest.raises(InvalidParams, match='"cursor"'):
        cursors.position("l", {"cursor": cursor})


def test_every_spelling_but_one_is_refused() -> None:
    cursor = next(c for n in range(9) if len(c := cursors.encode("l", ["x" * n])) % 4)
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for other in last.replace(cursor[-1], ""):
        with pytest.raises(InvalidParams):
            cursors.position("l", {"cursor": cursor[:-1] + other})
