"""The register of components and their owners."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from mcpd.errors import ToolFailed
from mcpd.store import claims, components
from mcpd.store.components import Component
from mcpd.times import stated
from mcpd.tools import paths
from mcpd.tools.base import AgentName, Arguments, Call, ComponentName, Paths, Result, Tool


class RegisterComponent(Arguments, frozen=True):
    name: Annotated[ComponentName, Meta(description="The component's name.")]
    owner: Annotated[AgentName, Meta(description="The agent that owns it from now on.")]
    status: Literal["active", "inactive", "deprecated"] = "active"
    metadata: Annotated[dict[str, Any], Meta(description="Anything else worth keeping.")] | UnsetType = UNSET
    paths: (
        Annotated[
            Paths,
            Meta(description="Files, directories or globs it consists of, relative to the project root."),
        ]
        | UnsetType
    ) = UNSET


class Registered(Result):
    component: str
    version: int
    previous_owner: str | UnsetType = UNSET


def _register_component(call: Call, arguments: RegisterComponent) -> Registered:
    before = components.find(call.db, arguments.name)
    metadata = None if arguments.metadata is UNSET else msgspec.json.encode(arguments.metadata).decode()
    components.register(call.db, call.now_us, arguments.name, arguments.owner, arguments.status, metadata)
    call.heard_of(arguments.owner)
    _own(call, arguments)
    after = components.find(call.db, arguments.name)
    assert after is not None
    previous = UNSET if before is None or before.owner == arguments.owner else before.owner
    data = {"component": arguments.name, "owner": arguments.owner, "status": arguments.status}
    call.event("component.registered", arguments.owner, {**data, "version": after.version})
    return Registered(success=True, component=arguments.name, version=after.version, previous_owner=previous)


def _own(call: Call, arguments: RegisterComponent) -> None:
    """Make the owner's claims say what was registered; paths left out stay those of the last registration."""
    name = arguments.name
    if arguments.paths is UNSET:
        owned = claims.paths_of_component(call.db, name)
    else:
        owned = [paths.normalise(path) for path in arguments.paths]
    owner = arguments.owner if arguments.status == "active" else None
    claims.own(call.db, call.now_us, name, owner, owned)


class FindComponentOwner(Arguments, frozen=True):
    component: Annotated[ComponentName, Meta(description="The component's name.")]
    type: ComponentName | UnsetType = UNSET


class Owner(Result):
    found: bool
    owner: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    updated: str | UnsetType = UNSET


def _find_component_owner(call: Call, arguments: FindComponentOwner) -> Owner:
    if arguments.type is UNSET:
        component = components.find(call.db, arguments.component)
    else:
        component = components.find_of_type(call.db, arguments.component, arguments.type)
    if component is None:
        return Owner(success=True, found=False)
    return Owner(
        success=True,
        found=True,
        owner=component.owner,
        status=component.status,
        updated=stated(component.updated_us) or UNSET,
    )


class DeleteComponent(Arguments, frozen=True):
    name: ComponentName


class Deleted(Result):
    component: str


def _registered(call: Call, name: str) -> Component:
    component = components.find(call.db, name)
    if component is None:
        raise ToolFailed(f"no component {name!r} is registered")
    return component


def _delete_question(call: Call, arguments: DeleteComponent) -> str:
    component = _registered(call, arguments.name)
    return (
        f"{call.caller} wants to delete the component {component.name!r}, which {component.owner!r} owns, from the"
        " register, with the paths that it was registered with."
    )


def _delete_component(call: Call, arguments: DeleteComponent) -> Deleted:
    component = _registered(call, arguments.name)
    claims.own(call.db, call.now_us, component.name, None, ())
    components.remove(call.db, component.name)
    call.event("component.deleted", component.owner, {"component": component.name, "owner": component.owner})
    return Deleted(success=True, component=component.name)


REGISTER_COMPONENT = Tool(
    name="register_component",
    title="Register component",
    description=(
        "Register a component with its owner and, if given, its paths; registering it again hands it over."
        " While it is active, check_conflicts reports anyone else who works on it."
    ),
    arguments=RegisterComponent,
    result=Registered,
    function=_register_component,
)

FIND_COMPONENT_OWNER = Tool(
    name="find_component_owner",
    title="Find component owner",
    description="Find out which agent owns a component, by its exact name.",
    arguments=FindComponentOwner,
    result=Owner,
    function=_find_component_owner,
    read_only=True,
    idempotent=True,
)

DELETE_COMPONENT = Tool(
    name="delete_component",
    title="Delete component",
    description="Delete a component from the register. A person is asked to confirm.",
    arguments=DeleteComponent,
    result=Deleted,
    function=_delete_component,
    question=_delete_question,
    destructive=True,
)
