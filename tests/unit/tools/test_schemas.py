"""What is wrong with an argument is said in the terms of its schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from mcpd.errors import InvalidParams
from mcpd.tools import schemas

Share = Annotated[float, Meta(ge=0, le=1)]


class Inner(msgspec.Struct, frozen=True):
    kind: Literal["a", "b"]


class Given(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    hours: Annotated[int, Meta(ge=1, le=24)] = 1
    pid: Annotated[int, Meta(ge=1)] = 1
    share: Share = 0.5
    tables: Annotated[Sequence[Literal["x", "y"]], Meta(min_length=1)] | None = None
    inner: Inner | None = None
    many: Sequence[Inner] = ()
    name: Annotated[str, Meta(min_length=1, max_length=5)] = "x"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"hours": -5}, "argument 'hours': Expected `int` >= 1; expected a whole number, 1 to 24"),
        ({"pid": 0}, "argument 'pid': Expected `int` >= 1; expected a whole number, 1 or more"),
        ({"share": "x"}, "argument 'share': Expected `float`, got `str`; expected a number, 0 to 1"),
        ({"tables": ["nosuch"]}, "argument 'tables[0]': Invalid enum value 'nosuch'; expected one of x, y"),
        ({"tables": 5}, "argument 'tables': Expected `array | null`, got `int`; expected an array, 1 or more items, or"
         " null"),
        ({"inner": {"kind": "c"}}, "argument 'inner.kind': Invalid enum value 'c'; expected one of a, b"),
        ({"inner": 5}, "argument 'inner': Expected `object | null`, got `int`; expected an object, or null"),
        ({"many": [{"kind": "c"}]}, "argument 'many[0].kind': Invalid enum value 'c'; expected one of a, b"),
        ({"name": ""}, "argument 'name': Expected `str` of length >= 1; expected a string, 1 to 5 characters"),
    ],
)  # fmt: skip
def test_an_argument_at_fault_is_named_with_what_was_expected(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidParams) as refused:
        schemas.convert(given, Given, schemas.of_struct(Given))
    assert refused.value.message == said
