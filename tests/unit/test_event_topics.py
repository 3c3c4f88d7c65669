"""No event leaves mcpd that the catalogue does not know: every place in the source that adds one, by its topic."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mcpd
from mcpd.protocol.events import CATALOGUE
from mcpd.server import notices
from mcpd.store import events

ROOT = Path(mcpd.__file__).parent
SWITCHES = {topic for topic in CATALOGUE if topic.startswith("cutover.")}
# Where the topic is no literal: what it can be.
COMPUTED = {
    ("server/core.py", "f'{name}.changed'"): {"tools.changed", "prompts.changed", "resources.changed"},
    ("server/clients_endpoint.py", "topic"): {"client.added", "client.rotated", "client.removed"},
    ("server/task_rows.py", "TOPIC"): {"task.status"},
    ("store/terminals.py", "operation"): {"terminal.opened", "terminal.closed"},
    ("store/upkeep.py", "FINISHED"): {"maintenance.finished"},
    ("backup/nightly.py", "topic"): {"backup.finished", "backup.failed", "alert.raised"},
    ("ctl/cutover/record.py", "f'cutover.{direction}'"): SWITCHES,
    ("ctl/cutover/record.py", "topic"): SWITCHES,
    ("ctl/cutover/record.py", "SESSION"): {"cutover.session"},
    ("ctl/cutover/record.py", "SUPERSEDED"): {"cutover.superseded"},
    ("ctl/downgrade/flow.py", "TAKEN_BACK"): {"upgrade.taken_back"},
    ("tools/base.py", "topic"): set(CATALOGUE),  # Call.event itself
}


def added() -> Iterator[tuple[str, ast.expr]]:
    """Every topic that is given to ``events.add`` or ``Call.event``, and the module that gives it."""
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            whole = ast.unparse(node.func)
            if whole in ("events.add", "outbox.add") and len(node.args) == 5:
                yield str(path.relative_to(ROOT)), node.args[2]
            elif whole in ("call.event", "self.event") and len(node.args) == 3:
                yield str(path.relative_to(ROOT)), node.args[0]


def test_every_topic_in_the_source_is_in_the_catalogue() -> None:
    found: set[str] = set()
    used = set()
    for module, topic in added():
        if isinstance(topic, ast.Constant):
            assert topic.value in CATALOGUE, f"{module} tells of {topic.value!r}"
            found.add(topic.value)
            continue
        key = (module, ast.unparse(topic))
        assert key in COMPUTED, f"{module}: what can the topic {key[1]} be?"
        used.add(key)
        if module != "tools/base.py":
            found |= COMPUTED[key]
    assert used == set(COMPUTED)
    derived = {"tool.called", "resource.read"}
    of_plugins = {notices.RESOURCE_UPDATED}
    restored = {events.RESTORED}  # added to a file that no daemon knows yet (store/succession.py)
    assert found | derived | of_plugins | restored == set(CATALOGUE), "a topic that nobody tells"


@pytest.mark.parametrize("topic", sorted(derived := {"tool.called", "resource.read"}))
def test_what_is_derived_is_written_in_the_store_alone(topic: str) -> None:
    assert f"'{topic}'" in (ROOT / "store" / "events.py").read_text()
