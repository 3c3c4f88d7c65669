"""``Mcp-Param-*``: which marks on a schema are right, and when a header repeats its argument."""

from __future__ import annotations

from typing import Any

import pytest

from mcpd.errors import HeaderMismatch
from mcpd.protocol import params
from mcpd.protocol.http import HttpRequest
from mcpd.protocol.params import HeaderParam


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def marked(kind: str = "string", name: Any = "Region", **more: Any) -> dict[str, Any]:
    return {"type": kind, "x-mcp-header": name, **more}


def test_marks_are_found_behind_properties_alone() -> None:
    nested = schema(
        where=schema(region=marked()), count=marked("integer", "Count"), **{"x-mcp-header": {"type": "string"}}
    )
    assert params.header_params(nested) == (
        HeaderParam("Region", ("where", "region"), "string"),
        HeaderParam("Count", ("count",), "integer"),
    )


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (schema(a=marked(name="")), "no header name"),
        (schema(a=marked(name="A B")), "no header name"),
        (schema(a=marked(name="A\r\nB")), "no header name"),
        (schema(a=marked(name=5)), "no header name"),
        (schema(a=marked("number")), "not 'number'"),
        (schema(a=marked("object")), "not 'object'"),
        (schema(a=marked(), b=marked(name="REGION")), "the same"),
        (schema(a={"type": "array", "items": marked()}), "where it may not"),
        (schema(a={"anyOf": [marked()]}), "where it may not"),
        ({**schema(), "$defs": {"r": marked()}}, "where it may not"),
    ],
)
def test_a_mark_that_breaks_the_rules_is_named(wrong: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        params.header_params(wrong)


@pytest.mark.parametrize(
    ("value", "header", "same"),
    [
        ("us-west1", b"us-west1", True),
        ("Us-West1", b"us-west1", False),
        ("Hello, 世界", b"=?base64?SGVsbG8sIOS4lueVjA==?=", True),
        ("=?base64?literal?=", b"=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=", True),
        (42, b"42.0", True),
        (42, b"forty-two", False),
        (2**53, b"9007199254740992", False),
        (True, b"true", True),
        (True, b"True", False),
        (False, b"false", True),
        ("", None, False),
        (None, None, True),
        ("x", b"=?base64?eA?=", False),
    ],
)
def test_a_header_repeats_its_argument(value: Any, header: bytes | None, same: bool) -> None:
    found = params.header_params(schema(a=schema(region=marked())))
    headers = {} if header is None else {b"mcp-param-region": header}
    request = HttpRequest("POST", "/mcp", "", headers, b"", True)
    try:
        params.check(request, found, {"a": {"region": value}})
    except HeaderMismatch:
        assert not same
    else:
        assert same
    params.check(request, found, {"a": 5})
    twice = HttpRequest("POST", "/mcp", "", headers, b"", True, duplicated=frozenset([b"mcp-param-region"]))
    if value is not None:
        with pytest.raises(HeaderMismatch):
            params.check(twice, found, {"a": {"region": value}})
