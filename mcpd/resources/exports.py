"""Exports, as resources: the files that the tool ``export_data`` wrote."""

from __future__ import annotations

from pathlib import Path

from mcpd.resources.base import Content, Template
from mcpd.resources.files import denied, not_found
from mcpd.tools.data import SCHEME

MIME_TYPE = "application/jsonl"


def template(directory: Path, max_bytes: int) -> Template:
    """Return the template of the exports in *directory*; larger ones than *max_bytes* are not served."""

    def names(prefix: str, after: str, limit: int) -> list[str]:
        found = sorted(path.name for path in directory.glob("*.jsonl"))
        return [name for name in found if name.startswith(prefix) and name > after][:limit]

    def read(uri: str, name: str) -> Content:
        path = directory / name
        if "/" in name or not name.endswith(".jsonl") or not path.is_file():
            raise not_found(uri)
        if path.stat().st_size > max_bytes:
            raise denied(uri, "too_large", f"has more than {max_bytes} bytes; an operator can copy {path}")
        return Content(MIME_TYPE, path.read_text(encoding="utf-8"))

    return Template(
        prefix=SCHEME,
        variable="name",
        name="Export",
        title="Export",
        description="Tables as JSON lines, as export_data wrote them.",
        mime_type=MIME_TYPE,
        read=lambda _reading, uri, name: read(uri, name),
        names=lambda _db, after, limit: names("", after, limit),
        complete=lambda _db, prefix, limit: (names(prefix, "", limit), len(names(prefix, "", 10_000))),
        classification="confidential",
    )
