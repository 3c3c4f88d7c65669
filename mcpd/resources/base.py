"""What a resource is: one with a URI of its own, or a family of them behind a template, and what reading needs."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import msgspec
import orjson

from mcpd.compliance.classes import Classification
from mcpd.protocol.content import Icon
from mcpd.resources.files import not_found
from mcpd.store.database import Database

JSON = "application/json"
STABLE_MS = 300_000
"""For how long a client may keep what changes with an upgrade only."""


class Reading(msgspec.Struct, frozen=True):
    """What a resource may use: the database inside the request's savepoint and the time."""

    db: Database
    now_us: int


@dataclass(frozen=True, slots=True)
class Content:
    """What a resource holds: ``data`` is text or, in a blob, bytes; ``ttl_ms`` says how long it may be kept."""

    mime_type: str
    data: str | bytes
    ttl_ms: int = 0

    def listing(self, uri: str) -> dict[str, Any]:
        """Return the content as ``resources/read`` shows it (2025-11-25 and 2026-07-28, server/resources)."""
        shown = {"uri": uri, "mimeType": self.mime_type}
        if isinstance(self.data, str):
            return shown | {"text": self.data}
        return shown | {"blob": base64.b64encode(self.data).decode("ascii")}


def json_content(value: object, ttl_ms: int = 0) -> Content:
    """Return *value* as a JSON document, without blanks, which would only fill an agent's context."""
    return Content(JSON, orjson.dumps(value).decode(), ttl_ms)


def nothing(_db: Database, _prefix: str, _limit: int) -> tuple[list[str], int]:
    """Complete nothing."""
    return [], 0


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource, listed always; of a *watched* one every change is an event, reads of a sensitive one are logged."""

    uri: str
    name: str
    title: str
    description: str
    mime_type: str
    read: Callable[[Reading], Content]
    watched: bool = False
    icons: tuple[Icon, ...] = ()
    classification: Classification = "internal"

    def listing(self) -> dict[str, Any]:
        """Return the resource as ``resources/list`` shows it."""
        shown: dict[str, Any] = {
            "uri": self.uri,
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "mimeType": self.mime_type,
        }
        return shown | {"icons": msgspec.to_builtins(self.icons)} if self.icons else shown


@dataclass(frozen=True, slots=True)
class Template:
    """Resources of one kind, told apart by the *variable* in their URI, between *prefix* and *suffix*.

    ``read`` gets the whole URI and the variable's value; ``names`` returns the values that follow one, for the list,
    None where there are too many to list; ``complete`` those that begin with a prefix, and how many there are.
    Of *watched* ones every change is an event, of sensitive ones (``classification``) every read is logged.
    """

    prefix: str
    variable: str
    name: str
    title: str
    description: str
    mime_type: str | None
    read: Callable[[Reading, str, str], Content]
    complete: Callable[[Database, str, int], tuple[list[str], int]] = nothing
    names: Callable[[Database, str, int], list[str]] | None = None
    reserved: bool = False
    suffix: str = ""
    watched: bool = False
    classification: Classification = "internal"

    @property
    def uri_template(self) -> str:
        """The template (RFC 6570); a *reserved* variable may hold slashes."""
        return f"{self.prefix}{{{'+' * self.reserved}{self.variable}}}{self.suffix}"

    def listing(self) -> dict[str, Any]:
        """Return the template as ``resources/templates/list`` shows it."""
        shown: dict[str, Any] = {
            "uriTemplate": self.uri_template,
            "name": self.name,
            "title": self.title,
            "description": self.description,
        }
        return shown if self.mime_type is None else shown | {"mimeType": self.mime_type}

    def member(self, value: str) -> dict[str, Any]:
        """Return the resource of *value* as ``resources/list`` shows it."""
        shown = {
            "uri": f"{self.prefix}{quote(value, safe='')}{self.suffix}",
            "name": value,
            "title": f"{self.title}: {value}",
            "description": self.description,
        }
        return shown if self.mime_type is None else shown | {"mimeType": self.mime_type}


def variable(uri: str, template: Template) -> str:
    """Return the value, percent-decoded, that *uri* has for *template*; raises ``ResourceNotFound`` if it is none."""
    try:
        value = unquote_to_bytes(uri[len(template.prefix) : len(uri) - len(template.suffix)]).decode()
    except UnicodeDecodeError as exc:
        raise not_found(uri) from exc
    if not value:
        raise not_found(uri)
    return value
