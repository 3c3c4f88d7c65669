"""All resources and templates, in the order in which clients see them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from mcpd.compliance.classes import Classification
from mcpd.errors import ResourceNotFound
from mcpd.protocol.cursors import Position
from mcpd.resources import coordination, events, project
from mcpd.resources.base import Content, Reading, Resource, Template, variable
from mcpd.resources.files import SCHEME, Files, not_found
from mcpd.store import names
from mcpd.store.database import Database

Listing = dict[str, Any]
_MAX_COUNTED = 10_000  # of a plug-in's template, which cannot count


class Resources:
    """What can be read: files of the project, *document* (the API's description), the database's schema and content.

    *resources* and *templates* are those of plug-ins; *agents* names the agents that have a file.
    """

    def __init__(
        self,
        files: Files,
        document: Callable[[], dict[str, Any]],
        resources: Sequence[Resource] = (),
        templates: Sequence[Template] = (),
        agents: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._files = files
        self._readme = project.readme(files)
        self._fixed = (project.SCHEMA, project.api(document), coordination.ACTIVITIES, events.RECENT, *resources)
        self._theirs = templates
        self.templates: Sequence[Template] = (
            coordination.agent_template(agents),
            coordination.COMPONENT,
            coordination.config_template(agents),
            events.OF_TOPIC,
            project.file_template(files),
            *templates,
        )

    def read(self, reading: Reading, uri: str) -> Content:
        """Return what *uri* holds; raises ``ResourceNotFound``, ``ResourceDenied``."""
        resource = self._fixed_one(uri)
        if resource is not None:
            return resource.read(reading)
        template = self._template_of(uri)
        # Files decode their own URI: what is a path has more ways to be wrong.
        value = uri if template.prefix == SCHEME else variable(uri, template)
        return template.read(reading, uri, value)

    def classification(self, uri: str) -> Classification:
        """Return how sensitive *uri* is declared to be; what there is none of is not."""
        resource = self._fixed_one(uri)
        if resource is not None:
            return resource.classification
        try:
            return self._template_of(uri).classification
        except ResourceNotFound:
            return "internal"

    def page(self, db: Database, position: Position | None, limit: int) -> tuple[list[Listing], Position | None]:
        """Return *limit* listings behind *position*, and the position to go on from, None at the end.

        A position is the kind of the last one, '' for the fixed ones or a template, and its name in that kind.
        Raises ``ValueError`` for a position that is none.
        """
        kind, name = position or ["", ""]
        listed = [template for template in self.templates if template.names is not None]
        order = ["", *(template.uri_template for template in listed)]
        found: list[tuple[str, str, Listing]] = []
        for uri_template in order[order.index(kind) :]:
            after = name if uri_template == kind else ""
            found += self._of_kind(db, uri_template, after, limit + 1 - len(found))
        page = found[:limit]
        return [listing for _, _, listing in page], list(page[-1][:2]) if len(found) > limit else None

    def count(self, db: Database) -> int:
        """Return how many resources the whole list has."""
        fixed = len(self._of_kind(db, "", "", 1 + len(self._fixed)))
        theirs = sum(len(t.names(db, "", _MAX_COUNTED)) for t in self._theirs if t.names is not None)
        return fixed + 2 * names.count(db, "agents") + names.count(db, "components") + theirs

    def listing(self, uri: str, content: Content) -> Listing:
        """Return the listing of *uri*, which was read, whether it is in the list or not."""
        resource = self._fixed_one(uri)
        if resource is not None:
            return resource.listing()
        template = self._template_of(uri)
        name = uri.removeprefix(SCHEME) if template.prefix == SCHEME else variable(uri, template)
        return template.member(name) | {"uri": uri, "mimeType": content.mime_type}

    def template(self, uri_template: str) -> Template | None:
        """Return the template that is written *uri_template*, None if there is none."""
        return next((template for template in self.templates if template.uri_template == uri_template), None)

    def is_fixed(self, uri: str) -> bool:
        """Say whether *uri* is a resource without a template."""
        return self._fixed_one(uri) is not None

    @property
    def uris(self) -> list[str]:
        """The URIs of the resources without a template."""
        return [resource.uri for resource in (self._readme, *self._fixed)]

    def is_watched(self, uri: str) -> bool:
        """Say whether updates of the resource *uri* can be told at all; files, for one, change without telling us."""
        for resource in self._fixed:
            if resource.uri == uri:
                return resource.watched
        return any(t.watched and uri.startswith(t.prefix) and uri.endswith(t.suffix) for t in self.templates)

    def paths(self, prefix: str) -> list[str]:
        """Return the paths of the project that begin with *prefix*."""
        return self._files.beginning(prefix)

    def _fixed_one(self, uri: str) -> Resource | None:
        """Return the resource without a template that *uri* names, also in the form that URL libraries give it.

        To them what stands behind the slashes is a host, which they write in small letters and with a path (RFC 3986
        section 6.2.2.1, 6.2.3): clients ask for file://readme.md/ because file://README.md was listed.
        """
        wanted = project.README if uri == f"{project.README.lower()}/" else uri
        return next((resource for resource in (self._readme, *self._fixed) if resource.uri == wanted), None)

    def _template_of(self, uri: str) -> Template:
        for template in self.templates:
            if uri.startswith(template.prefix) and uri.endswith(template.suffix):
                return template
        raise not_found(uri)

    def _of_kind(self, db: Database, uri_template: str, after: str, limit: int) -> list[tuple[str, str, Listing]]:
        if uri_template:
            template = self.template(uri_template)
            assert template is not None
            assert template.names is not None
            return [(uri_template, name, template.member(name)) for name in template.names(db, after, limit)]
        served = self._fixed
        present: tuple[Resource, ...] = (self._readme, *served) if self._files.exists(self._readme.uri) else served
        start = 0
        if after:
            # The README may have gone since; what stood before the others cannot be what the page ended with then.
            start = next((n for n, resource in enumerate(present, 1) if resource.uri == after), 0)
        return [("", resource.uri, resource.listing()) for resource in present[start:][:limit]]
