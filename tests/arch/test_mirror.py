"""The tests mirror the source: a module of rings 0-5 has its test file at the same place."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "kilter"
ROOMS = (
    "errors",
    "contracts",
    "measures",
    "policy",
    "settings",
    "plugins",
    "formats",
    "stores",
    "engines",
    "services",
)


def behaves(path: Path) -> bool:
    """Tell whether a module does anything: records and ports without a statement to run leave nothing to test."""
    tree = ast.parse((SOURCE / path).read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return any(
        not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for function in functions
        for statement in function.body
    )


def public_modules() -> list[str]:
    """Paths below src/kilter of the modules that need a test file."""
    paths = (path.relative_to(SOURCE) for path in sorted(SOURCE.rglob("*.py")))
    return [
        path.as_posix()
        for path in paths
        if path.with_suffix("").parts[0] in ROOMS and not path.name.startswith("_") and "migrations" not in path.parts
        if path.parts[0] != "contracts" or behaves(path)
    ]


@pytest.mark.parametrize("module", public_modules())
def test_a_module_has_its_test_file(module: str) -> None:
    path = Path(module)
    assert (ROOT / "tests" / "unit" / path.parent / f"test_{path.name}").is_file()
