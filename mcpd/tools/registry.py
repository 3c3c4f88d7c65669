"""The tools that mcpd brings itself, in the order in which clients see them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mcpd.terminals.fleet import Fleet
from mcpd.tools.activities import LOG_ACTIVITY
from mcpd.tools.agents import HEARTBEAT, UPDATE_STATUS
from mcpd.tools.asynchronous import AsyncTool
from mcpd.tools.backups import Backups
from mcpd.tools.base import Tool
from mcpd.tools.claims import CHECK_CONFLICTS
from mcpd.tools.collaborations import REQUEST_COLLABORATION
from mcpd.tools.components import DELETE_COMPONENT, FIND_COMPONENT_OWNER, REGISTER_COMPONENT
from mcpd.tools.data import CREATE_REPORT, Exporter
from mcpd.tools.decisions import PROPOSE_DECISION
from mcpd.tools.terminals import TerminalTools

AnyTool = Tool[Any, Any] | AsyncTool

TOOLS: Mapping[str, AnyTool] = {
    tool.name: tool
    for tool in (
        LOG_ACTIVITY,
        CHECK_CONFLICTS,
        REGISTER_COMPONENT,
        UPDATE_STATUS,
        HEARTBEAT,
        REQUEST_COLLABORATION,
        PROPOSE_DECISION,
        FIND_COMPONENT_OWNER,
        DELETE_COMPONENT,
    )
}


def own_tools(exports: Path, fleet: Fleet) -> Sequence[AnyTool]:
    """Return all tools of mcpd; exports go into the directory *exports* beside the database, agents are *fleet*'s."""
    long = (CREATE_REPORT, Exporter(exports).tool, Backups(exports.parent).tool)
    return (*TOOLS.values(), *TerminalTools(fleet).tools, *long)


def listing(tool: AnyTool) -> dict[str, Any]:
    """Return *tool* as ``tools/list`` shows it."""
    return tool.listing(tool.input_schema, tool.output_schema)
