"""What is served already, and whose it is: a plug-in must bring nothing that is there."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

from mcpd.plugins.base import Broken, Plugin
from mcpd.resources import exports
from mcpd.resources.base import Resource, Template
from mcpd.resources.files import Files
from mcpd.resources.registry import Resources
from mcpd.terminals.fleet import Fleet
from mcpd.tools.registry import own_tools

OURS = "mcpd"


class Served:
    """The names and URIs that are taken, by mcpd itself at first."""

    def __init__(self) -> None:
        nowhere = Path()
        own = Resources(Files((), 0), dict, (), (exports.template(nowhere, 0),))
        self._tools = {tool.name: OURS for tool in own_tools(nowhere, Fleet(()))}
        self._prompts: dict[str, str] = {}  # a stored prompt gives way to a plug-in's of its name
        self._uris = dict.fromkeys(own.uris, OURS)
        self._templates = [(template, OURS) for template in own.templates]

    def take(self, owner: str, plugin: Plugin) -> None:
        """Note that *plugin* of *owner* is served too; raises ``Broken``, having noted nothing, if it cannot be."""
        tools, prompts = [tool.name for tool in plugin.tools], [prompt.name for prompt in plugin.prompts]
        _check_names("tool", tools, self._tools)
        _check_names("prompt", prompts, self._prompts)
        self._check_resources(plugin.resources)
        self._check_templates(plugin.templates)
        self._tools |= dict.fromkeys(tools, owner)
        self._prompts |= dict.fromkeys(prompts, owner)
        self._uris |= {resource.uri: owner for resource in plugin.resources}
        self._templates += [(template, owner) for template in plugin.templates]

    def _check_resources(self, resources: Iterable[Resource]) -> None:
        uris = [resource.uri for resource in resources]
        _check_names("resource", uris, self._uris)
        for uri in uris:
            for template, owner in self._templates:
                if _covers(template, uri):
                    raise Broken(f"resource {uri!r}: {owner} serves it by its template {template.uri_template!r}")

    def _check_templates(self, templates: Iterable[Template]) -> None:
        for one, other in combinations(templates, 2):
            if _overlap(one, other):
                raise Broken(f"templates {one.uri_template!r} and {other.uri_template!r}: a URI may fit both")
        for template in templates:
            where = f"template {template.uri_template!r}"
            for known, owner in self._templates:
                if _overlap(template, known):
                    raise Broken(f"{where}: a URI may fit {known.uri_template!r} of {owner} too")
            for uri, owner in self._uris.items():
                if _covers(template, uri):
                    raise Broken(f"{where}: it covers the resource {uri!r} of {owner}")


def _check_names(kind: str, names: list[str], taken: dict[str, str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise Broken(f"{kind} {name!r}: it is there twice")
        if name in taken:
            raise Broken(f"{kind} {name!r}: {taken[name]} has one of that name")


def _covers(template: Template, uri: str) -> bool:
    return uri.startswith(template.prefix) and uri.endswith(template.suffix)


def _overlap(one: Template, other: Template) -> bool:
    before = one.prefix.startswith(other.prefix) or other.prefix.startswith(one.prefix)
    behind = one.suffix.endswith(other.suffix) or other.suffix.endswith(one.suffix)
    return before and behind
