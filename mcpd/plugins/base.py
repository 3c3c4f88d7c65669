"""What a plug-in brings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcpd.prompts.functions import FunctionPrompt
from mcpd.resources.base import Resource, Template
from mcpd.tools.registry import AnyTool


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """Tools, prompts, resources and templates of one package or file."""

    tools: Sequence[AnyTool] = ()
    prompts: Sequence[FunctionPrompt] = ()
    resources: Sequence[Resource] = ()
    templates: Sequence[Template] = ()
