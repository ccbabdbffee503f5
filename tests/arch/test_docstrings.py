"""Every public measure explains itself in eight parts, with a worked number."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "kilter"
FREE = frozenset({"run"})  # the entry point that every check has; the check's own kernel is documented


def exported(tree: ast.Module) -> set[str]:
    """Read the names in `__all__`."""
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            value = getattr(node, "value", None)
            assert value is not None
            return set(ast.literal_eval(value))
    return set()


def public_measures() -> dict[str, ast.FunctionDef]:
    """Every exported function of a public module of measures, by "path: name"."""
    found = {}
    for path in sorted((SOURCE / "measures").rglob("*.py")):
        if path.stem.startswith("_"):
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = exported(tree) - FREE
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name in names:
                found[f"{path.relative_to(SOURCE).as_posix()}: {node.name}"] = node
    return found


def missing_parts(function: ast.FunctionDef) -> list[str]:
    """Name the parts that a docstring lacks."""
    text = ast.get_docstring(function) or ""
    parts = {
        "summary": bool(re.match(r"\S.*[.]\n\n", text)),
        "In plain words": bool(re.search(r"^In plain words: \S", text, re.MULTILINE)),
        "doctest": ">>> " in text,
    }
    for section in ("Parameters", "Returns", "Raises", "Notes", "References", "Examples"):
        parts[section] = bool(re.search(rf"^{section}\n-{{{len(section)}}}\n\S", text, re.MULTILINE))
    return [part for part, is_there in parts.items() if not is_there]


def undocumented_arguments(function: ast.FunctionDef) -> set[str]:
    """Name the arguments without a line in Parameters."""
    section = re.search(
        r"^Parameters\n-+\n(.*?)(?=\n\n\S|\Z)", ast.get_docstring(function) or "", re.MULTILINE | re.DOTALL
    )
    lines = re.findall(r"^([\w, *]+?) : ", section.group(1) if section else "", re.MULTILINE)
    documented = {name.strip(" *") for line in lines for name in line.split(",")}
    arguments = (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)
    return {argument.arg for argument in arguments} - documented


def test_a_complete_docstring_passes_the_parser() -> None:
    # Guards the guard: a parser that finds nothing would let everything pass.
    source = '''
def share(part: int) -> float:
    """Part of a hundred.

    In plain words: how many of a hundred.

    Parameters
    ----------
    part : int
        The part.

    Returns
    -------
    float

    Raises
    ------
    SchemaMismatch
        Never.

    Notes
    -----
    part / 100.

    References
    ----------
    None.

    Examples
    --------
    >>> share(1)
    0.01
    """
'''
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    assert not missing_parts(function)
    assert not undocumented_arguments(function)
    function.body = [ast.Pass()]
    assert len(missing_parts(function)) == 9


def test_there_are_measures() -> None:
    assert public_measures()


@pytest.mark.parametrize("name", public_measures())
def test_a_measure_has_all_parts(name: str) -> None:
    assert not missing_parts(public_measures()[name])


@pytest.mark.parametrize("name", public_measures())
def test_a_measure_documents_every_argument(name: str) -> None:
    assert not undocumented_arguments(public_measures()[name])
