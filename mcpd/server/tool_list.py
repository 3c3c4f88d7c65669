"""``tools/list``: the same pages for everybody, made once a revision."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import orjson

from mcpd.protocol import cursors, mcp
from mcpd.protocol.params import HeaderParam
from mcpd.protocol.revisions import Revision
from mcpd.tools.registry import AnyTool, listing

METHOD = "tools/list"


class ToolList:
    """The list of *tools*; ``header_params`` are those of the tools that have any."""

    def __init__(self, tools: Mapping[str, AnyTool]) -> None:
        self._listings = {name: listing(tool) for name, tool in tools.items()}
        self._size = cursors.PAGE_SIZE
        self._pages: dict[tuple[str, str | None], orjson.Fragment] = {}
        self.header_params: dict[str, tuple[HeaderParam, ...]] = {
            name: tool.header_params for name, tool in tools.items() if tool.header_params
        }

    def page(self, revision: Revision, after: str | None) -> orjson.Fragment:
        """Return the result with the page behind the tool *after*; raises ``InvalidParams`` if there is none."""
        key = (revision.version, after)
        page = self._pages.get(key)
        if page is None:
            page = self._pages[key] = self._make(revision, after)
        return page

    def digest(self) -> str:
        """Return what changes when the list does."""
        return hashlib.sha256(orjson.dumps(list(self._listings.values()))).hexdigest()

    def _make(self, revision: Revision, after: str | None) -> orjson.Fragment:
        names = list(self._listings)
        if after is not None and after not in self._listings:
            raise cursors.unknown(METHOD)
        start = 0 if after is None else names.index(after) + 1
        page = names[start : start + self._size]
        result: dict[str, object] = {"tools": [mcp.shape_tool(revision, self._listings[name]) for name in page]}
        if start + self._size < len(names):
            result["nextCursor"] = cursors.encode(METHOD, [page[-1]])
        return orjson.Fragment(orjson.dumps(mcp.complete(revision, result, mcp.LISTS)))
