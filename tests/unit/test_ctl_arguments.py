"""key=value → the arguments of a tool."""

from __future__ import annotations

from typing import Any

import pytest

from mcpd.ctl import arguments
from mcpd.errors import UsageError
from mcpd.tools.registry import TOOLS

SCHEMA = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "ratio": {"type": "number"},
        "dry_run": {"type": "boolean"},
        "paths": {"type": "array", "items": {"type": "string"}},
        "details": {"type": "object"},
        "nothing": {"type": "null"},
        "status": {"enum": ["started", "completed"]},
        "level": {"enum": [1, 2]},
        "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        "maybe": {"type": ["integer", "null"]},
        "shared": {"$ref": "#/$defs/Shared"},
        "untyped": {},
    },
    "$defs": {"Shared": {"type": "array"}},
}
FILES = {"-": "from stdin", "note.txt": "line 1\nline 2\n", "paths.json": '["a", "b"]', "base.json": '{"text": "base"}'}


def parse(*words: str, base: str | None = None) -> dict[str, Any]:
    return arguments.parse(words, SCHEMA, FILES.__getitem__, base)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("text=hello", "hello"),
        ("text=", ""),
        ("text=a=b=c", "a=b=c"),
        ("text=5", "5"),
        ("text=true", "true"),
        ('text="quoted"', '"quoted"'),
        ("text= [1] ", " [1] "),
        ("text=@note.txt", "line 1\nline 2\n"),
        ("text=-", "from stdin"),
        ("text=--", "--"),
        ("count=-3", -3),
        ("ratio=3", 3),
        ("ratio=0.5", 0.5),
        ("dry_run=true", True),
        ('paths=["src", "doc"]', ["src", "doc"]),
        ("paths=[]", []),
        ("paths=@paths.json", ["a", "b"]),
        ('details={"a": {"b": null}}', {"a": {"b": None}}),
        ("nothing=null", None),
        ("status=started", "started"),
        ("status=unheard", "unheard"),
        ("level=2", 2),
        ("either=7", "7"),
        ("maybe=null", None),
        ("maybe=7", 7),
        ("shared=[1]", [1]),
        ("untyped=[1]", "[1]"),
        ("unknown=1", "1"),
    ],
)
def test_a_value_has_the_type_that_the_schema_asks_for(word: str, value: object) -> None:
    parsed = parse(word)
    assert list(parsed.values()) == [value]
    assert type(next(iter(parsed.values()))) is type(value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["hello"], "argument 'hello': expected key=value"),
        (["=hello"], "argument '=hello': expected key=value"),
        (["text=a", "text=b"], "argument 'text' is given twice"),
        (["count=many"], "argument 'count': expected a whole number, got 'many'"),
        (["count=1.5"], "argument 'count': expected a whole number, got '1.5'"),
        (["count=true"], "argument 'count': expected a whole number, got 'true'"),
        (["ratio=NaN"], "argument 'ratio': expected a number, got 'NaN'"),
        (["dry_run=1"], "argument 'dry_run': expected true or false, got '1'"),
        (["dry_run=yes"], "argument 'dry_run': expected true or false, got 'yes'"),
        (["paths=src"], "argument 'paths': expected a JSON array such as '[\"a\", \"b\"]', got 'src'"),
        (['paths={"a": 1}'], "argument 'paths': expected a JSON array"),
        (["details=[]"], "argument 'details': expected a JSON object"),
        (["maybe=x"], "argument 'maybe': expected a whole number or null, got 'x'"),
        (["level=x"], "argument 'level': expected a whole number, got 'x'"),
        (["text=\udcff"], "argument 'text' is not valid UTF-8"),
    ],
)
def test_what_is_wrong_is_said_with_the_argument_and_what_was_expected(words: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(*words)
    assert caught.value.message.startswith(said)


def test_pairs_are_laid_over_the_base() -> None:
    assert parse("count=2", base='{"count": 1, "text": "@literal"}') == {"count": 2, "text": "@literal"}
    assert parse(base="@base.json") == {"text": "base"}


@pytest.mark.parametrize("base", ["{", "[]", '"text"', '{"ratio": NaN}', ""])
def test_a_base_that_is_no_json_object_is_refused(base: str) -> None:
    with pytest.raises(UsageError, match="--arguments"):
        parse(base=base)


def test_every_argument_of_every_tool_has_a_type_that_is_understood() -> None:
    """Else it would be sent as a string, and be refused for that."""
    for tool in TOOLS.values():
        for key, schema in tool.input_schema["properties"].items():
            assert arguments._types(arguments._resolve(schema, tool.input_schema)), f"{tool.name} {key}"
