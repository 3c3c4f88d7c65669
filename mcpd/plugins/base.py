"""What a plug-in brings, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from mcpd.prompts.functions import FunctionPrompt
from mcpd.resources.base import Resource, Template
from mcpd.tools.registry import AnyTool


class Broken(Exception):
    """A plug-in cannot be served; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """Tools, prompts, resources and templates of one package or file."""

    tools: Sequence[AnyTool] = ()
    prompts: Sequence[FunctionPrompt] = ()
    resources: Sequence[Resource] = ()
    templates: Sequence[Template] = ()


State = Literal["loaded", "broken", "disabled"]


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one plug-in: what it brings, by name or URI, or the ``error`` for which it was left out.

    ``source`` is the path of a file, or the distribution that has the entry point.
    """

    name: str
    source: str
    version: str | None = None
    state: State
    tools: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    error: str | None = None
