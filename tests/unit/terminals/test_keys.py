"""What may be typed and pressed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.errors import InvalidParams
from mcpd.terminals import typing
from mcpd.terminals.keys import check_keys, check_text, is_control
from mcpd.terminals.tmux import Screen


@pytest.mark.parametrize("text", ["a", "ü ✓ 日本 👩‍💻", "two\nlines\tand a tab", "-l", "Enter", "$(x) `y` ;"])
def test_text_can_be_typed(text: str) -> None:
    check_text(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "there is no text"),
        ("a\x1b[201~", r"control character U\+001B$"),
        ("\x03", r"U\+0003"),
        ("a\rb", r"U\+000D"),
        ("\x7f", r"U\+007F"),
        ("\x9b", r"U\+009B"),
        ("a\0", "NUL"),
        ("\ud800", "not valid Unicode"),
        ("x" * 65537, "has 65537 bytes; expected at most 65536"),
    ],
)
def test_other_text_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(InvalidParams, match=complaint):
        check_text(text)


def test_control_characters_are_typed_when_asked_for() -> None:
    check_text("\x1b[A\x03", control=True)
    with pytest.raises(InvalidParams):
        check_text("\0", control=True)


@given(st.text(min_size=1, max_size=50))
def test_no_control_character_slips_through(text: str) -> None:
    try:
        check_text(text)
    except InvalidParams:
        return
    assert not any(map(is_control, text))


@pytest.mark.parametrize("key", ["Enter", "C-c", "M-x", "C-M-a", "S-Up", "F12", "y", "1", "é", "-", "C--"])
def test_keys_have_names(key: str) -> None:
    check_keys([key])


@pytest.mark.parametrize("key", ["", "enter", "Return", "rm -rf", "C-", "X-a", "F13", "\x1b", "yes"])
def test_what_is_no_key_is_refused_because_tmux_would_type_it(key: str) -> None:
    with pytest.raises(InvalidParams, match="there is no key"):
        check_keys(["Enter", key])


@pytest.mark.parametrize(
    ("lines", "text", "shown"),
    [
        (("$ echo hello",), "echo hello", True),
        (("$ echo hello",), "echo hullo", False),
        (("│ > a long te │", "│   xt        │"), "a long text", True),
        (("> [Pasted text #1 +20 lines]",), "one\ntwo", False),
        (("$ ...",), "...", True),
        (("$",), "...", False),
    ],
)
def test_text_is_recognised_on_a_screen_however_it_is_laid_out(lines: tuple[str, ...], text: str, shown: bool) -> None:
    assert typing.is_shown(Screen(lines, (0, 0)), text) is shown
