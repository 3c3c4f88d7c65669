"""Whether what a plug-in brings can be served: names, schemas, functions, URIs; nothing of it is run.

``checked`` raises ``Broken`` that names the item and what was expected of it, the others ``ValueError``.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from typing import Any

import msgspec
import orjson

from mcpd.compliance.classes import CLASSES
from mcpd.plugins.base import Broken, Plugin
from mcpd.plugins.results import held
from mcpd.prompts.base import Argument, Name
from mcpd.prompts.functions import FunctionPrompt
from mcpd.protocol.content import Icon
from mcpd.resources.base import Resource, Template
from mcpd.tools import schemas
from mcpd.tools.asynchronous import AsyncTool
from mcpd.tools.base import Arguments, Result, Tool
from mcpd.tools.registry import AnyTool, listing

_TOOL_NAME = re.compile(r"[A-Za-z0-9_./-]{1,64}")
_URI_CHARACTERS = r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]"  # RFC 3986 section 2
_PREFIX = re.compile(rf"[a-z][a-z0-9+.-]*:{_URI_CHARACTERS}*")
_SUFFIX = re.compile(rf"{_URI_CHARACTERS}*")
_VARIABLE = re.compile(r"[A-Za-z0-9_]{1,64}")
_HINTS = ("read_only", "destructive", "idempotent", "open_world")
_KINDS: dict[str, tuple[type, ...]] = {
    "tools": (Tool, AsyncTool),
    "prompts": (FunctionPrompt,),
    "resources": (Resource,),
    "templates": (Template,),
}


def checked(brought: object) -> Plugin:
    """Return the plug-in that was *brought*, found to be sound by itself."""
    if not isinstance(brought, Plugin):
        raise Broken(f"it brings {_kind(brought)}; expected a Plugin, or a function that returns one")
    plugin = Plugin(**{part: _members(brought, part) for part in _KINDS})
    for tool in plugin.tools:
        _check_item(f"tool {tool.name!r}", tool, _check_tool)
    for prompt in plugin.prompts:
        _check_item(f"prompt {prompt.name!r}", prompt, _check_prompt)
    for resource in plugin.resources:
        _check_item(f"resource {resource.uri!r}", resource, _check_resource)
    for template in plugin.templates:
        _check_item(f"template {template.prefix!r}", template, _check_template)
    return dataclasses.replace(plugin, tools=tuple(held(tool) for tool in plugin.tools))


def _members(plugin: Plugin, part: str) -> tuple[Any, ...]:
    given, kinds = getattr(plugin, part), _KINDS[part]
    expected = " or ".join(kind.__name__ for kind in kinds)
    if not isinstance(given, list | tuple):
        raise Broken(f"{part}: expected a list of {expected}, got {_kind(given)}")
    for member in given:
        if not isinstance(member, kinds):
            raise Broken(f"{part}: expected {expected}, got {_kind(member)}")
    return tuple(given)


def _check_item(where: str, item: Any, check: Callable[[Any], None]) -> None:
    try:
        check(item)
        orjson.dumps(listing(item) if isinstance(item, Tool | AsyncTool) else item.listing())
    except (ValueError, TypeError, AttributeError, NotImplementedError) as exc:
        raise Broken(f"{where}: {exc}") from exc


def _check_class(item: Any) -> None:
    if item.classification not in CLASSES:
        raise ValueError(f"classification {item.classification!r:.80}: expected one of {', '.join(CLASSES)}")


def _check_tool(tool: AnyTool) -> None:
    if not isinstance(tool.name, str) or not _TOOL_NAME.fullmatch(tool.name):
        raise ValueError("name: expected 1 to 64 of A-Z a-z 0-9 _ . / -")
    _check_words(tool, "title", "description")
    for hint in _HINTS:
        if not isinstance(getattr(tool, hint), bool):
            raise ValueError(f"{hint}: expected True or False")
    _check_icons(tool.icons)
    _check_class(tool)
    if isinstance(tool, AsyncTool):
        _check_async_types(tool)
        _check_function("function", tool.function, ("context", "arguments"), waits=True)
    else:
        _check_struct("arguments", tool.arguments, Arguments)
        _check_struct("result", tool.result, Result)
        _check_function("function", tool.function, ("call", "arguments"))
    _check_schema("arguments", tool.input_schema, root="object")
    if tool.output_schema is not None:
        _check_schema("result", tool.output_schema, root=None)
    _ = tool.header_params


def _check_async_types(tool: AsyncTool) -> None:
    for part in ("arguments", "result"):
        given = getattr(tool, part)
        if isinstance(given, type):
            _check_struct(part, given, msgspec.Struct)
        elif not isinstance(given, dict) and not (part == "result" and given is None):
            raise ValueError(f"{part}: expected a msgspec.Struct type or a JSON Schema, got {_kind(given)}")


def _check_struct(part: str, given: object, base: type) -> None:
    if not (isinstance(given, type) and issubclass(given, base)):
        shown = given.__name__ if isinstance(given, type) else _kind(given)
        raise ValueError(f"{part}: expected a type made from {base.__name__}, got {shown}")


def _check_schema(part: str, schema: Any, *, root: str | None) -> None:
    try:
        schemas.check(schema, root=root)
    except ValueError as exc:
        raise ValueError(f"schema of its {part}: {exc}") from exc


def _check_prompt(prompt: FunctionPrompt) -> None:
    _check_type("name", prompt.name, Name)
    if prompt.title is not None:
        _check_words(prompt, "title")
    _check_words(prompt, "description")
    _check_icons(prompt.icons)
    names = []
    for argument in prompt.arguments:
        if not isinstance(argument, Argument):
            raise ValueError(f"arguments: expected Argument, got {_kind(argument)}")
        _check_type(f"argument {argument.name!r}", msgspec.to_builtins(argument), Argument)
        names.append(argument.name)
    if len(set(names)) < len(names):
        raise ValueError("arguments: two have the same name")
    _check_function("function", prompt.function, ("context", "values"), waits=True)


def _check_resource(resource: Resource) -> None:
    if not isinstance(resource.uri, str) or not _PREFIX.fullmatch(resource.uri) or resource.uri.endswith(":"):
        raise ValueError("uri: expected a URI, scheme:rest, in the characters of RFC 3986")
    _check_words(resource, "name", "title", "description", "mime_type")
    _check_icons(resource.icons)
    _check_class(resource)
    _check_function("read", resource.read, ("reading",))


def _check_template(template: Template) -> None:
    for part, pattern in (("prefix", _PREFIX), ("variable", _VARIABLE), ("suffix", _SUFFIX)):
        value = getattr(template, part)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"{part} {value!r}: expected scheme:rest, a name, and what may stand behind it in a URI")
    _check_words(template, "name", "title", "description")
    if template.mime_type is not None:
        _check_words(template, "mime_type")
    _check_class(template)
    _check_function("read", template.read, ("reading", "uri", "value"))
    _check_function("complete", template.complete, ("db", "prefix", "limit"))
    if template.names is not None:
        _check_function("names", template.names, ("db", "after", "limit"))


def _check_words(item: object, *fields: str) -> None:
    for field in fields:
        value = getattr(item, field)
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{field}: expected words, got {value!r:.80}")


def _check_icons(icons: object) -> None:
    if not isinstance(icons, tuple) or not all(isinstance(icon, Icon) for icon in icons):
        raise ValueError("icons: expected a tuple of Icon")
    for icon in icons:
        _check_type("icon", msgspec.to_builtins(icon), Icon)
        if not icon.src.startswith(("https:", "data:")) or not _PREFIX.fullmatch(icon.src):
            raise ValueError(f"icon {icon.src!r:.80}: expected an https: or data: URI")


def _check_type(what: str, value: object, kind: Any) -> None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as exc:
        raise ValueError(f"{what}: {exc}") from exc


def _check_function(what: str, function: object, takes: tuple[str, ...], *, waits: bool = False) -> None:
    if not callable(function):
        raise ValueError(f"{what}: expected a function, got {_kind(function)}")
    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)
    if is_async != waits:
        raise ValueError(f"{what}: expected {'async def' if waits else 'def, without async'}")
    try:
        inspect.signature(function).bind(*takes)
    except TypeError:
        raise ValueError(f"{what}: expected a function that takes ({', '.join(takes)})") from None


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__
