"""Names in texts: each that is one, none that is another's, and JSON stays what it was besides."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.compliance.mentions import Mentions

NAMES = st.text(min_size=2, max_size=12).filter(lambda name: any(map(str.isalpha, name)) and name == name.strip())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alice", "X"),
        ("agent:alice", "agent:X"),
        ("claude-alice", "claude-X"),
        ("start_alice", "start_X"),
        ("stop_alice_1758182400.5", "stop_X_1758182400.5"),
        ("Ask alice. Then (alice), alice's and alice@example.org", "Ask X. Then (X), X's and X@example.org"),
        ("agent://alice/x?y=alice", "agent://X/x?y=X"),
        ('{"a":["alice",{"alice":"by alice"}],"n":12345678901234567890,"f":1.0}',
         '{"a":["X",{"X":"by X"}],"n":12345678901234567890,"f":1.0}'),
        ('{"body": "{\\"who\\": \\"\\u0061lice\\"}"}', '{"body":"{\\"who\\":\\"X\\"}"}'),
        ("[broken alice", "[broken X"),
        ("[" * 5000 + "alice", "[" * 5000 + "X"),
        *(("[" * deep + '"alice"' + "]" * deep, "[" * deep + '"X"' + "]" * deep) for deep in (100, 400, 700, 2000)),
    ],
)  # fmt: skip
def test_a_name_is_found_and_replaced(text: str, expected: str) -> None:
    mentions = Mentions("alice")
    assert mentions.found(text)
    assert mentions.replaced(text, "X") == expected


@pytest.mark.parametrize(
    "text",
    [
        "alice2",
        "alice-2",
        "malice",
        "the-alice",
        "alice_smith",
        "my_alice",
        "alice.smith",
        "Alice",
        "",
        '{"a": "malice"}',
    ],
)
def test_another_s_name_is_left_alone(text: str) -> None:
    mentions = Mentions("alice")
    assert not mentions.found(text)
    assert mentions.replaced(text, "X") == text


def test_a_script_without_blanks_between_words_has_no_ends_of_words() -> None:
    assert Mentions("检查").replaced("请检查一下", "X") == "请X一下"


@pytest.mark.parametrize("value", [None, 7, 1.5, b"alice"])
def test_what_is_no_text_names_nobody(value: Any) -> None:
    assert not Mentions("alice").found(value)
    assert not Mentions("alice").is_name(value)


@given(NAMES, st.sampled_from([" ", ", ", "(", "\n", ": "]))
def test_any_name_goes_however_json_spells_it(name: str, blank: str) -> None:
    mentions = Mentions(name)
    value = {"text": f"{blank}{name}{blank}{name}", "list": [name], "in": json.dumps({"who": name})}
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        replaced = mentions.replaced(text, "erased-0")
        assert json.loads(replaced)["list"] == ["erased-0"]
        assert not mentions.found(replaced)
        assert any(needle in text or "\\" in text for needle in mentions.needles), "or no query would find it"


@given(
    NAMES,
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda part: st.lists(part), max_leaves=8),
)
def test_what_names_nobody_is_left_byte_by_byte(name: str, value: Any) -> None:
    text = json.dumps(value, indent=1)
    mentions = Mentions(name)
    if not mentions.found(text):
        assert mentions.replaced(text, "X") == text
