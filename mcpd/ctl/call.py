"""``mcpctl call``: run a tool as any MCP client would."""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path
from typing import Any

from mcpd.ctl import arguments as toolarguments
from mcpd.ctl import client, mcp, output
from mcpd.ctl.client import Client
from mcpd.ctl.mcp import McpClient
from mcpd.errors import UsageError

HELP = "run a tool; without TOOL list the tools"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``call`` takes."""
    parser.add_argument("tool", metavar="TOOL", nargs="?", help="the tool's name")
    parser.add_argument("words", metavar="key=value", nargs="*", help="its arguments; key=@FILE and key=- read a file")
    parser.add_argument("--dry-run", action="store_true", help="say what would happen; change nothing")
    parser.add_argument("--arguments", metavar="JSON", help="an object that the key=value pairs are laid over")


def run(arguments: argparse.Namespace) -> int:
    """Look the tool up, call it and print its result."""
    server = McpClient(Client(client.endpoint(arguments.url)))
    tools = server.tools()
    if arguments.tool is None:
        _print_tools(tools, as_json=arguments.json)
        return 0
    schema = _find(tools, arguments.tool).get("inputSchema", {})
    values = toolarguments.parse(arguments.words, schema, _Reader(), arguments.arguments)
    if arguments.dry_run:
        values["dry_run"] = True
    _print_result(server.call(arguments.tool, values), as_json=arguments.json)
    return 0


def _find(tools: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    if name in tools:
        return tools[name]
    near = difflib.get_close_matches(name, tools, n=3, cutoff=0.6) or [known for known in tools if name in known]
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(tools)}"
    raise UsageError(f"unknown tool {name!r}; {hint}")


def _print_tools(tools: dict[str, dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        output.print_json(list(tools.values()))
        return
    rows = [(name, _signature(tool.get("inputSchema", {})), tool.get("description")) for name, tool in tools.items()]
    output.print_tables(output.table("", ("tool", "arguments", "description"), rows, "no tools"))


def _signature(schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    return " ".join(key if key in required else f"[{key}]" for key in schema.get("properties", {}))


def _print_result(result: dict[str, Any], *, as_json: bool) -> None:
    structured = result.get("structuredContent")
    if as_json:
        output.print_json(result.get("content") if structured is None else structured)
    elif structured is None:
        output.write("".join(f"{output.visible(line)}\n" for line in mcp.text(result).splitlines()))
    else:
        output.print_tables(output.cell(structured))


class _Reader:
    """Read files for arguments, and stdin once."""

    def __init__(self) -> None:
        self._stdin_read = False

    def __call__(self, name: str) -> str:
        if name == "-" and self._stdin_read:
            raise UsageError("only one argument can be read from standard input")
        self._stdin_read = self._stdin_read or name == "-"
        try:
            raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
            return raw.decode()
        except OSError as exc:
            hint = "" if name == "-" else "; text that begins with @ goes into --arguments"
            raise UsageError(f"{name}: cannot be read: {exc.strerror}{hint}") from exc
        except UnicodeDecodeError as exc:
            raise UsageError(f"{name}: is not valid UTF-8") from exc
