"""The project's files, the database's schema and the API's description as resources."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from typing import Any

from mcpd.resources.base import JSON, STABLE_MS, Content, Reading, Resource, Template, json_content
from mcpd.resources.files import SCHEME, Files, path_of
from mcpd.store import schema
from mcpd.store.database import Database

README = "file://README.md"
_TYPES = mimetypes.MimeTypes()  # built in, so that the machine's own list makes no difference
_TYPES.add_type("text/markdown", ".md")  # from Python 3.13 it is
_TEXTUAL = ("application/json", "application/javascript", "application/xml", "image/svg+xml")


def readme(files: Files) -> Resource:
    """Return the project's README."""
    return Resource(
        uri=README,
        name="Project README",
        title="Project README",
        description="What the project is.",
        mime_type="text/markdown",
        read=lambda _reading: _file(files, README),
    )


def file_template(files: Files) -> Template:
    """Return the template of the project's files."""

    def complete(_db: Database, prefix: str, limit: int) -> tuple[list[str], int]:
        found = files.beginning(prefix)
        return found[:limit], len(found)

    return Template(
        prefix=SCHEME,
        variable="path",
        name="Project file",
        title="Project file",
        description="A file of the project, by its path in it; or by its absolute path, under a configured root.",
        mime_type=None,
        read=lambda _reading, uri, _path: _file(files, uri),
        complete=complete,
        reserved=True,
    )


def _file(files: Files, uri: str) -> Content:
    data = files.read(uri)
    guessed, _ = _TYPES.guess_type(f"/{path_of(uri).rpartition('/')[2]}", strict=False)
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return Content(guessed or "application/octet-stream", data)
    textual = guessed is not None and (guessed.startswith("text/") or guessed in _TEXTUAL)
    return Content(guessed if guessed and textual else "text/plain", text)


def _schema(reading: Reading) -> Content:
    found: dict[str, Any] = {"schema_version": schema.version(reading.db)}
    found |= {"tables": [], "indexes": [], "views": [], "triggers": []}
    plural = {"table": "tables", "index": "indexes", "view": "views", "trigger": "triggers"}
    for kind, _name, sql in schema.statements(reading.db):
        found[plural[kind]].append(sql)
    return json_content(found, STABLE_MS)


SCHEMA = Resource(
    uri="db://schema/complete",
    name="Database Schema",
    title="Database schema",
    description="The statements that create mcpd's tables and indexes.",
    mime_type=JSON,
    read=_schema,
)


def api(document: Callable[[], dict[str, Any]]) -> Resource:
    """Return the description of the API that *document* makes."""
    return Resource(
        uri="api://swagger/spec",
        name="API Specification",
        title="API specification",
        description="The HTTP endpoints of mcpd, as OpenAPI 3.1.",
        mime_type=JSON,
        read=lambda _reading: json_content(document(), STABLE_MS),
    )
