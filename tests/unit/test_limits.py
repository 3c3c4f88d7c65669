"""The shape of the code: no function, module or document grows past what one can take in."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import mcpd

ROOT = Path(mcpd.__file__).parent
MAX_FUNCTION_LINES = 60
MAX_MODULE_LINES = 400


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    start = first.end_lineno if documented and first.end_lineno else first.lineno - 1
    return (function.end_lineno or start) - start


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_and_modules_stay_small(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= MAX_MODULE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert body_lines(node) <= MAX_FUNCTION_LINES, node.name


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_and_public_function_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text())
    if not tree.body:
        return
    assert ast.get_docstring(tree), "the module has no docstring"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{node.name} has no docstring"


def test_hacking_stays_short() -> None:
    hacking = ROOT.parent / "HACKING.md"
    if not hacking.exists():
        pytest.skip("not in a checkout")
    assert hacking.read_text().count("\n") <= 170
