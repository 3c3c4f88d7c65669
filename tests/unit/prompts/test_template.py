from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpd.errors import InvalidParams
from mcpd.prompts import base, template
from mcpd.prompts.base import Argument, Prompt

VALUE = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(VALUE, st.none() | VALUE)
def test_values_go_in_as_they_stand_and_optional_parts_go_whole(must: str, may: str | None) -> None:
    values = {"must": must} | ({} if may is None else {"may": may})
    expected = f"<{must}>" + ("" if may is None else f", {may}!") + "."
    assert template.fill("<{must}>{?, {may}!}.", values) == expected


@given(VALUE)
def test_any_text_can_be_written(text: str) -> None:
    assert template.fill(text.replace("{", "{{").replace("}", "}}"), {}) == text


@given(VALUE)
def test_a_template_is_taken_or_refused_and_never_breaks(text: str) -> None:
    try:
        template.parse(text)
    except InvalidParams as refused:
        assert refused.message.startswith("template, character ")


def test_a_part_with_two_optional_arguments_needs_both() -> None:
    text = "a{? {b} {c}}"
    assert template.fill(text, {"b": "1"}) == "a"
    assert template.fill(text, {"b": "1", "c": "2"}) == "a 1 2"


def test_the_listing_leaves_out_what_there_is_not() -> None:
    assert Prompt(name="p", description="d", template="t").listing() == {"name": "p", "description": "d"}
    prompt = Prompt(name="p", description="d", template="{a}", arguments=(Argument("a", required=True),))
    assert prompt.listing()["arguments"] == [{"name": "a", "required": True}]


def test_a_name_ends_where_its_last_letter_does() -> None:
    with pytest.raises(InvalidParams, match="prompt name"):
        base.read("a\n", {"description": "d", "template": "t"})
    with pytest.raises(InvalidParams, match=r"arguments\[0\]\.name"):
        base.read("a", {"description": "d", "template": "t", "arguments": [{"name": "x\n"}]})
