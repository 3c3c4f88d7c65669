"""Agents, components and activities as resources: what the tools have written, read afresh every time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import orjson

from mcpd.agents.agent import Agent
from mcpd.resources.base import JSON, Content, Reading, Resource, Template, json_content
from mcpd.resources.files import not_found
from mcpd.store import activities, agents, claims, components, names, terminals
from mcpd.store.claims import Claim
from mcpd.store.terminals import LiveState
from mcpd.times import rfc3339, stated

Described = Callable[[], Mapping[str, Agent]]
"""Return the agents that have a file, by name."""

ReadAgent = Callable[[Reading, str, str, Described], Content]
"""Return what there is to read of the agent that a URI names."""

MAX_CLAIMS = 500
RECENT = 50
_OF_FILE = ("title", "role", "port", "user", "workdir", "limits")


def _agent(reading: Reading, uri: str, value: str, described: Described) -> Content:
    agent, live = agents.find(reading.db, value), terminals.find(reading.db, value)
    if agent is None and live is None and value not in described():
        raise not_found(uri)
    held = claims.live_of_agent(reading.db, value, reading.now_us, MAX_CLAIMS)
    return json_content(
        {
            "agent": value,
            "status": None if agent is None else agent.status,
            "current_task": None if agent is None else agent.current_task,
            "last_seen": None if agent is None else stated(agent.last_seen_us),
            "live": None if live is None else _live(live),
            "claims": [_claim(claim) for claim in held],
        }
    )


def _live(live: LiveState) -> dict[str, Any]:
    """Return what the terminal of an agent shows it doing, and what it consumed."""
    found = asdict(live) | {"since": rfc3339(live.since_us)}
    return {key: value for key, value in found.items() if key not in ("agent", "since_us")}


def _config(reading: Reading, uri: str, value: str, described: Described) -> Content:
    agent, file = agents.find(reading.db, value), described().get(value)
    if agent is None and file is None:
        raise not_found(uri)
    return json_content(
        {
            "name": value,
            **dict.fromkeys(_OF_FILE),
            **({} if file is None else _of_file(file)),
            "status": None if agent is None else agent.status,
            "capabilities": None if agent is None else _json(agent.capabilities),
            "metadata": None if agent is None else _json(agent.metadata),
            "registered": None if agent is None else stated(agent.created_us),
            "last_seen": None if agent is None else stated(agent.last_seen_us),
        }
    )


def _of_file(agent: Agent) -> dict[str, Any]:
    """Return what the file of *agent* says that others may know: of its variables, some may be secrets all the same."""
    shown = {key: getattr(agent, key) for key in _OF_FILE}
    return shown | {"limits": {key: value for key, value in asdict(agent.limits).items() if value is not None}}


def _component(reading: Reading, uri: str, value: str) -> Content:
    component = components.find(reading.db, value)
    if component is None:
        raise not_found(uri)
    return json_content(
        {
            "component": component.name,
            "owner": component.owner,
            "status": component.status,
            "version": component.version,
            "paths": claims.paths_of_component(reading.db, component.name),
            "metadata": _json(component.metadata),
            "created": stated(component.created_us),
            "updated": stated(component.updated_us),
        }
    )


def _activities(reading: Reading) -> Content:
    keys = ("id", "agent", "timestamp", "activity", "category", "status")
    rows = activities.recent(reading.db, RECENT)
    return json_content(
        {
            "activities": [dict(zip(keys, row, strict=True)) | {"timestamp": rfc3339(row[2])} for row in rows],
            "total": activities.count(reading.db),
        }
    )


def _claim(claim: Claim) -> dict[str, Any]:
    shown = {"mode": claim.mode, claim.kind: claim.target, "reason": claim.reason, "since": stated(claim.since_us)}
    if claim.kind == "path" and claim.component is not None:
        shown["component"] = claim.component
    return shown


def _json(text: str | None) -> Any:
    return None if text is None else orjson.loads(text)


ACTIVITIES = Resource(
    uri="activity://recent",
    name="Recent activities",
    title="Recent activities",
    description=f"The last {RECENT} activities that agents logged, newest first.",
    mime_type=JSON,
    read=_activities,
    watched=True,
)


def _of_agents(described: Described, read: ReadAgent, *, prefix: str, title: str, description: str) -> Template:
    """Return a template with a member for each agent that was heard of, or that *described* says has a file."""
    return Template(
        prefix=prefix,
        variable="name",
        name=title,
        title=title,
        description=description,
        mime_type=JSON,
        read=lambda reading, uri, value: read(reading, uri, value, described),
        watched=True,
        names=lambda db, after, limit: names.after(db, "agents", after, limit, described()),
        complete=lambda db, beginning, limit: names.beginning(db, "agents", beginning, limit, described()),
    )


def agent_template(described: Described) -> Template:
    """Return the template of what agents do."""
    return _of_agents(
        described,
        _agent,
        prefix="agent://",
        title="Agent",
        description="An agent's status, current task, when it was last heard of, the claims it holds, and, live from"
        " its terminal, what it does and consumes.",
    )


COMPONENT = Template(
    prefix="component://",
    variable="name",
    name="Component",
    title="Component",
    description="A component's owner, status, version, paths and metadata.",
    mime_type=JSON,
    read=_component,
    watched=True,
    names=lambda db, after, limit: names.after(db, "components", after, limit),
    complete=lambda db, prefix, limit: names.beginning(db, "components", prefix, limit),
)


def config_template(described: Described) -> Template:
    """Return the template of what agents are: what their file says, as *described*, and what they said themselves."""
    return _of_agents(
        described,
        _config,
        prefix="config://agents/",
        title="Agent configuration",
        description="What an agent is: title, role, port, user, directory and limits from its file, and what it"
        " registered: status, capabilities, metadata and times; null where there is no file, or it said nothing yet.",
    )
