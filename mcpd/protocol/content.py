"""What a tool's answer, or a prompt's message, is made of, and what of it a revision knows (server/tools, content)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from mcpd.protocol.revisions import Revision


class Icon(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A picture of a tool, resource, prompt or server (from 2025-11-25, basic/index, icons).

    ``src`` is an ``https:`` or ``data:`` URI, ``sizes`` are "48x48" or "any".
    """

    src: str
    mime_type: str | None = None
    sizes: tuple[str, ...] = ()
    theme: Literal["light", "dark"] | None = None


class Hints(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """For whom a block is, how much it matters (0 to 1), and when what it shows was last changed (RFC 3339)."""

    audience: tuple[Literal["user", "assistant"], ...] = ()
    priority: Annotated[float, Meta(ge=0, le=1)] | None = None
    last_modified: str | None = None


class _Block(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", tag_field="type"):
    pass


class Text(_Block, frozen=True, tag="text"):
    """Words."""

    text: str
    annotations: Hints | None = None


class Image(_Block, frozen=True, tag="image"):
    """A picture; ``data`` are its bytes."""

    data: bytes
    mime_type: str
    annotations: Hints | None = None


class Audio(_Block, frozen=True, tag="audio"):
    """A sound; ``data`` are its bytes."""

    data: bytes
    mime_type: str
    annotations: Hints | None = None


class ResourceLink(_Block, frozen=True, tag="resource_link"):
    """A resource to be read if it is wanted."""

    uri: str
    name: str
    title: str | None = None
    description: str | None = None
    mime_type: str | None = None
    size: int | None = None
    annotations: Hints | None = None


class ResourceText(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What a resource of text holds."""

    uri: str
    text: str
    mime_type: str | None = None


class ResourceBlob(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What a binary resource holds."""

    uri: str
    blob: bytes
    mime_type: str | None = None


class Embedded(_Block, frozen=True, tag="resource"):
    """A resource with what it holds."""

    resource: ResourceText | ResourceBlob
    annotations: Hints | None = None


Content = Text | Image | Audio | ResourceLink | Embedded


def shape(revision: Revision, blocks: Iterable[Content]) -> list[dict[str, Any]]:
    """Return *blocks* as JSON values; one that *revision* does not know is told in words."""
    shown: list[dict[str, Any]] = [msgspec.to_builtins(_known(revision, block)) for block in blocks]
    return shown


def _known(revision: Revision, block: Content) -> Content:
    if isinstance(block, Audio) and not revision.audio:
        return Text(f"[a sound, {block.mime_type}, {len(block.data)} bytes]")
    if isinstance(block, ResourceLink) and not revision.structure:
        return Text(f"{block.title or block.name}: {block.uri}")
    return block
