"""What the author of a plug-in imports, all of it from here; mcpd-plugins(5) explains it."""

from __future__ import annotations

from mcpd.errors import InvalidParams, MissingClientCapability, ResourceDenied, ResourceNotFound, ToolFailed
from mcpd.plugins.base import Plugin
from mcpd.prompts.base import Argument
from mcpd.prompts.functions import FunctionPrompt, Message
from mcpd.protocol import asks
from mcpd.protocol.asks import Answer, Ask, Elicited, Root, Sampled
from mcpd.protocol.content import Audio, Embedded, Hints, Icon, Image, ResourceBlob, ResourceLink, ResourceText, Text
from mcpd.protocol.content import Content as Block
from mcpd.resources.base import Content, Reading, Resource, Template, json_content
from mcpd.resources.files import not_found
from mcpd.tools.asynchronous import AsyncTool, NoArguments, Outcome
from mcpd.tools.base import Arguments, Call, Result, Tool
from mcpd.tools.context import Context, Stopped, confirm

__all__ = [
    "Answer", "Argument", "Arguments", "Ask", "AsyncTool", "Audio", "Block", "Call", "Content", "Context", "Elicited",
    "Embedded", "FunctionPrompt", "Hints", "Icon", "Image", "InvalidParams", "Message", "MissingClientCapability",
    "NoArguments", "Outcome", "Plugin", "Reading", "Resource", "ResourceBlob", "ResourceDenied", "ResourceLink",
    "ResourceNotFound", "ResourceText", "Result", "Root", "Sampled", "Stopped", "Template", "Text", "Tool",
    "ToolFailed", "asks", "confirm", "json_content", "not_found",
]  # fmt: skip
