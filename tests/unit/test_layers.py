"""A folder is a layer: imports go down only, and ``protocol/`` knows no socket, clock or database."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import mcpd

ROOT = Path(mcpd.__file__).parent

# Each layer may import those on its right, and itself.
BASE = {"errors", "times", "config", "envfile", "ports", "sd", "files", "__init__"}
BELOW = {
    "protocol": BASE,
    "store": BASE,
    "access": BASE | {"protocol", "store"},
    "compliance": BASE | {"store"},
    "tools": BASE | {"protocol", "store", "access", "agents", "terminals", "compliance"},
    "resources": BASE | {"protocol", "store", "tools", "compliance"},
    "prompts": BASE | {"protocol", "store", "tools"},
    "plugins": BASE | {"protocol", "store", "tools", "resources", "prompts", "terminals", "compliance"},
    "hooks": BASE | {"legacy"},
    "server": BASE
    | {"protocol", "store", "access", "tools", "resources", "prompts", "plugins"}
    | {"agents", "terminals", "legacy", "hooks", "compliance"},
    "daemons": BASE
    | {"protocol", "store", "access", "tools", "resources", "prompts", "plugins", "server", "bridge"}
    | {"agents", "terminals", "backup", "compliance", "ws"},
    "legacy": BASE | {"store", "agents"},
    "backup": BASE | {"store", "agents", "terminals"},
    "agents": BASE,
    "terminals": BASE | {"protocol", "store", "access", "agents"},
    "ctl": BASE
    | {"protocol", "store", "access", "tools", "agents", "terminals", "legacy", "backup", "hooks"}
    | {"compliance"},
    "bridge": BASE | {"protocol"},
    "ws": BASE | {"protocol", "store", "access", "bridge"},
}
SHARED = {"runtime", "http", "journal", "relay", "ledger", "observer", "commander", "recorder", "terminal", "__init__"}
IMPURE = {"socket", "asyncio", "os", "time", "random", "apsw", "threading", "subprocess", "uvloop", "systemd"}


def modules() -> list[Path]:
    return sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def imports(module: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{module}: imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def layer(name: str) -> str:
    return name.split(".")[1] if "." in name else "__init__"


@pytest.mark.parametrize("module", modules(), ids=str)
def test_imports_go_down_only(module: Path) -> None:
    if len(module.parts) == 1:
        allowed = BASE
    else:
        assert module.parts[0] in BELOW, f"{module.parts[0]}/ is a new layer: say above what it stands"
        allowed = BELOW[module.parts[0]] | {module.parts[0]}
    for name in imports(module):
        if name.startswith("mcpd"):
            inside = layer(name)
            is_name = not (ROOT / inside).exists() and not (ROOT / f"{inside}.py").exists()
            assert inside in allowed or is_name, f"{module} may not import {name}"


@pytest.mark.parametrize("module", [m for m in modules() if m.parts[0] in ("protocol", "hooks")], ids=str)
def test_the_protocol_and_the_hooks_are_pure(module: Path) -> None:
    assert not {name.split(".")[0] for name in imports(module)} & IMPURE


@pytest.mark.parametrize("module", [m for m in modules() if m.parts[0] != "store"], ids=str)
def test_sql_is_written_in_the_store_only(module: Path) -> None:
    if "apsw" in {name.split(".")[0] for name in imports(module)}:
        assert module.parts[0] == "ctl", f"{module}: only store/ talks to SQLite"


def test_no_daemon_imports_another() -> None:
    daemons = {path.stem for path in (ROOT / "daemons").glob("*.py")} - SHARED
    for name in daemons:
        others = {f"mcpd.daemons.{other}" for other in daemons - {name}}
        assert not others & set(imports(Path("daemons") / f"{name}.py"))
