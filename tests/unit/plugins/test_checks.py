"""What a plug-in may bring, and every way to bring what cannot be served."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from mcpd.config import Config
from mcpd.plugins.api import (
    Argument,
    Arguments,
    AsyncTool,
    Call,
    Content,
    Context,
    FunctionPrompt,
    Icon,
    Plugin,
    Reading,
    Resource,
    Result,
    Template,
    Tool,
)
from mcpd.plugins.base import Broken
from mcpd.plugins.checks import checked
from mcpd.plugins.served import Served
from mcpd.protocol.signing import KEY_BYTES
from mcpd.server.core import Core
from mcpd.store.database import Database

OBJECT: dict[str, Any] = {"type": "object"}


async def waiting(context: Context, given: Any) -> str:
    return "done"


def at_once(call: Call, arguments: Arguments) -> Result:
    return Result(success=True)


def read(reading: Reading) -> Content:
    return Content("text/plain", "")


def read_one(reading: Reading, uri: str, value: str) -> Content:
    return Content("text/plain", value)


class Waiting:
    async def __call__(self, context: Context, given: Any) -> str:
        return "done"


ASYNC = AsyncTool(name="wait", title="Wait", description="Wait.", function=waiting)
SYNC = Tool(
    name="now", title="Now", description="Do it now.", arguments=Arguments, result=Result, function=at_once
)  # fmt: skip
PROMPT = FunctionPrompt(name="ask", description="Ask.", arguments=(Argument("word"),), function=waiting)
RESOURCE = Resource("shop://list", "list", "List", "The list.", "text/plain", read)
TEMPLATE = Template("shop://item/", "number", "item", "Item", "An item.", "text/plain", read_one)
WHOLE = Plugin(tools=[ASYNC, SYNC], prompts=[PROMPT], resources=[RESOURCE], templates=[TEMPLATE])


def as_tool(**changes: Any) -> Plugin:
    return Plugin(tools=[replace(ASYNC, **changes)])


def changed(item: Any, **changes: Any) -> Any:
    return replace(item, **changes)


def marked(**member: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"region": {"type": "string"} | member}}


def test_a_sound_plugin_is_taken_whole() -> None:
    plugin = checked(WHOLE)
    assert (len(plugin.tools), len(plugin.prompts), len(plugin.resources), len(plugin.templates)) == (2, 1, 1, 1)
    Served().take("shop", plugin)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "a.b/c-d_E9"},
        {"name": "x" * 64},
        {"function": Waiting()},
        {"function": functools.partial(waiting)},
        {"arguments": marked(**{"x-mcp-header": "Region"})},
        {"result": {"type": "array", "items": {"type": "string"}}},
        {"icons": (Icon("data:image/png;base64,AA=="),)},
    ],
    ids=lambda changes: str(changes)[:60],
)
def test_a_sound_tool_is_taken(changes: dict[str, Any]) -> None:
    checked(as_tool(**changes))


class Unsupported(msgspec.Struct):
    value: Callable[[], None]


BROKEN_TOOLS: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name: expected 1 to 64"),
    ({"name": "x" * 65}, "name: expected 1 to 64"),
    ({"name": "two words"}, "name: expected 1 to 64"),
    ({"name": "umläut"}, "name: expected 1 to 64"),
    ({"name": "line\n"}, "name: expected 1 to 64"),
    ({"name": None}, "name: expected 1 to 64"),
    ({"title": ""}, "title: expected words"),
    ({"description": " \n"}, "description: expected words"),
    ({"description": 7}, "description: expected words, got 7"),
    ({"read_only": "yes"}, "read_only: expected True or False"),
    ({"icons": [Icon("https://x/y.png")]}, "icons: expected a tuple of Icon"),
    ({"icons": ("https://x/y.png",)}, "icons: expected a tuple of Icon"),
    ({"icons": (Icon("http://x/y.png"),)}, "expected an https: or data: URI"),
    ({"icons": (Icon("data:image/svg+xml,<svg a='b c'/>"),)}, "expected an https: or data: URI"),
    ({"icons": (Icon("https://x/y.png", sizes=(48,)),)}, "icon: Expected `str`, got `int`"),  # type: ignore[arg-type]
    ({"arguments": dict}, "arguments: expected a type made from Struct, got dict"),
    ({"arguments": Unsupported}, "not support"),
    ({"arguments": None}, "arguments: expected a msgspec.Struct type or a JSON Schema, got nothing"),
    ({"arguments": {"type": "string"}}, 'schema of its arguments: the root\'s type must be "object"'),
    ({"arguments": {"type": "object", "required": 1}}, "schema of its arguments: 1 is not of type 'array'"),
    ({"arguments": {"type": "object", "$ref": "https://x/y"}}, "leads out of it"),
    ({"arguments": {"type": "object", "$schema": "http://json-schema.org/draft-04/schema#"}}, "its dialect is"),
    ({"arguments": OBJECT | {"default": {1, 2}}}, "JSON serializable"),
    ({"arguments": marked(**{"x-mcp-header": "no good"})}, "is no header name"),
    ({"arguments": marked(**{"x-mcp-header": "Region", "type": "array"})}, "is for string, integer, boolean"),
    ({"result": {"type": "nonsense"}}, "schema of its result: "),
    ({"result": str}, "result: expected a type made from Struct, got str"),
    ({"function": None}, "function: expected a function, got nothing"),
    ({"function": at_once}, "function: expected async def"),
    ({"function": lambda: None}, "function: expected async def"),
]


@pytest.mark.parametrize(("changes", "why"), BROKEN_TOOLS, ids=lambda value: str(value)[:60])
def test_a_broken_tool_is_named_with_what_was_expected(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(Broken) as caught:
        checked(as_tool(**changes))
    name = changes.get("name", "wait")
    assert str(caught.value).startswith(f"tool {name!r}: ")
    assert why in str(caught.value)


async def takes_one(context: Context) -> str:
    return "done"


def reads_nothing() -> Content:
    return Content("text/plain", "")


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (changed(ASYNC, function=takes_one), "function: expected a function that takes (context, arguments)"),
        (changed(SYNC, function=waiting), "function: expected def, without async"),
        (changed(SYNC, arguments=Result), "arguments: expected a type made from Arguments, got Result"),
        (changed(SYNC, result=Arguments), "result: expected a type made from Result, got Arguments"),
        (changed(PROMPT, name="a/b"), "name: Expected `str` matching regex"),
        (changed(PROMPT, title=""), "title: expected words"),
        (changed(PROMPT, description=""), "description: expected words"),
        (changed(PROMPT, arguments=("word",)), "arguments: expected Argument, got str"),
        (changed(PROMPT, arguments=(Argument("two words"),)), "argument 'two words': Expected `str` matching"),
        (changed(PROMPT, arguments=(Argument("a"), Argument("a"))), "arguments: two have the same name"),
        (changed(PROMPT, function=at_once), "function: expected async def"),
        (changed(RESOURCE, uri="no uri"), "uri: expected a URI"),
        (changed(RESOURCE, uri="shop:"), "uri: expected a URI"),
        (changed(RESOURCE, uri="shop://a b"), "uri: expected a URI"),
        (changed(RESOURCE, title=""), "title: expected words"),
        (changed(RESOURCE, mime_type=None), "mime_type: expected words"),
        (changed(RESOURCE, read=reads_nothing), "read: expected a function that takes (reading)"),
        (changed(TEMPLATE, prefix="item/"), "prefix 'item/': expected scheme:rest"),
        (changed(TEMPLATE, variable="a-b"), "variable 'a-b': expected"),
        (changed(TEMPLATE, suffix="{x}"), "suffix '{x}': expected"),
        (changed(TEMPLATE, read=read), "read: expected a function that takes (reading, uri, value)"),
        (changed(TEMPLATE, names=read), "names: expected a function that takes (db, after, limit)"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_broken_item_is_named_with_what_was_expected(item: Any, why: str) -> None:
    parts = {AsyncTool: "tools", Tool: "tools", FunctionPrompt: "prompts", Resource: "resources", Template: "templates"}
    with pytest.raises(Broken) as caught:
        checked(Plugin(**{parts[type(item)]: [item]}))
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("brought", "why"),
    [
        (None, "it brings nothing; expected a Plugin"),
        ([ASYNC], "it brings list; expected a Plugin"),
        (Plugin(tools=ASYNC), "tools: expected a list of Tool or AsyncTool, got AsyncTool"),  # type: ignore[arg-type]
        (Plugin(tools=[PROMPT]), "tools: expected Tool or AsyncTool, got FunctionPrompt"),  # type: ignore[list-item]
        (Plugin(resources=None), "resources: expected a list of Resource, got nothing"),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_what_is_no_plugin_is_refused(brought: object, why: str) -> None:
    with pytest.raises(Broken) as caught:
        checked(brought)
    assert str(caught.value).startswith(why)


def test_all_that_is_served_without_plugins_is_taken(db: Database) -> None:
    site = Core(db, Config(), bytes(KEY_BYTES))._site
    served = Served()
    assert set(served._tools) == set(site.tools)
    assert set(served._uris) == set(site.resources.uris)
    known = [template.uri_template for template, _ in served._templates]
    assert known == [template.uri_template for template in site.resources.templates]


def resource(uri: str) -> Plugin:
    return Plugin(resources=[replace(RESOURCE, uri=uri)])


def template(prefix: str, suffix: str = "") -> Plugin:
    return Plugin(templates=[replace(TEMPLATE, prefix=prefix, suffix=suffix)])


@pytest.mark.parametrize(
    ("plugin", "why"),
    [
        (as_tool(name="heartbeat"), "tool 'heartbeat': mcpd has one of that name"),
        (as_tool(name="now"), "tool 'now': shop has one of that name"),
        (Plugin(tools=[replace(ASYNC, name="x")] * 2), "tool 'x': it is there twice"),
        (Plugin(prompts=[PROMPT]), "prompt 'ask': shop has one of that name"),
        (resource("activity://recent"), "resource 'activity://recent': mcpd has one of that name"),
        (resource("agent://alice"), "mcpd serves it by its template 'agent://{name}'"),
        (resource("file://README.md"), "resource 'file://README.md': mcpd has one of that name"),
        (resource("shop://item/1"), "shop serves it by its template 'shop://item/{number}'"),
        (template("agent://"), "a URI may fit 'agent://{name}' of mcpd too"),
        (template("agent://x/", "/log"), "a URI may fit 'agent://{name}' of mcpd too"),
        (template("db:"), "it covers the resource 'db://schema/complete' of mcpd"),
        (template("shop://"), "a URI may fit 'shop://item/{number}' of shop too"),
        (
            Plugin(templates=[replace(TEMPLATE, prefix="x://"), replace(TEMPLATE, prefix="x://y/")]),
            "templates 'x://{number}' and 'x://y/{number}': a URI may fit both",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_served_already_is_refused(plugin: Plugin, why: str) -> None:
    served = Served()
    served.take("shop", checked(WHOLE))
    with pytest.raises(Broken) as caught:
        served.take("other", checked(plugin))
    assert str(caught.value).endswith(why)


def test_templates_that_end_differently_stand_side_by_side() -> None:
    served = Served()
    served.take("one", checked(template("x://y/", "/log")))
    served.take("two", checked(template("x://y/", "/state")))


def test_what_was_refused_has_taken_no_name() -> None:
    served = Served()
    both = Plugin(tools=[replace(ASYNC, name="free")], resources=[replace(RESOURCE, uri="agent://alice")])
    with pytest.raises(Broken):
        served.take("broken", checked(both))
    served.take("sound", checked(as_tool(name="free")))
